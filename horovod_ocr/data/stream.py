"""A rank's batches in the order of the plan: a webdataset pipeline whose source is the plan instead of a list of tars.

webdataset does not know Horovod, and would give every shard to every rank. So rank and world size are passed in, and
each worker of a rank takes every `workers`-th step: the batches and their order are the same for any number of workers.
Steps are counted over all epochs, so that workers live as long as the run.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from horovod_ocr.data.ahead import ReadAhead
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.decoders import build_decoder
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.loader_workers import batches_of, build_loader
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.plan import EpochPlan, ShardSlice, Share, Window
from horovod_ocr.data.share_reader import ShareReader
from horovod_ocr.data.splits import empty_split
from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import OcrError, ShardError
from sharding.format.idx import read_idx, read_key, record_of


class Stream:
    """The batches of one split for one rank.

    Raises:
        ShardError: the split is empty.
        ConfigError: there is no such decoder.
    """

    def __init__(self, store: ShardStore, geometry: Geometry, options: StreamOptions) -> None:
        self.store, self.geometry, self.options = store, geometry, options
        self.shards = store.index.of(options.split)
        self.slices = [ShardSlice(shard.samples, shard.bucket) for shard in self.shards]
        if not sum(shard.samples for shard in self.slices):
            raise ShardError(empty_split(store.index, options.split))
        self.decoder = build_decoder(options.decoder)
        self.steps = self.plan(0).steps  # of an epoch; every epoch has the same number

    def plan(self, epoch: int) -> EpochPlan:
        """The plan of an epoch."""
        o = self.options
        return EpochPlan(self.slices, o.seed, epoch, o.lanes, o.global_batch, o.shuffle, o.window)

    def windows(self, first_step: int, last_step: int) -> Iterator[Window]:
        """The windows that this rank reads in [first_step, last_step), by the step of the run that first needs each."""
        for epoch in range(first_step // self.steps, -(-last_step // self.steps)):
            start = epoch * self.steps
            for window in self.plan(epoch).windows(self.options.rank, self.options.world_size):
                if start + window.last_step >= first_step and start + window.first_step < last_step:
                    yield window._replace(first_step=start + window.first_step, last_step=start + window.last_step)

    def address_of(self, number: int, row: int) -> str:
        """Where a sample is, for people: its shard, its row, and its key if the tar can be read."""
        shard, key = self.shards[number], ""
        with suppress(OSError, OcrError):
            record = record_of(read_idx(self.store.idx_path(shard)), row)
            with open(self.store.tar_path(shard), "rb") as tar:
                key = f", key {read_key(tar, record)}"
        return f"{shard.name}, sample {row}{key}"

    def build_reader(self) -> ShareReader:
        """What turns this stream's shares into batches."""
        return ShareReader(self.store, self.shards, self.geometry, self.options, self.decoder, self.steps)

    def batches(self, first_step: int = 0, last_step: int | None = None) -> Generator[Batch, None, None]:
        """The batches of the steps [first_step, last_step) of the run; by default, of its first epoch. Close it at the
        end: a thread reads ahead meanwhile.

        Yields nothing if `last_step` is not after `first_step`. What only earlier steps need is not read.

        Raises:
            ShardError: a sample and all its neighbours cannot be read.
            ClusterError: /dev/shm is full, or a loader worker was killed.
        """
        last_step = self.steps if last_step is None else last_step
        workers = max(0, min(self.options.workers, last_step - first_step))
        shares = PlannedSteps(self, first_step, last_step)
        loader = build_loader(shares, self.build_reader().read, workers, self.options.to_gpu)
        with ReadAhead(self.store, self.shards, self.windows(first_step, last_step), first_step) as ahead:
            for batch in batches_of(loader):
                ahead.advance_to(batch.step)
                yield batch


@dataclass
class PlannedSteps:
    """The source of the pipeline: this worker's shares of the steps [first_step, last_step) of the run."""

    stream: Stream
    """Gives the plan of each epoch, and says which rank this is."""
    first_step: int
    """From 0, counted over all epochs of the run."""
    last_step: int
    """The step after the last one."""

    def __call__(self) -> Iterator[Share]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        options, epoch, plan = self.stream.options, -1, None
        for step in range(self.first_step + offset, self.last_step, stride):
            if plan is None or step // self.stream.steps != epoch:
                epoch = step // self.stream.steps
                plan = self.stream.plan(epoch)
            yield replace(plan.share(step % self.stream.steps, options.rank, options.world_size), step=step)

    def __iter__(self) -> Iterator[Share]:
        return self()
