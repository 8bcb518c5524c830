"""Which sample, when, on which rank: exactly once an epoch, for any number of ranks and loader workers.

The epoch of one bucket (samples that are padded to one width) is a pure function of (shard sizes, seed, epoch,
lanes L, global batch G):

- Its shards are laid end to end in a seeded order. A sample's *offset* is its number in that row. The N offsets are cut
  into L *lanes*: contiguous ranges whose sizes differ by at most one, the longer ones first. Inside a lane, samples are
  shuffled within *windows*: stretches of some thousand samples, read in sequence. A window can be small, because the
  sharder shuffled the samples over the whole split. The first window of each lane has another length, so that not all
  lanes turn to new windows at once.
- The epoch has N *places*. Place s is position s // L of lane s % L. Step t takes the places [t G, (t + 1) G). Nothing
  needs to divide anything: the last step of a bucket is smaller.
- Rank r of R owns the lanes l with l % R == r, hence the places of these lanes. So step t holds the same samples for
  every R up to L, and resuming at step t is arithmetic.

A seeded shuffle puts the steps of all buckets into one sequence, with each bucket spread evenly over the epoch. A step
holds samples of one bucket, all of one width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

ORDER, WINDOW, STEPS = 0, 1, 2  # what a generator is for: the last word of its key


@dataclass(frozen=True)
class ShardSlice:
    """What the plan knows of a shard."""

    samples: int
    """How many it holds."""
    bucket: int
    """The bucket that all of them are in."""


@dataclass(frozen=True)
class Share:
    """A rank's part of one global step; it may hold no sample."""

    step: int
    """Of the epoch; the stream counts on over all epochs."""
    bucket: int
    """The bucket of all samples of the step."""
    shards: np.ndarray
    """int64 [N]: each sample's shard, as a number in the order given to the plan."""
    rows: np.ndarray
    """int64 [N]: each sample's row in its shard."""
    global_samples: int
    """Samples of the step over all ranks."""


class Window(NamedTuple):
    """A stretch of a lane that is shuffled as one, so all of it is open at the same time."""

    first_step: int
    """The first step of the epoch that reads from it."""
    last_step: int
    """The last step of the epoch that reads from it."""
    bucket: int
    """The bucket of all its samples."""
    lane: int
    """Number of the lane in its bucket, from 0."""
    parts: list[tuple[int, int, int]]
    """(shard, first row, stop row); a shard is a number in the order given to the plan."""


class Orders:
    """The permutation of each lane's current window, so that a window is shuffled once, not once per step."""

    def __init__(self, lanes: int, window: int):
        self.numbers = np.full(lanes, -1, np.int64)  # the current window of each lane; -1 before the first
        # [lanes, window]; a rank never touches the rows of other ranks' lanes
        self.positions = np.empty((lanes, window), np.int32 if window < 2**31 else np.int64)


