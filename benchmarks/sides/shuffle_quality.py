"""How well an epoch is shuffled: this project's plan beside webdataset's buffer of 1,000 samples, over the same shards.

The sharder has already shuffled the samples of these shards; the shards of a bucket follow each other. Two questions:
- Does the place in the epoch follow from the position in the shard set? Spearman's rank correlation, 0 if it does not.
- Are the letters of a batch those of a uniform draw from all words, or from the batch's own bucket? Chi-square over the
  letters per degree of freedom, the mean of all whole batches. The letters of a word depend on each other, so even a
  uniform draw does not give 1; for comparison there are uniform draws from the whole set and from the buckets.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import webdataset as wds

from sharding.format.index import read_index

BUFFER = 1000
MIN_EXPECTED = 5  # letters in a batch; rarer ones are counted as one


class ShardSet(NamedTuple):
    """All samples in the order of the set."""

    urls: list[str]
    """Of the shards."""
    positions: dict[str, int]
    """The position of each key."""
    letters: np.ndarray
    """[samples, letters]: how often each letter is in a label."""
    buckets: np.ndarray
    """[samples]"""


def look_at_shuffles(shards: Path, batch: int) -> dict[str, dict[str, float]]:
    """Figures of each order of reading: rank_correlation, letters_of_set, letters_of_bucket. batch: its samples."""
    samples = read_set(shards)
    rng = np.random.default_rng(0)
    total = len(samples.buckets)
    return {
        "ours": figures_of(samples, planned_batches(shards, batch), batch),
        "webdataset, buffer of 1,000": figures_of(samples, buffered_batches(samples, batch, shardshuffle=False), batch),
        "webdataset, shards shuffled too": figures_of(
            samples, buffered_batches(samples, batch, shardshuffle=100), batch
        ),
        "uniform": figures_of(samples, cut(rng.permutation(total), batch), batch),
        "uniform in a bucket": figures_of(samples, bucket_batches(samples, batch, rng), batch),
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


def planned_batches(shards: Path, batch: int) -> list[np.ndarray]:
    from sides.word_readers import open_stream

    stream = open_stream(shards, global_batch=batch)
    plan = stream.plan(0)
    starts = np.concatenate([[0], np.cumsum([shard.samples for shard in stream.slices])])
    shares = (plan.share(step) for step in range(plan.steps))
    return [starts[share.shards] + share.rows for share in shares]


def buffered_batches(samples: ShardSet, batch: int, shardshuffle: bool | int) -> list[np.ndarray]:
    dataset = wds.WebDataset(samples.urls, shardshuffle=shardshuffle, seed=0).shuffle(BUFFER, seed=0)
    return cut(np.array([samples.positions[sample["__key__"]] for sample in dataset]), batch)


def bucket_batches(samples: ShardSet, batch: int, rng: np.random.Generator) -> list[np.ndarray]:
    batches = []
    for bucket in np.unique(samples.buckets):
        batches += cut(rng.permutation(np.flatnonzero(samples.buckets == bucket)), batch)
    return [batches[position] for position in rng.permutation(len(batches))]


def cut(order: np.ndarray, batch: int) -> list[np.ndarray]:
    return [order[first : first + batch] for first in range(0, len(order), batch)]


def figures_of(samples: ShardSet, batches: list[np.ndarray], batch: int) -> dict[str, float]:
    order = np.concatenate(batches)
    if not np.array_equal(np.sort(order), np.arange(len(samples.buckets))):
        raise SystemExit(f"an epoch of {len(samples.buckets):,} samples gave {len(order):,}, not each once")
    whole = [each for each in batches if len(each) == batch]

    def mean_chi_square(population_of: Callable[[np.ndarray], np.ndarray]) -> float:
        return float(np.mean([chi_square(samples.letters[each], population_of(each)) for each in whole]))

    totals = samples.letters.sum(axis=0)
    return {
        # both are permutations of 0..n-1, hence ranks already
        "rank_correlation": float(np.corrcoef(np.arange(len(order)), order)[0, 1]),
        "letters_of_set": mean_chi_square(lambda each: totals),
        "letters_of_bucket": mean_chi_square(lambda each: expected_of_buckets(samples, each)),
    }


def expected_of_buckets(samples: ShardSet, batch: np.ndarray) -> np.ndarray:
    """Letters of a draw with as many samples of each bucket as the batch has."""
    expected = np.zeros(samples.letters.shape[1])
    for bucket, count in zip(*np.unique(samples.buckets[batch], return_counts=True), strict=True):
        expected += count * samples.letters[samples.buckets == bucket].mean(axis=0)
    return expected


def chi_square(letters: np.ndarray, population: np.ndarray) -> float:
    """Of a batch's letters against those of the population, per degree of freedom."""
    seen = letters.sum(axis=0)
    expected = population / population.sum() * seen.sum()
    rare = expected < MIN_EXPECTED
    seen = np.append(seen[~rare], seen[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    return float(((seen - expected)[kept] ** 2 / expected[kept]).sum() / (kept.sum() - 1))
