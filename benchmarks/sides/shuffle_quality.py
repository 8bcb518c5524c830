"""How well an epoch is shuffled: this project's plan beside webdataset's buffer of 1,000 samples, over the same shards.

The sharder has shuffled the samples of these shards already; shards of a class follow each other. Two questions:
- Does the place in the epoch follow from the place in the shard set? Spearman's rank correlation, 0 where it does not.
- Are the letters of a batch those of a uniform draw from all words, or from the batch's own bucket? Chi-square
  over the letters a degree of freedom, the mean of all whole batches. The letters of a word depend on each other, so
  even a uniform draw does not give 1: it stands beside, as drawn from the whole set and from the buckets.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import webdataset as wds

from sharding.format.index import read_index

BATCH = 256
BUFFER = 1000
MIN_EXPECTED = 5  # letters a batch; rarer ones are counted as one


class ShardSet(NamedTuple):
    """All samples in the order of the set. letters: [samples, letters] how often. buckets: [samples]."""

    urls: list[str]
    positions: dict[str, int]
    letters: np.ndarray
    buckets: np.ndarray


def look_at_shuffles(shards: Path) -> dict[str, dict[str, float]]:
    """Figures of each order of reading: rank_correlation, letters_of_set, letters_of_class."""
    samples = read_set(shards)
    rng = np.random.default_rng(0)
    total = len(samples.buckets)
    return {
        "ours": figures_of(samples, planned_batches(shards)),
        "webdataset, buffer of 1,000": figures_of(samples, buffered_batches(samples, shardshuffle=False)),
        "webdataset, shards shuffled too": figures_of(samples, buffered_batches(samples, shardshuffle=100)),
        "uniform": figures_of(samples, cut(rng.permutation(total))),
        "uniform in a class": figures_of(samples, class_batches(samples, rng)),
    }


def read_set(shards: Path) -> ShardSet:
    index = read_index(shards)
    infos = index.of("train")
    urls = [str(index.tar_path(shard)) for shard in infos]
    positions: dict[str, int] = {}
    counts: list[Counter] = []
    for sample in wds.WebDataset(urls, shardshuffle=False):
        positions[sample["__key__"]] = len(positions)
        counts.append(Counter(sample["txt"].decode()))
    alphabet = sorted(set().union(*counts))
    letters = np.array([[count[letter] for letter in alphabet] for count in counts])
    buckets = np.repeat([shard.bucket for shard in infos], [shard.samples for shard in infos])
    return ShardSet(urls, positions, letters, buckets)


def planned_batches(shards: Path) -> list[np.ndarray]:
    from sides.word_readers import open_stream

    stream = open_stream(shards, global_batch=BATCH)
    plan = stream.plan(0)
    starts = np.concatenate([[0], np.cumsum([shard.samples for shard in stream.slices])])
    shares = (plan.share(step) for step in range(plan.steps))
    return [starts[share.shards] + share.rows for share in shares]


def buffered_batches(samples: ShardSet, shardshuffle: bool | int) -> list[np.ndarray]:
    dataset = wds.WebDataset(samples.urls, shardshuffle=shardshuffle, seed=0).shuffle(BUFFER, seed=0)
    return cut(np.array([samples.positions[sample["__key__"]] for sample in dataset]))


def class_batches(samples: ShardSet, rng: np.random.Generator) -> list[np.ndarray]:
    batches = []
    for bucket in np.unique(samples.buckets):
        batches += cut(rng.permutation(np.flatnonzero(samples.buckets == bucket)))
    return [batches[position] for position in rng.permutation(len(batches))]


def cut(order: np.ndarray) -> list[np.ndarray]:
    return [order[first : first + BATCH] for first in range(0, len(order), BATCH)]


def figures_of(samples: ShardSet, batches: list[np.ndarray]) -> dict[str, float]:
    order = np.concatenate(batches)
    if not np.array_equal(np.sort(order), np.arange(len(samples.buckets))):
        raise SystemExit(f"an epoch of {len(samples.buckets):,} samples gave {len(order):,}, not each once")
    whole = [batch for batch in batches if len(batch) == BATCH]

    def mean_chi_square(population_of: Callable[[np.ndarray], np.ndarray]) -> float:
        return float(np.mean([chi_square(samples.letters[batch], population_of(batch)) for batch in whole]))

    totals = samples.letters.sum(axis=0)
    return {
        # both are permutations of 0..n-1, hence ranks already
        "rank_correlation": float(np.corrcoef(np.arange(len(order)), order)[0, 1]),
        "letters_of_set": mean_chi_square(lambda batch: totals),
        "letters_of_class": mean_chi_square(lambda batch: expected_of_classes(samples, batch)),
    }


def expected_of_classes(samples: ShardSet, batch: np.ndarray) -> np.ndarray:
    """Letters of a draw with as many samples of each class as the batch has."""
    expected = np.zeros(samples.letters.shape[1])
    for bucket, count in zip(*np.unique(samples.buckets[batch], return_counts=True), strict=True):
        expected += count * samples.letters[samples.buckets == bucket].mean(axis=0)
    return expected


def chi_square(letters: np.ndarray, population: np.ndarray) -> float:
    """Of a batch's letters against those of the population, a degree of freedom."""
    seen = letters.sum(axis=0)
    expected = population / population.sum() * seen.sum()
    rare = expected < MIN_EXPECTED
    seen = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    return float(((seen - expected)[kept] ** 2 / expected[kept]).sum() / (kept.sum() - 1))
