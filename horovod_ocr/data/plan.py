"""Which sample, when, on which rank: exactly once an epoch, for any number of ranks and loader workers.

An epoch of one aspect class is a pure function of (shard sizes, seed, epoch, lanes L, global batch G):

- Its shards are laid end to end in a seeded order. The N positions are cut into L *lanes*: contiguous ranges whose
  sizes differ by at most one, the longer ones first. Inside a lane samples are shuffled within windows of a few
  shards, so reading stays sequential.
- The epoch is a row of N *slots*. Slot s is place s // L of lane s % L; step t takes the slots [t G, (t + 1) G).
  Nothing has to divide anything: the last step of a class is smaller.
- Rank r of R owns the lanes l with l % R == r, hence the slots of these lanes. So step t holds the same samples for
  every R up to L, and resuming at step t is arithmetic.

The steps of all classes are put into one row by a seeded shuffle: a step holds samples of one class, all of one width.
"""

from dataclasses import dataclass

import numpy as np

ORDER, WINDOW, STEPS = 0, 1, 2  # what a generator is for: the last word of its key


@dataclass(frozen=True)
class ShardSlice:
    """What the plan knows of a shard: its samples and its aspect class."""

    samples: int
    aspect_class: int


@dataclass(frozen=True)
class Share:
    """A rank's part of one global step.

    `shards` and `rows` (int64, equally long, possibly empty) address the samples: shard number in the order given to
    the plan, and row in that shard. `global_samples` counts the samples of the step over all ranks.
    """

    step: int
    aspect_class: int
    shards: np.ndarray
    rows: np.ndarray
    global_samples: int


class ClassPlan:
    """The epoch of one aspect class; see the head of this file."""

    def __init__(self, shards, samples, seed, epoch, aspect_class, lanes, global_batch, shuffle, window_shards):
        self.key = (seed, epoch, aspect_class)
        self.lanes, self.global_batch, self.shuffle = lanes, global_batch, shuffle
        self.aspect_class = aspect_class
        order = generator(*self.key, ORDER).permutation(len(shards)) if shuffle else np.arange(len(shards))
        self.shards = np.asarray(shards, np.int64)[order]
        self.starts = np.concatenate([[0], np.cumsum(np.asarray(samples, np.int64)[order])])
        self.total = int(self.starts[-1])
        self.steps = -(-self.total // global_batch)
        self.window = max(1, window_shards * int(max(samples)))

    def lane_bounds(self, lane: int) -> tuple[int, int]:
        base, longer = divmod(self.total, self.lanes)
        start = lane * base + min(lane, longer)
        return start, start + base + (lane < longer)

    def step_samples(self, step: int) -> int:
        return min(self.global_batch, self.total - step * self.global_batch)

    def positions(self, step: int, rank: int, world_size: int, cache: dict) -> np.ndarray:
        """The epoch positions that `rank` reads at `step` of this class, in slot order.

        `cache` holds a window's permutation for each lane, so that a window is shuffled once, not once a step.
        """
        first = step * self.global_batch
        slots = np.arange(first, first + self.step_samples(step), dtype=np.int64)
        slots = slots[(slots % self.lanes) % world_size == rank]
        lanes, places = slots % self.lanes, slots // self.lanes
        if not self.shuffle:
            base, longer = divmod(self.total, self.lanes)
            return lanes * base + np.minimum(lanes, longer) + places
        pairs = zip(lanes.tolist(), places.tolist(), strict=True)
        return np.fromiter((self.shuffled(lane, place, cache) for lane, place in pairs), np.int64, len(slots))

    def shuffled(self, lane: int, place: int, cache: dict) -> int:
        start, stop = self.lane_bounds(lane)
        window, inside = divmod(place, self.window)
        held = cache.get((self.aspect_class, lane))
        if held is None or held[0] != window:
            length = min(self.window, stop - start - window * self.window)
            held = (window, generator(*self.key, WINDOW, lane, window).permutation(length))
            cache[self.aspect_class, lane] = held
        return start + window * self.window + int(held[1][inside])

    def locate(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions to (shard, row)."""
        place = np.searchsorted(self.starts, positions, side="right") - 1
        return self.shards[place], positions - self.starts[place]


class EpochPlan:
    """All steps of one epoch.

    Args:
        shards: what the index says of each shard of the split, in the index's order.
        seed, epoch: with `shuffle`, they decide every order.
        lanes: L; fixed for a run and written into its checkpoints. The world may have up to L ranks.
        global_batch: G, samples a step over all ranks.
        shuffle: False for validation and test.
        window_shards: shards a shuffle window spans.

    Raises:
        ValueError: there is no sample, or a number is not positive.
    """

    def __init__(self, shards, seed=0, epoch=0, lanes=48, global_batch=64, shuffle=True, window_shards=4):
        if min(lanes, global_batch, window_shards) < 1:
            raise ValueError("lanes, global_batch and window_shards must be at least 1")
        members: dict[int, list[int]] = {}
        for number, shard in enumerate(shards):
            if shard.samples:
                members.setdefault(shard.aspect_class, []).append(number)
        if not members:
            raise ValueError("no samples to plan")
        self.lanes, self.global_batch = lanes, global_batch
        self.classes = [
            ClassPlan(
                numbers,
                [shards[n].samples for n in numbers],
                seed,
                epoch,
                c,
                lanes,
                global_batch,
                shuffle,
                window_shards,
            )
            for c, numbers in sorted(members.items())
        ]
        # the row of the epoch's steps: which class each step belongs to, and which of the class's steps it is
        owners = np.repeat(np.arange(len(self.classes)), [c.steps for c in self.classes])
        if shuffle:
            owners = generator(seed, epoch, 0, STEPS).permutation(owners)
        self.owners = owners
        self.class_steps = np.empty(len(owners), np.int64)
        for number in range(len(self.classes)):
            mine = owners == number
            self.class_steps[mine] = np.arange(mine.sum())

    @property
    def steps(self) -> int:
        return len(self.owners)

    @property
    def samples(self) -> int:
        return sum(c.total for c in self.classes)

    def share(self, step: int, rank: int = 0, world_size: int = 1, cache: dict | None = None) -> Share:
        """Rank `rank`'s part of `step`. Keep one `cache` dict while reading steps in order."""
        if not 0 <= rank < world_size <= self.lanes:
            raise ValueError(f"rank {rank} of {world_size} does not fit {self.lanes} lanes")
        plan = self.classes[self.owners[step]]
        class_step = int(self.class_steps[step])
        positions = plan.positions(class_step, rank, world_size, {} if cache is None else cache)
        shards, rows = plan.locate(positions)
        return Share(step, plan.aspect_class, shards, rows, plan.step_samples(class_step))


def generator(seed: int, epoch: int, aspect_class: int, purpose: int, *more: int) -> np.random.Generator:
    """A generator keyed by plain numbers: the same on every machine, independent of any other key."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, epoch, aspect_class, purpose, *more))))
