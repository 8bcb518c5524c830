"""The same image more than once: found by the digest of its bytes over all samples that were read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharding.arranging.copies import compare_copies
from sharding.format.splits import SPLITS
from sharding.reading.hashes import is_among, repeated_values
from sharding.reading.spool import ASPECT_GRID, FACTS, read_spool

_TOGETHER = 1 << 22  # copies that are compared at once
_COPY = np.dtype([(name, FACTS[name]) for name in ("digest", "label_hash", "order", "entry", "split", "cell")])
PAIR = np.dtype([("entry", "<u4"), ("other", "<u4"), ("split", "u1"), ("other_split", "u1"), ("cell", "u1")])


@dataclass(frozen=True)
class Duplicates:
    """The samples whose image occurs more than once."""

    conflicts: NDArray[Any]
    """PAIR rows: samples whose image occurs elsewhere with another label."""
    copies: NDArray[Any]
    """PAIR rows: further copies of an image (other: the entry that stays)."""
    left_out: NDArray[Any]
    """Entries that do not go into a shard, sorted."""

    def without(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The FACTS rows that go into shards."""
        return rows[~is_among(rows["entry"], self.left_out)] if len(self.left_out) else rows

    @property
    def across_splits(self) -> int:
        """Copies in another split than the one that stays."""
        return int((self.copies["split"] != self.copies["other_split"]).sum())


def count_samples(spools: list[Path], samples: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """([splits, cells] samples, the digests that occur more than once, sorted) of all spooled samples."""
    counts = np.zeros((len(SPLITS), len(ASPECT_GRID) + 1), np.int64)
    digests = np.empty(samples, np.uint64)
    at = 0
    for spool in spools:
        facts = read_spool(spool).facts
        np.add.at(counts, (facts["split"], facts["cell"]), 1)
        digests[at : at + len(facts)] = facts["digest"]
        at += len(facts)
    return counts, repeated_values(digests)


def find_duplicates(spools: list[Path], repeated: NDArray[Any], leave_out: bool) -> Duplicates:
    """Compare the samples whose digests are `repeated` (sorted) by the rule of copies.py. Conflicts are left out.

    leave_out: leave further copies of an image out too.
    """
    conflicts, copies = [np.zeros(0, PAIR)], [np.zeros(0, PAIR)]
    for start in range(0, len(repeated), _TOGETHER):
        rows = np.concatenate([*_rows_of(spools, repeated[start : start + _TOGETHER])])
        rows = rows[np.argsort(rows["order"], kind="stable")]
        found = compare_copies(rows["digest"], rows["label_hash"], rows["split"])
        conflicts.append(_pairs(rows[found.conflicts], rows[found.conflicts_with]))
        copies.append(_pairs(rows[found.copies], rows[found.copies_of]))
    conflict, copy = np.concatenate(conflicts), np.concatenate(copies)
    left_out = np.sort(np.concatenate([conflict["entry"], copy["entry"]] if leave_out else [conflict["entry"]]))
    return Duplicates(conflict, copy, left_out)


def _pairs(rows: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    pairs = np.empty(len(rows), PAIR)
    for name in ("entry", "split", "cell"):
        pairs[name] = rows[name]
    pairs["other"], pairs["other_split"] = others["entry"], others["split"]
    return pairs


def _rows_of(spools: list[Path], digests: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The samples of each spool file with one of these digests."""
    for spool in spools:
        facts = read_spool(spool).facts
        found = facts[is_among(facts["digest"], digests)]
        rows = np.empty(len(found), _COPY)
        for name in _COPY.names or ():
            rows[name] = found[name]
        yield rows
