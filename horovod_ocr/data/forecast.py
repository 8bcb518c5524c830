"""What an epoch will need on each rank: steps, samples, bytes, memory. Arithmetic on the plan; no file is opened.

A rank reads its windows, so each sample's bytes once, and the .idx of every shard that it opens. With a cache or a
remote location, shards are copied whole; if ranks on several hosts have lanes in a shard, each host copies it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import BucketPlan, EpochPlan, Window
from sharding.format.idx import idx_bytes
from sharding.format.index import ShardInfo

# 30,000 words as `horovod-ocr synth` renders them (seed 0), sharded with the defaults: the upper width / height of each
# bucket, its samples, and the bytes of a tar for each sample
RENDERED_EDGES = (0.64, 0.8, 1.0, 1.25, 1.5625, 1.953125, 2.441406, 3.051758, 4.768372)
RENDERED_SAMPLES = (405, 1811, 5173, 7861, 7798, 4895, 1633, 376, 48)
RENDERED_BYTES = 4_600
SIMULATED_SHARD_SAMPLES = 10_000


@dataclass(frozen=True)
class BucketForecast:
    """One bucket in an epoch, over all ranks."""

    bucket: int
    """Its number: from 0, the narrowest images."""
    width_px: int
    """The width that its images are padded to."""
    shards: int
    """How many hold its samples."""
    samples: int
    """How many it has; an epoch reads each of them once."""
    steps: int
    """All of them have the global batch, except perhaps the last."""
    last_batch: int
    """Samples of its last step."""


@dataclass(frozen=True)
class RankForecast:
    """One rank in an epoch."""

    rank: int
    """From 0."""
    lanes: int
    """How many of the lanes of each bucket it owns."""
    samples: int
    """How many it reads in the epoch."""
    fewest_in_batch: int
    """The fewest samples of its part of a full batch. If no bucket fills a batch: of the batches there are."""
    most_in_batch: int
    """The most samples of such a part."""
    shards: int
    """The number of shards that it reads from."""
    read_bytes: int
    """Of its windows, and of the .idx of these shards."""
    copied_bytes: int
    """Of these shards as a whole, with their .idx."""
    open_bytes: int
    """The most bytes of its windows that are open at one step: they occupy the host's page cache."""
    order_bytes: int
    """Memory of the plan and of the windows' orders, in each loader worker."""
    batch_bytes: int
    """Images of its largest batch."""


@dataclass(frozen=True)
class EpochForecast:
    """One epoch on all ranks."""

    world_size: int
    """The number of ranks."""
    lanes: int
    """Of each bucket, over all ranks."""
    global_batch: int
    """Samples of a full step, over all ranks."""
    steps: int
    """Over all buckets."""
    samples: int
    """Of the split."""
    shards: int
    """How many the split has."""
    bytes: int
    """Of the split's tars and .idx files, each counted once."""
    read_bytes: int
    """Sum over the ranks."""
    copied_bytes: int
    """Sum over the ranks, as if each were on a host of its own."""
    buckets: tuple[BucketForecast, ...]
    """Those that hold samples, the narrowest first."""
    ranks: tuple[RankForecast, ...]
    """In the order of their numbers."""


class ShardSizes(NamedTuple):
    """Of each shard of a split: int64 arrays."""

    samples: np.ndarray
    """How many each holds."""
    tar_bytes: np.ndarray
    """Size of each tar."""
    idx_bytes: np.ndarray
    """Size of each .idx."""

    @classmethod
    def of(cls, shards: Sequence[ShardInfo]) -> "ShardSizes":
        rows = [(shard.samples, shard.bytes, idx_bytes(shard.samples)) for shard in shards]
        return cls(*np.array(rows, np.int64).T)


class ReadVolume(NamedTuple):
    """What a rank reads in an epoch; the fields are those of `RankForecast`."""

    shards: int
    """The number of different shards."""
    read_bytes: int
    """Samples and whole .idx files."""
    copied_bytes: int
    """Whole tars and whole .idx files."""
    open_bytes: int
    """At the step at which they are most; without .idx."""


