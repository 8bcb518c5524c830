"""A rank's batches, in the plan's order: a webdataset pipeline whose source is the plan instead of a list of tars.

webdataset knows nothing of Horovod: left to itself it gives every shard to every rank. So rank and world size are
passed in, and each worker of a rank takes every `workers`-th step: the same batches in the same order for any number
of workers. Steps are counted over all epochs, so that workers live as long as the run.

Shapes: N images, H height, W width.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
import webdataset as wds

from horovod_ocr.data.ahead import ReadAhead
from horovod_ocr.data.augment.augment import Augmentation, augment_image, sample_generator
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.decoders import DamagedImageError, build_decoder
from horovod_ocr.data.image import Geometry, decode_image, pad_images
from horovod_ocr.data.plan import EpochPlan, ShardSlice, Share, Window
from horovod_ocr.data.reader import DamagedError, OpenShards
from horovod_ocr.data.shared_memory import PREFETCH, free_shared_bytes
from horovod_ocr.data.splits import empty_split
from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import ClusterError, OcrError, ShardError

# where a neighbour is looked for, to stand in for a damaged sample: in so many shards, at so many rows of each
NEIGHBOUR_SHARDS, NEIGHBOUR_ROWS = 8, 16
LAST_STEP_S = 30.0  # that a loader worker goes on after a SIGTERM; Slurm kills 30 s after it


@dataclass(frozen=True)
class StreamOptions:
    """How a split is read. The plan's words: see `plan.EpochPlan`.

    decoder: see `decoders.build_decoder`. replaces_damaged: put a neighbour in the place of a sample that cannot be
    read, so that batches keep their sizes; else leave it out, so that none is scored twice. to_gpu: batches are copied
    to a GPU, so their memory is pinned, which makes a CUDA context: not on a GPU machine that trains on its CPU.
    """

    split: str
    seed: int = 0
    lanes: int = 48
    global_batch: int = 64
    window: int = 4096
    shuffle: bool = True
    augmentation: Augmentation | None = None
    decoder: str = "auto"
    replaces_damaged: bool = True
    rank: int = 0
    world_size: int = 1
    workers: int = 0
    to_gpu: bool = False


class Stream:
    """The batches of one split for one rank.

    Raises:
        ShardError: the split is empty.
        ConfigError: there is no such decoder.
    """

    def __init__(self, store: ShardStore, geometry: Geometry, options: StreamOptions):
        self.store, self.geometry, self.options = store, geometry, options
        self.shards = store.index.of(options.split)
        self.slices = [ShardSlice(shard.samples, shard.bucket) for shard in self.shards]
        if not sum(shard.samples for shard in self.slices):
            raise ShardError(empty_split(store.index, options.split))
        self.decoder = build_decoder(options.decoder)
        self.steps = self.plan(0).steps  # of an epoch, the same in each

    def plan(self, epoch: int) -> EpochPlan:
        o = self.options
        return EpochPlan(self.slices, o.seed, epoch, o.lanes, o.global_batch, o.shuffle, o.window)

    def windows(self, first_step: int, last_step: int) -> Iterator[Window]:
        """What this rank has open between two steps of the run, by the step in which it is first read."""
        for epoch in range(first_step // self.steps, -(-last_step // self.steps)):
            start = epoch * self.steps
            for window in self.plan(epoch).windows(self.options.rank, self.options.world_size):
                if start + window.last_step >= first_step and start + window.first_step < last_step:
                    yield window._replace(first_step=start + window.first_step, last_step=start + window.last_step)

    def batches(self, first_step: int = 0, last_step: int | None = None) -> Iterator[Batch]:
        """The batches from `first_step` of the run until before `last_step`: by default one epoch. None where a run
        has more steps behind it than it is to have.

        Nothing before `first_step` is read. Raises ShardError where neither a sample nor any of its neighbours can be
        read.
        """
        last_step = self.steps if last_step is None else last_step
        workers = max(0, min(self.options.workers, last_step - first_step))
        # without effect once the fork server runs. Its children find torch imported, and share its memory: they start
        # in 0.2 s instead of 4.7, and take 20 MB each instead of 160 (2 workers on 2 busy cores).
        multiprocessing.set_forkserver_preload([__name__])
        pipeline = wds.DataPipeline(PlannedSteps(self, first_step, last_step), wds.map(ShareReader(self)))
        loader = wds.WebLoader(
            pipeline,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=PREFETCH if workers else None,
            # forking after Horovod's threads have started is unsafe
            multiprocessing_context="forkserver" if workers else None,
            worker_init_fn=end_with_rank,
            pin_memory=self.options.to_gpu,
            # a loader draws a seed for its workers: not from the generator that dropout draws from
            generator=torch.Generator(),
        )
        with ReadAhead(self.store, self.shards, self.windows(first_step, last_step), first_step) as ahead:
            for item in items_of(loader):
                if isinstance(item, OcrError):  # a worker's own exception would arrive wrapped in its traceback
                    raise item
                ahead.reach(item.step)
                yield item


def end_with_rank(worker: int) -> None:
    """Let a worker end when its rank does, also when that is killed. Torch's own watchdog looks at the worker's parent,
    which is the fork server, and that one lives as long as a worker does; so horovodrun would wait for their output for
    ever. Signals that ask a run to stop reach workers too, from a terminal or a batch system, and are for the rank: it
    finishes its step, and needs them.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # not for ever: Python ends with it what its exit finds alive
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end_later, daemon=True).start())

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-rank", daemon=True).start()


