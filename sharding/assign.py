"""Which sample goes into which shard: aspect classes, the one shuffle, and the row of shards. Arithmetic on arrays."""

from dataclasses import dataclass

import numpy as np

from sharding.split import SPLITS, hash_of

ASPECT_STEP = 1.25
_MIN_CLASS_SAMPLES = 64
_MIN_CLASS_SHARE = 0.01


@dataclass(frozen=True)
class ShardPlan:
    """One shard to be written. first_key: number of its first sample in the whole set. samples: places in the source,
    in the order of the tar."""

    name: str
    split: str
    aspect_class: int
    first_key: int
    samples: np.ndarray


def build_aspect_edges(aspects: np.ndarray) -> tuple[float, ...]:
    """The upper width / height bound of each aspect class, ascending, from the [samples] aspects of all splits.

    Steps of 1.25 on a fixed grid, so that bounds mean the same in every set. From narrow to wide, a class of fewer
    than 1 % of all samples (or 64) is merged into the next wider one; the widest bound is the widest sample's,
    rounded up to the grid.
    """
    low = int(np.floor(np.log(aspects.min()) / np.log(ASPECT_STEP))) - 1
    high = int(np.ceil(np.log(aspects.max()) / np.log(ASPECT_STEP))) + 1
    # Six digits: the same bound on every machine, whatever its last bit of a power is.
    grid = np.array([round(ASPECT_STEP**power, 6) for power in range(low, high + 1)])
    counts = np.bincount(np.searchsorted(grid, aspects), minlength=len(grid))
    counts = counts[: np.flatnonzero(counts)[-1] + 1]
    needed = max(_MIN_CLASS_SHARE * len(aspects), _MIN_CLASS_SAMPLES)
    edges, held = [], 0
    for place, count in enumerate(counts):
        held += int(count)
        if held >= needed or place == len(counts) - 1:
            edges.append(float(grid[place]))
            held = 0
    return tuple(edges)


def classes_of(aspects: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    """The aspect class of each sample: the first whose bound is not below its width / height. int64 [samples]."""
    return np.searchsorted(np.array(edges), aspects)


def default_samples_per_shard(samples: int) -> int:
    """10,000 for large sets; small ones get about 64 shards, of at least 100 samples."""
    return min(max(samples // 64, 100), 10_000)


def shuffle_order(paths: list[str], seed: int) -> np.ndarray:
    """A permutation of the paths that depends on the seed and on each path alone. int64 [samples].

    Sorting by a hash, not a generator: the same on every machine and with every version of numpy.
    """
    keys = np.fromiter((hash_of(f"order {seed}", path) for path in paths), np.uint64, len(paths))
    return np.lexsort((np.arange(len(paths)), keys))


def plan_shards(
    splits: np.ndarray, aspect_classes: np.ndarray, order: np.ndarray, samples_per_shard: int
) -> list[ShardPlan]:
    """The shards of a set. splits: place in SPLITS of each sample; order: the shuffled places in the source.

    A shard holds one split and one aspect class; every one but the last of a split and class has exactly
    samples_per_shard. Its name says only the split and a number.
    """
    plans: list[ShardPlan] = []
    first_key = 0
    for split_number, split in enumerate(SPLITS):
        number = 0
        of_split = order[splits[order] == split_number]
        for aspect_class in range(int(aspect_classes.max(initial=-1)) + 1):
            members = of_split[aspect_classes[of_split] == aspect_class]
            for start in range(0, len(members), samples_per_shard):
                samples = members[start : start + samples_per_shard]
                plans.append(ShardPlan(f"{split}-{number:06d}", split, aspect_class, first_key, samples))
                number += 1
                first_key += len(samples)
    return plans