def forecast_epoch(shards: Sequence[ShardInfo], plan: EpochPlan, geometry: Geometry, world_size: int) -> EpochForecast:
    """The forecast of one epoch.

    Args:
        shards: those that the plan was made for, in the same order.
        plan: of the epoch.
        geometry: gives each bucket's width.
        world_size: the number of ranks.

    Raises:
        ValueError: there are more ranks than lanes.
    """
    sizes = ShardSizes.of(shards)
    widths = [geometry.width_px(each.bucket) for each in plan.buckets]
    parts = [batch_parts(each, world_size) for each in plan.buckets]
    full = [part[:-1] for part in parts if len(part) > 1] or parts
    lane_samples = [np.diff(each.lane_starts(np.arange(plan.lanes + 1))) for each in plan.buckets]
    ranks = []
    for rank in range(world_size):
        mine = [samples[rank::world_size] for samples in lane_samples]
        orders = sum(int(np.minimum(m, each.window).sum()) for m, each in zip(mine, plan.buckets, strict=True))
        volume = forecast_reads(plan.windows(rank, world_size), sizes, plan.steps)
        ranks.append(
            RankForecast(
                rank=rank,
                lanes=len(mine[0]),
                samples=int(sum(samples.sum() for samples in mine)),
                fewest_in_batch=min(int(part[:, rank].min()) for part in full),
                most_in_batch=max(int(part[:, rank].max()) for part in full),
                order_bytes=plan.owners.nbytes + plan.bucket_steps.nbytes + orders * np.dtype(np.int32).itemsize,
                batch_bytes=max(
                    int(part[:, rank].max()) * geometry.height * width * geometry.channels
                    for part, width in zip(parts, widths, strict=True)
                ),
                **volume._asdict(),
            )
        )
    return EpochForecast(
        world_size=world_size,
        lanes=plan.lanes,
        global_batch=plan.global_batch,
        steps=plan.steps,
        samples=plan.samples,
        shards=sum(len(each.shards) for each in plan.buckets),
        bytes=int(sizes.tar_bytes.sum() + sizes.idx_bytes.sum()),
        read_bytes=sum(rank.read_bytes for rank in ranks),
        copied_bytes=sum(rank.copied_bytes for rank in ranks),
        buckets=tuple(forecast_bucket(each, width) for each, width in zip(plan.buckets, widths, strict=True)),
        ranks=tuple(ranks),
    )


def forecast_bucket(plan: BucketPlan, width_px: int) -> BucketForecast:
    """One bucket's part of the forecast."""
    last = plan.step_samples(plan.steps - 1)
    return BucketForecast(plan.bucket, width_px, len(plan.shards), plan.total, plan.steps, last)


def batch_parts(plan: BucketPlan, world_size: int) -> np.ndarray:
    """Samples of each rank in the batches of a bucket: int64 [batches, world_size].

    The first rows are the full batches until they repeat: after L batches, they start at the same lanes again. The last
    row is the last batch.
    """
    full = min(plan.total // plan.global_batch, plan.lanes)
    numbers = np.append(np.arange(full), plan.steps - 1)
    sizes = np.append(np.full(full, plan.global_batch), plan.step_samples(plan.steps - 1))
    first_lanes = numbers * plan.global_batch % plan.lanes
    owners = np.arange(2 * plan.lanes) % plan.lanes % world_size
    before = np.zeros((2 * plan.lanes + 1, world_size), np.int64)  # [p]: how many of the places before p each rank owns
    before[1:] = np.cumsum(owners[:, None] == np.arange(world_size), axis=0)
    rounds, rest = np.divmod(sizes, plan.lanes)
    parts: np.ndarray = rounds[:, None] * before[plan.lanes] + before[first_lanes + rest] - before[first_lanes]
    return parts


def forecast_reads(windows: Sequence[Window], sizes: ShardSizes, steps: int) -> ReadVolume:
    """What a rank reads of its windows, in an epoch of `steps` steps."""
    parts = [(window.first_step, window.last_step, *part) for window in windows for part in window.parts]
    first_steps, last_steps, shards, first_rows, stop_rows = np.array(parts, np.int64).reshape(-1, 5).T
    samples, tar_bytes = sizes.samples[shards], sizes.tar_bytes[shards]
    part_bytes = tar_bytes * stop_rows // samples - tar_bytes * first_rows // samples  # like `ShardStore.prefetch_rows`
    opened = np.zeros(steps + 1, np.int64)  # change of the open bytes at each step
    np.add.at(opened, first_steps, part_bytes)
    np.subtract.at(opened, last_steps + 1, part_bytes)
    seen = np.unique(shards)
    idx_read = int(sizes.idx_bytes[seen].sum())
    return ReadVolume(
        shards=len(seen),
        read_bytes=int(part_bytes.sum()) + idx_read,
        copied_bytes=int(sizes.tar_bytes[seen].sum()) + idx_read,
        open_bytes=int(np.cumsum(opened).max()),
    )


def steps_of_run(steps: int | None, epochs: float, min_steps: int, steps_per_epoch: int) -> int:
    """Optimizer steps of a run: `steps` if given, else those of `epochs`, but at least `min_steps`."""
    return steps or max(min_steps, math.ceil(epochs * steps_per_epoch))


def simulate_shards(samples: int) -> tuple[ShardInfo, ...]:
    """A train split of `samples` rendered words (at least one), in shards of SIMULATED_SHARD_SAMPLES.

    Its buckets have the edges RENDERED_EDGES and the proportions of RENDERED_SAMPLES. There are no files.
    """
    bounds = [samples * count // sum(RENDERED_SAMPLES) for count in np.cumsum([0, *RENDERED_SAMPLES]).tolist()]
    sizes = [
        (bucket, min(SIMULATED_SHARD_SAMPLES, stop - first))
        for bucket, (start, stop) in enumerate(pairwise(bounds))
        for first in range(start, stop, SIMULATED_SHARD_SAMPLES)
    ]
    return tuple(
        ShardInfo(f"train-{number:06d}", "train", bucket, count, count * RENDERED_BYTES, sha256="")
        for number, (bucket, count) in enumerate(sizes)
    )