def end_later() -> None:
    time.sleep(LAST_STEP_S)
    os._exit(1)


@contextmanager
def killed_workers_named() -> Iterator[None]:
    """ClusterError, within seconds, if a loader worker is killed. Around all that runs while a loader is open: torch
    raises its RuntimeError out of a signal handler, so out of any line."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ClusterError(worker_killed()) from error


def items_of(loader: Iterable[Batch | OcrError]) -> Iterator[Batch | OcrError]:
    """What a loader yields. ClusterError if a worker is killed while it hands a batch over."""
    try:
        yield from loader
    except (ConnectionError, EOFError) as error:
        raise ClusterError(worker_killed()) from error


def worker_killed() -> str:
    return (
        f"a loader worker on {socket.gethostname()} was killed, most often because the host is out of memory; give "
        "fewer --workers or a smaller batch, and go on with --resume"
    )


def share_batch(batch: Batch) -> Batch:
    """Put a worker's batch where its rank finds it. Here, and not when it is sent: a thread of the worker does that,
    and an error in it would reach nobody.

    ClusterError where /dev/shm is full.
    """
    try:
        for tensor in (batch.images_NHW, batch.valid_width_N):
            tensor.share_memory_()
    except (RuntimeError, OSError) as error:
        free = (free_shared_bytes() or 0) / 1e6
        raise ClusterError(
            f"/dev/shm on {socket.gethostname()} is full ({free:,.1f} MB free, a batch has "
            f"{batch.images_NHW.nbytes / 1e6:,.1f} MB): {str(error).splitlines()[0]}; see what else uses it, give the "
            "container more (docker run --shm-size=2g), or do without workers: --set workers=0"
        ) from error
    return batch


@dataclass
class PlannedSteps:
    """The pipeline's source: this worker's steps of the plan, over as many epochs as they reach."""

    stream: Stream
    first_step: int
    last_step: int

    def __call__(self) -> Iterator[Share]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        options, plan, planned = self.stream.options, None, -1
        for step in range(self.first_step + offset, self.last_step, stride):
            epoch, step_of_epoch = divmod(step, self.stream.steps)
            if epoch != planned:
                plan, planned = self.stream.plan(epoch), epoch
            yield replace(plan.share(step_of_epoch, options.rank, options.world_size), step=step)

    def __iter__(self) -> Iterator[Share]:
        return self()


class ShareReader:
    """Turns a share into a batch: reads, decodes, augments, pads. What is damaged is replaced or left out."""

    def __init__(self, stream: Stream):
        self.stream = stream
        self.of_bucket: dict[int, list[int]] = {}
        for number, shard in enumerate(stream.slices):
            if shard.samples:
                self.of_bucket.setdefault(shard.bucket, []).append(number)
        self.open_shards = OpenShards(stream.store, stream.shards, self.most_open())

    def most_open(self) -> int:
        """Shards that the lanes' windows lie in at once, at most."""
        o, shards = self.stream.options, self.stream.slices
        lanes = -(-o.lanes // o.world_size)
        return lanes * sum(
            2 + o.window // max(shards[number].samples for number in alike) for alike in self.of_bucket.values()
        )

    def __call__(self, share: Share) -> Batch | OcrError:
        try:
            batch = self.read(share)
            return share_batch(batch) if torch.utils.data.get_worker_info() else batch
        except OcrError as error:
            return error

    def read(self, share: Share) -> Batch:
        count, geometry = len(share.rows), self.stream.geometry
        width = geometry.width_px(share.bucket)
        batch = Batch(
            step=share.step,
            images_NHW=torch.empty((count, geometry.height, width), dtype=torch.uint8),
            valid_width_N=torch.empty(count, dtype=torch.int64),
            labels=[],
            subsets_N=np.empty(count, np.uint8),
            shards_N=np.empty(count, np.int64),
            rows_N=np.empty(count, np.int64),
            global_samples=share.global_samples,
        )
        arrays = batch.images_NHW.numpy(), batch.valid_width_N.numpy()
        for shard, row in zip(share.shards.tolist(), share.rows.tolist(), strict=True):
            try:
                self.add(batch, *arrays, shard, row)
            except DamagedError as error:
                batch.damage.append(error.damage)
                if self.stream.options.replaces_damaged:
                    self.add_neighbour(batch, *arrays, shard, row)
        if len(batch) < count:
            batch = batch.cut()
        if self.stream.options.augmentation is None:  # which pads for itself
            pad_images(batch.images_NHW.numpy(), batch.valid_width_N.numpy())
        return batch

    def add_neighbour(
        self, batch: Batch, images_NHW: np.ndarray, valid_width_N: np.ndarray, shard: int, row: int
    ) -> None:
        """Put the nearest sample that can be read into the batch's next place. ShardError where none can."""
        for neighbour in self.neighbours(shard, row):
            try:
                self.add(batch, images_NHW, valid_width_N, *neighbour)
                return
            except DamagedError as error:
                batch.damage.append(error.damage)
        reasons = "; ".join(map(str, batch.damage[-NEIGHBOUR_ROWS:]))
        raise ShardError(f"nothing to read near a damaged sample: {reasons}; see: horovod-ocr verify")

    def neighbours(self, shard: int, row: int) -> Iterator[tuple[int, int]]:
        """Samples of the same width, in an order that depends on the sample alone."""
        alike = self.of_bucket[self.stream.slices[shard].bucket]
        at = alike.index(shard)
        for number in islice(alike[at:] + alike[:at], NEIGHBOUR_SHARDS):
            samples = self.stream.slices[number].samples
            for further in range(number == shard, min(NEIGHBOUR_ROWS, samples)):
                if number in self.open_shards.lost:
                    break
                yield number, (row + further) % samples

    def add(self, batch: Batch, images_NHW: np.ndarray, valid_width_N: np.ndarray, shard: int, row: int) -> None:
        """Put a sample into the batch's next place. DamagedError where it cannot be read."""
        stream, position = self.stream, len(batch)
        encoded, label, batch.subsets_N[position] = self.open_shards.sample(shard, row)
        started_s = time.perf_counter()
        limit_px = images_NHW.shape[2]
        try:
            image_HW = decode_image(encoded, stream.geometry, limit_px, stream.decoder)
        except DamagedImageError as error:
            raise DamagedError(stream.shards[shard].name, row, f"the image does not decode ({error})") from error
        augmentation = stream.options.augmentation
        if augmentation is None:
            valid_width = valid_width_N[position] = image_HW.shape[1]
            images_NHW[position, :, :valid_width] = image_HW
        else:
            rng = sample_generator(stream.options.seed, batch.step // stream.steps, shard, row)
            images_NHW[position], valid_width_N[position] = augment_image(image_HW, limit_px, rng, augmentation)
        batch.shards_N[position], batch.rows_N[position] = shard, row
        batch.labels.append(label)
        batch.decode_s += time.perf_counter() - started_s
        batch.read_bytes += len(encoded)
