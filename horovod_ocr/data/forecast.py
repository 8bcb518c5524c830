"""What an epoch will ask of each rank: steps, samples, bytes, memory. Arithmetic on the plan; no file is opened.

A rank reads its windows, so each sample's bytes once; and the .idx of every shard that it opens. With a cache, or from
a remote place, shards are copied whole: one that lies in lanes of ranks on several hosts is copied by each of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import BucketPlan, EpochPlan, Window
from sharding.format.index import ShardInfo, idx_bytes

# 30,000 words as `horovod-ocr synth` renders them (seed 0), sharded by the defaults: the upper width / height of each
# bucket with its samples, and the bytes of a tar a sample
RENDERED_EDGES = (0.64, 0.8, 1.0, 1.25, 1.5625, 1.953125, 2.441406, 3.051758, 4.768372)
RENDERED_SAMPLES = (405, 1811, 5173, 7861, 7798, 4895, 1633, 376, 48)
RENDERED_BYTES = 4_600
SIMULATED_SHARD = 10_000  # samples


@dataclass(frozen=True)
class BucketForecast:
    """One bucket in an epoch. last_batch: samples of its last step over all ranks."""

    bucket: int
    width_px: int
    shards: int
    samples: int
    steps: int
    last_batch: int


@dataclass(frozen=True)
class RankForecast:
    """One rank in an epoch.

    fewest_in_batch, most_in_batch: samples of its part of a full batch; if no bucket fills one, of the batches there
    are. shards: different ones that it reads from. read_bytes: of its windows, and of the .idx of these shards.
    copied_bytes: of these shards as a whole. open_bytes: the most of its windows that are open at one step: page cache
    of the host. order_bytes: the plan and the orders of the windows, in each loader worker. batch_bytes: images of its
    largest batch.
    """

    rank: int
    lanes: int
    samples: int
    fewest_in_batch: int
    most_in_batch: int
    shards: int
    read_bytes: int
    copied_bytes: int
    open_bytes: int
    order_bytes: int
    batch_bytes: int


@dataclass(frozen=True)
class EpochForecast:
    """One epoch on all ranks. bytes: of the split's tars and .idx files, each once. read_bytes, copied_bytes: of all
    ranks together; as if each were on a host of its own."""

    world_size: int
    lanes: int
    global_batch: int
    steps: int
    samples: int
    shards: int
    bytes: int
    read_bytes: int
    copied_bytes: int
    buckets: tuple[BucketForecast, ...]
    ranks: tuple[RankForecast, ...]


class ShardSizes(NamedTuple):
    """Of each shard of a split, int64."""

    samples: np.ndarray
    tar_bytes: np.ndarray
    idx_bytes: np.ndarray

    @classmethod
    def of(cls, shards: Sequence[ShardInfo]) -> "ShardSizes":
        rows = [(shard.samples, shard.bytes, idx_bytes(shard.samples)) for shard in shards]
        return cls(*np.array(rows, np.int64).T)


class Reading(NamedTuple):
    """What a rank reads in an epoch; see `RankForecast`."""

    shards: int
    read_bytes: int
    copied_bytes: int
    open_bytes: int


def forecast_epoch(shards: Sequence[ShardInfo], plan: EpochPlan, geometry: Geometry, world_size: int) -> EpochForecast:
    """shards: those the plan was made of, in its order. Raises ValueError where there are more ranks than lanes."""
    sizes = ShardSizes.of(shards)
    widths = [geometry.width_px(each.bucket) for each in plan.buckets]
    parts = [batch_parts(each, world_size) for each in plan.buckets]
    full = [part[:-1] for part in parts if len(part) > 1] or parts
    lane_samples = [np.diff(each.lane_starts(np.arange(plan.lanes + 1))) for each in plan.buckets]
    ranks = []
    for rank in range(world_size):
        mine = [samples[rank::world_size] for samples in lane_samples]
        orders = sum(int(np.minimum(m, each.window).sum()) for m, each in zip(mine, plan.buckets, strict=True))
        reading = forecast_reading(plan.windows(rank, world_size), sizes, plan.steps)
        ranks.append(
            RankForecast(
                rank=rank,
                lanes=len(mine[0]),
                samples=int(sum(samples.sum() for samples in mine)),
                fewest_in_batch=min(int(part[:, rank].min()) for part in full),
                most_in_batch=max(int(part[:, rank].max()) for part in full),
                order_bytes=plan.owners.nbytes + plan.bucket_steps.nbytes + orders * np.dtype(np.int32).itemsize,
                batch_bytes=max(
                    int(part[:, rank].max()) * geometry.height * width
                    for part, width in zip(parts, widths, strict=True)
                ),
                **reading._asdict(),
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
    last = plan.step_samples(plan.steps - 1)
    return BucketForecast(plan.bucket, width_px, len(plan.shards), plan.total, plan.steps, last)


def batch_parts(plan: BucketPlan, world_size: int) -> np.ndarray:
    """Samples of each rank in the batches of a bucket, [batches, world_size].

    First the full ones, as long as they differ: after L batches they begin at the same lanes again. Then the last.
    """
    full = min(plan.total // plan.global_batch, plan.lanes)
    numbers = np.append(np.arange(full), plan.steps - 1)
    sizes = np.append(np.full(full, plan.global_batch), plan.step_samples(plan.steps - 1))
    first_lanes = numbers * plan.global_batch % plan.lanes
    owners = np.arange(2 * plan.lanes) % plan.lanes % world_size
    before = np.zeros((2 * plan.lanes + 1, world_size), np.int64)  # places of each rank before a place
    before[1:] = np.cumsum(owners[:, None] == np.arange(world_size), axis=0)
    rounds, rest = np.divmod(sizes, plan.lanes)
    return rounds[:, None] * before[plan.lanes] + before[first_lanes + rest] - before[first_lanes]


def forecast_reading(windows: Sequence[Window], sizes: ShardSizes, steps: int) -> Reading:
    """windows: those of a rank in an epoch of so many steps."""
    parts = [(window.first_step, window.last_step, *part) for window in windows for part in window.parts]
    first_steps, last_steps, shards, first_rows, stop_rows = np.array(parts, np.int64).reshape(-1, 5).T
    samples, tar_bytes = sizes.samples[shards], sizes.tar_bytes[shards]
    part_bytes = tar_bytes * stop_rows // samples - tar_bytes * first_rows // samples  # as the store reads them
    opened = np.zeros(steps + 1, np.int64)  # bytes, by the step
    np.add.at(opened, first_steps, part_bytes)
    np.subtract.at(opened, last_steps + 1, part_bytes)
    seen = np.unique(shards)
    idx_read = int(sizes.idx_bytes[seen].sum())
    return Reading(
        shards=len(seen),
        read_bytes=int(part_bytes.sum()) + idx_read,
        copied_bytes=int(sizes.tar_bytes[seen].sum()) + idx_read,
        open_bytes=int(np.cumsum(opened).max()),
    )


def steps_of_run(steps: int, epochs: float, min_steps: int, steps_per_epoch: int) -> int:
    """Optimizer steps of a run. The settings as in TrainConfig: steps go first, else epochs, but at least min_steps."""
    return steps or max(min_steps, math.ceil(epochs * steps_per_epoch))


def simulate_shards(samples: int) -> tuple[ShardInfo, ...]:
    """A train split of so many rendered words, at least one, in shards of SIMULATED_SHARD: its buckets have the
    edges RENDERED_EDGES and the shares of RENDERED_SAMPLES. Only the sizes are real, there are no files."""
    bounds = [samples * count // sum(RENDERED_SAMPLES) for count in np.cumsum([0, *RENDERED_SAMPLES]).tolist()]
    sizes = [
        (bucket, min(SIMULATED_SHARD, stop - first))
        for bucket, (start, stop) in enumerate(pairwise(bounds))
        for first in range(start, stop, SIMULATED_SHARD)
    ]
    return tuple(
        ShardInfo(f"train-{number:06d}", "train", bucket, count, count * RENDERED_BYTES, sha256="")
        for number, (bucket, count) in enumerate(sizes)
    )