class BucketPlan:
    """The epoch of one bucket; see the head of this file.

    Args:
        shards: the bucket's shards, as numbers in the order given to the plan.
        samples: of each of these shards.
        bucket: its number.
        seed, epoch, lanes, global_batch, shuffle, window: see `EpochPlan`.
    """

    def __init__(
        self,
        shards: Sequence[int],
        samples: Sequence[int],
        seed: int,
        epoch: int,
        bucket: int,
        lanes: int,
        global_batch: int,
        shuffle: bool,
        window: int,
    ) -> None:
        self.key = (seed, epoch, bucket)
        self.lanes, self.global_batch, self.shuffle = lanes, global_batch, shuffle
        self.bucket = bucket
        order = generator(*self.key, ORDER).permutation(len(shards)) if shuffle else np.arange(len(shards))
        self.shards = np.asarray(shards, np.int64)[order]
        self.starts = np.concatenate([[0], np.cumsum(np.asarray(samples, np.int64)[order])])
        self.total = int(self.starts[-1])
        self.steps = -(-self.total // global_batch)
        longest = -(-self.total // lanes)
        self.window = min(window, longest)
        self.staggered = window < longest  # else each lane is one window

    def lane_starts(self, lanes: np.ndarray) -> np.ndarray:
        """The first offset of each lane; for lane L, the end."""
        base, longer = divmod(self.total, self.lanes)
        starts: np.ndarray = lanes * base + np.minimum(lanes, longer)
        return starts

    def first_window(self, lanes: np.ndarray) -> np.ndarray:
        """Length of each lane's first window: spread from short to whole, so that lanes do not turn to their next all
        at once."""
        if not self.staggered:
            return np.full_like(lanes, self.window)
        lengths: np.ndarray = -(-(lanes + 1) * self.window // self.lanes)
        return lengths

    def step_samples(self, step: int) -> int:
        """Samples of a step of this bucket, over all ranks."""
        return min(self.global_batch, self.total - step * self.global_batch)

    def places(self, step: int, rank: int, world_size: int) -> np.ndarray:
        """The places that `rank` owns of a step of this bucket."""
        first = step * self.global_batch
        places = np.arange(first, first + self.step_samples(step), dtype=np.int64)
        owned: np.ndarray = places[(places % self.lanes) % world_size == rank]
        return owned

    def offsets(self, step: int, rank: int, world_size: int, orders: Orders) -> np.ndarray:
        """The offsets of the samples that `rank` reads at `step` of this bucket, by place."""
        places = self.places(step, rank, world_size)
        lanes, positions = places % self.lanes, places // self.lanes
        if self.shuffle:
            positions = self.shuffled(lanes, positions, orders)
        offsets: np.ndarray = self.lane_starts(lanes) + positions
        return offsets

    def window_starts(self, lanes: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """The first position of each window in its lane."""
        return np.where(windows == 0, 0, self.first_window(lanes) + (windows - 1) * self.window)

    def shuffled(self, lanes: np.ndarray, positions: np.ndarray, orders: Orders) -> np.ndarray:
        """Positions in lanes to the positions that the shuffle puts there. Each lane's positions must ascend."""
        first = self.first_window(lanes)
        windows = np.where(positions < first, 0, 1 + (positions - first) // self.window)
        starts = self.window_starts(lanes, windows)
        shuffled = np.empty_like(positions)
        left = np.arange(len(positions))
        while len(left):  # once, or more often if the step covers several windows of a lane
            _, heads = np.unique(lanes[left], return_index=True)
            for at in left[heads][orders.numbers[lanes[left[heads]]] != windows[left[heads]]]:
                self.draw(int(lanes[at]), int(windows[at]), orders)
            ready = orders.numbers[lanes[left]] == windows[left]
            now, left = left[ready], left[~ready]
            shuffled[now] = starts[now] + orders.positions[lanes[now], positions[now] - starts[now]]
        return shuffled

    def draw(self, lane: int, window: int, orders: Orders) -> None:
        """Put the permutation of a lane's window into `orders`."""
        start, stop = self.lane_starts(np.array([lane, lane + 1])).tolist()
        begin, end = self.window_starts(np.array([lane, lane]), np.array([window, window + 1])).tolist()
        length = min(end, stop - start) - begin
        orders.positions[lane, :length] = generator(*self.key, WINDOW, lane, window).permutation(length)
        orders.numbers[lane] = window

    def locate(self, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets to (shard, row)."""
        numbers = np.searchsorted(self.starts, offsets, side="right") - 1
        return self.shards[numbers], offsets - self.starts[numbers]

    def windows(self, rank: int, world_size: int, steps: np.ndarray) -> list[Window]:
        """The windows of a rank's lanes, in the order of their offsets. steps: of the bucket, in the epoch."""
        starts = self.lane_starts(np.arange(self.lanes + 1))
        most = 2 + (starts[1] - starts[0]) // self.window  # the first lane is the longest
        begins = starts[:-1, None] + self.window_starts(np.arange(self.lanes)[:, None], np.arange(most))
        bounds = np.unique(np.append(begins[begins < starts[1:, None]], self.total))
        lanes = np.searchsorted(starts, bounds[:-1], "right") - 1
        firsts = steps[((bounds[:-1] - starts[lanes]) * self.lanes + lanes) // self.global_batch]
        lasts = steps[((bounds[1:] - 1 - starts[lanes]) * self.lanes + lanes) // self.global_batch]
        cuts = np.union1d(bounds, self.starts)  # at the ends of windows and at those of shards
        numbers = np.searchsorted(self.starts, cuts[:-1], "right") - 1
        rows = cuts[:-1] - self.starts[numbers], cuts[1:] - self.starts[numbers]
        parts = list(zip(self.shards[numbers].tolist(), *(row.tolist() for row in rows), strict=True))
        columns = (column.tolist() for column in (firsts, lasts, lanes))
        return [
            Window(first, last, self.bucket, lane, parts[begin:end])
            for first, last, lane, (begin, end) in zip(
                *columns, pairwise(np.searchsorted(cuts, bounds).tolist()), strict=True
            )
            if lane % world_size == rank
        ]


class EpochPlan:
    """All steps of one epoch.

    Args:
        shards: what the index says of each shard of the split, in the index's order.
        seed, epoch: with `shuffle`, they decide every order.
        lanes: L; fixed for a run and written into its checkpoints. The world may have up to L ranks.
        global_batch: G, samples a step over all ranks.
        shuffle: False for validation and test.
        window: samples that are shuffled as one, in each lane.

    Raises:
        ValueError: there is no sample, or a number is not positive.
    """

    def __init__(
        self,
        shards: Sequence[ShardSlice],
        seed: int = 0,
        epoch: int = 0,
        lanes: int = 48,
        global_batch: int = 64,
        shuffle: bool = True,
        window: int = 4096,
    ) -> None:
        if min(lanes, global_batch, window) < 1:
            raise ValueError("lanes, global_batch and window must be at least 1")
        members: dict[int, list[int]] = {}
        for number, shard in enumerate(shards):
            if shard.samples:
                members.setdefault(shard.bucket, []).append(number)
        if not members:
            raise ValueError("no samples to plan")
        self.lanes, self.global_batch = lanes, global_batch
        self.buckets = [
            BucketPlan(
                numbers,
                [shards[n].samples for n in numbers],
                seed,
                epoch,
                bucket,
                lanes,
                global_batch,
                shuffle,
                window,
            )
            for bucket, numbers in sorted(members.items())
        ]
        # the sequence of the epoch's steps: the bucket of each step, and its number among that bucket's steps
        owners = np.repeat(np.arange(len(self.buckets)), [each.steps for each in self.buckets])
        if shuffle:
            # each bucket's steps at random, one in each of as many equal parts of the epoch: every stretch of it holds
            # the buckets in their shares
            chance = generator(seed, epoch, 0, STEPS)
            times = [(np.arange(each.steps) + chance.random(each.steps)) / each.steps for each in self.buckets]
            owners = owners[np.argsort(np.concatenate(times), kind="stable")]
        self.owners = owners
        self.orders: dict[int, Orders] = {}
        self.bucket_steps = np.empty(len(owners), np.int64)
        for number in range(len(self.buckets)):
            mine = owners == number
            self.bucket_steps[mine] = np.arange(mine.sum())

    @property
    def steps(self) -> int:
        """Of the epoch: the same on every rank."""
        return len(self.owners)

    @property
    def samples(self) -> int:
        """Of the epoch, over all ranks."""
        return sum(each.total for each in self.buckets)

    def share(self, step: int, rank: int = 0, world_size: int = 1) -> Share:
        """Rank `rank`'s part of `step`. In any order; steps in sequence cost least."""
        self.check_rank(rank, world_size)
        number, bucket_step = int(self.owners[step]), int(self.bucket_steps[step])
        plan = self.buckets[number]
        if number not in self.orders:
            self.orders[number] = Orders(self.lanes, plan.window)
        offsets = plan.offsets(bucket_step, rank, world_size, self.orders[number])
        shards, rows = plan.locate(offsets)
        return Share(step, plan.bucket, shards, rows, plan.step_samples(bucket_step))

    def windows(self, rank: int = 0, world_size: int = 1) -> list[Window]:
        """All windows of a rank's lanes, by the step in which each is first read from."""
        self.check_rank(rank, world_size)
        windows = []
        for number, plan in enumerate(self.buckets):
            steps = np.flatnonzero(self.owners == number)
            windows += plan.windows(rank, world_size, steps)
        return sorted(windows, key=lambda window: window[:4])

    def check_rank(self, rank: int, world_size: int) -> None:
        """Raises ValueError if there is no such rank, or if there are more ranks than lanes."""
        if not 0 <= rank < world_size <= self.lanes:
            raise ValueError(f"rank {rank} of {world_size} does not fit {self.lanes} lanes")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "orders": {}}  # a loader worker shuffles its own


def generator(seed: int, epoch: int, bucket: int, purpose: int, *more: int) -> np.random.Generator:
    """A generator keyed by plain numbers: the same on every machine, independent of any other key."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, bucket, purpose, *more))))
