"""The samples of a shard set by size, bucket, subset and class: counted in a finished set, or in an audit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharding.audit.int_histogram import IntHistogram
from sharding.audit.result import Audit
from sharding.format.idx import read_idx
from sharding.format.index import ShardIndex
from sharding.format.splits import SPLITS
from sharding.progress import Progress, Report

RARE_BELOW = 20  # a letter or class that occurs less often in train is rare
SIZES = ("width", "height", "image_size", "label_length")  # fields of an .idx


@dataclass(frozen=True)
class SetStats:
    """The samples of a set, counted."""

    splits: tuple[str, ...]
    """Their names."""
    sizes: dict[str, IntHistogram]
    """A field of SIZES -> its values over all samples; without label_length for a set of classes."""
    subsets: NDArray[np.int64]
    """Samples by [split, subset]."""
    buckets: NDArray[np.int64]
    """Samples by [split, bucket]."""
    classes: NDArray[np.int64]
    """Samples by [split, class]; [split, 0] for words, and if the set does not say."""

    @property
    def classes_in_train(self) -> NDArray[np.int64]:
        """Samples of each class in train; in all splits if there is no train split."""
        of_train = self.splits.index("train") if "train" in self.splits else slice(None)
        counts: NDArray[np.int64] = np.atleast_2d(self.classes[of_train]).sum(axis=0)
        return counts


def count_set(index: ShardIndex, report: Report = lambda record: None) -> SetStats:
    """Read every .idx once, one after the other.

    Memory grows with the number of distinct widths, heights and sizes, not with the samples. Raises ShardError if an
    .idx is damaged.
    """
    splits = tuple(dict.fromkeys(shard.split for shard in index.shards))
    stats = SetStats(
        splits=splits,
        sizes={name: IntHistogram() for name in SIZES if name != "label_length" or index.kind == "words"},
        subsets=np.zeros((len(splits), len(index.subsets)), np.int64),
        buckets=np.zeros((len(splits), len(index.bucket_edges)), np.int64),
        classes=_class_table(index.counts.class_samples, splits),
    )
    total, done = sum(shard.samples for shard in index.shards), 0
    for shard in index.shards:
        report(Progress("reading", done, total))
        records = read_idx(index.idx_path(shard))
        split = splits.index(shard.split)
        for name, histogram in stats.sizes.items():
            histogram.add(records[name])
        stats.subsets[split] += np.bincount(records["subset"], minlength=len(index.subsets))[: len(index.subsets)]
        stats.buckets[split, shard.bucket] += len(records)
        done += len(records)
    report(Progress("reading", done, total))
    return stats


def stats_of_audit(audit: Audit) -> SetStats:
    """The same counts of the samples that a build would pack, from what an audit found."""
    found = audit.found
    sizes = {
        "image_size" if name == "read_bytes" else name: IntHistogram.of(*counts) for name, counts in found.sizes.items()
    }
    if audit.kind == "words":
        lengths = np.array(sorted(found.lengths.items()), np.int64).reshape(-1, 2)
        sizes["label_length"] = IntHistogram.of(lengths[:, 0], lengths[:, 1])
    return SetStats(
        splits=SPLITS,
        sizes=sizes,
        subsets=_by_split(found.subsets, len(audit.subsets)),
        buckets=audit.buckets,
        classes=_class_table(audit.class_samples, SPLITS),
    )


def _class_table(class_samples: Mapping[str, Sequence[int]], splits: Sequence[str]) -> NDArray[np.int64]:
    return np.array([class_samples.get(split, ()) for split in splits], np.int64)


def _by_split(counts: Counter[tuple[int, int]], numbers: int) -> NDArray[np.int64]:
    """Counts by (number, split) as an array [splits, numbers]."""
    table = np.zeros((len(SPLITS), numbers), np.int64)
    for (number, split), count in counts.items():
        table[split, number] = count
    return table
