"""A rank's batches, in the plan's order: a webdataset pipeline whose source is the plan instead of a list of tars.

webdataset knows nothing of Horovod: left to itself it gives every shard to every rank. So rank and world size are
passed in, and each worker of a rank takes every `workers`-th step: the same batches in the same order for any number
of workers.

Shapes: N images, H height, W width.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
import webdataset as wds

from horovod_ocr.data.augment import Augmentation, augment_image
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.image import Geometry, decode_image, pad_image
from horovod_ocr.data.plan import EpochPlan, ShardSlice, Share
from horovod_ocr.errors import OcrError, ShardError
from sharding.index import ShardIndex, read_idx
from sharding.tar import read_member


@dataclass(frozen=True)
class StreamOptions:
    """How a split is read. The plan's words: see `plan.EpochPlan`."""

    split: str
    seed: int = 0
    lanes: int = 48
    global_batch: int = 64
    window_shards: int = 4
    shuffle: bool = True
    augmentation: Augmentation | None = None
    rank: int = 0
    world_size: int = 1
    workers: int = 0


class Stream:
    """The batches of one split for one rank.

    Raises:
        ShardError: the split is empty, or a shard is missing or damaged.
    """

    def __init__(self, index: ShardIndex, geometry: Geometry, options: StreamOptions):
        self.index, self.geometry, self.options = index, geometry, options
        self.shards = index.of(options.split)
        self.slices = [ShardSlice(shard.samples, shard.aspect_class) for shard in self.shards]
        if not sum(shard.samples for shard in self.slices):
            raise ShardError(f"{index.root}: the {options.split} split holds no sample; shard more images")
        self.steps = self.plan(0).steps  # the same in every epoch

    def plan(self, epoch: int) -> EpochPlan:
        o = self.options
        return EpochPlan(self.slices, o.seed, epoch, o.lanes, o.global_batch, o.shuffle, o.window_shards)

    def batches(self, epoch: int = 0, first_step: int = 0) -> Iterator[Batch]:
        """The epoch's batches from `first_step` on. Nothing before it is read."""
        o = self.options
        steps = PlannedSteps(self.plan(epoch), first_step, o.rank, o.world_size)
        reader = ShareReader(self, epoch)
        pipeline = wds.DataPipeline(steps, wds.map(reader))
        loader = wds.WebLoader(
            pipeline,
            batch_size=None,
            num_workers=o.workers,
            # forking after Horovod's threads have started is unsafe
            multiprocessing_context="forkserver" if o.workers else None,
            pin_memory=torch.cuda.is_available(),
            # a loader draws a seed for its workers: not from the generator that dropout draws from
            generator=torch.Generator(),
        )
        for item in loader:
            if isinstance(item, OcrError):  # a worker's own exception would arrive wrapped in its traceback
                raise item
            yield item


@dataclass
class PlannedSteps:
    """The pipeline's source: this worker's steps of the plan."""

    plan: EpochPlan
    first_step: int
    rank: int
    world_size: int

    def __call__(self) -> Iterator[Share]:
        worker = torch.utils.data.get_worker_info()
        offset, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        cache: dict = {}
        for step in range(self.first_step + offset, self.plan.steps, stride):
            yield self.plan.share(step, self.rank, self.world_size, cache)

    def __iter__(self) -> Iterator[Share]:
        return self()


@dataclass
class ShareReader:
    """Turns a share into a batch: reads, decodes, augments, pads."""

    stream: Stream
    epoch: int
    open_shards: dict = field(default_factory=dict)

    def __call__(self, share: Share) -> Batch | OcrError:
        try:
            return self.read(share)
        except OcrError as error:
            return error

    def read(self, share: Share) -> Batch:
        width = self.stream.geometry.width_px(share.aspect_class)
        count = len(share.rows)
        images_NHW = np.empty((count, self.stream.geometry.height, width), np.uint8)
        reach_N = np.empty(count, np.int64)
        subsets_N = np.empty(count, np.uint8)
        labels = []
        for place, (shard, row) in enumerate(zip(share.shards.tolist(), share.rows.tolist(), strict=True)):
            encoded, label, subsets_N[place] = self.open_shard(shard).sample(row)
            labels.append(label)
            images_NHW[place], reach_N[place] = self.image(encoded, width, shard, row)
        images, reach = torch.from_numpy(images_NHW), torch.from_numpy(reach_N)
        return Batch(share.step, images, reach, labels, subsets_N, share.global_samples)

    def image(self, encoded: bytes, width: int, shard: int, row: int) -> tuple[np.ndarray, int]:
        stream = self.stream
        try:
            image_HW = decode_image(encoded, stream.geometry, limit_px=width)
        except (OSError, ValueError, SyntaxError) as error:
            name = stream.shards[shard].name
            raise ShardError(f"{name}.tar, sample {row}: image does not decode ({error}); shard again") from error
        augmentation = stream.options.augmentation
        if augmentation is None:
            return pad_image(image_HW, width), image_HW.shape[1]
        seeds = np.random.SeedSequence((stream.options.seed, self.epoch, shard, row))
        return augment_image(image_HW, width, np.random.Generator(np.random.Philox(seeds)), augmentation)

    def open_shard(self, shard: int) -> "MappedShard":
        if shard not in self.open_shards:
            self.open_shards[shard] = MappedShard(self.stream.index, self.stream.shards[shard])
        return self.open_shards[shard]

    def __getstate__(self) -> dict:
        return {"stream": self.stream, "epoch": self.epoch, "open_shards": {}}


class MappedShard:
    """One tar, memory-mapped, read through its .idx. The descriptor is closed at once; the map keeps the file."""

    def __init__(self, index: ShardIndex, shard):
        path = index.tar_path(shard)
        self.name = path.name
        self.records = read_idx(index.idx_path(shard))
        try:
            with open(path, "rb") as file:
                self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ShardError(f"{path}: cannot be read ({error}); shard again") from error
        # a truncated tar would otherwise end as if nothing were wrong
        if len(self.map) != shard.bytes or len(self.records) != shard.samples:
            raise ShardError(f"{path}: {len(self.map)} bytes, {shard.bytes} in the index; shard again")

    def sample(self, row: int) -> tuple[bytes, str, int]:
        """Encoded image, label, subset."""
        record = self.records[row]
        encoded = read_member(self.map, int(record["image_offset"]), int(record["image_size"]))
        label = read_member(self.map, int(record["label_offset"]), int(record["label_size"]))
        return encoded, str(label, "utf-8"), int(record["subset"])
