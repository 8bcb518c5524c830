"""The rule of duplicates.py, for an audit: on arrays in memory, one value of each entry, and no spool."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sharding.duplicates import is_among
from sharding.split import SPLITS, UNDECIDED

_TOGETHER = 1 << 22  # entries that are looked up at once


class Copies(NamedTuple):
    """Places in the arrays. conflicts: samples whose image stands elsewhere with another label, and in
    conflicts_with one such other for each. copies: further copies of an image, and in copies_of the one that stays."""

    conflicts: np.ndarray
    conflicts_with: np.ndarray
    copies: np.ndarray
    copies_of: np.ndarray


def find_copies(seen: Mapping[str, np.ndarray]) -> Copies:
    """seen: digest, label_hash and split of each entry (split UNDECIDED: it is no sample)."""
    digests = seen["digest"][seen["split"] != UNDECIDED]
    digests.sort()
    repeated = np.unique(digests[1:][digests[1:] == digests[:-1]])
    del digests
    if not len(repeated):
        return Copies(*[np.zeros(0, np.int64)] * 4)
    rows = _samples_among(seen, repeated)
    held_out = len(SPLITS) - seen["split"][rows]
    rows = rows[np.lexsort((held_out, seen["digest"][rows]))]
    digests, labels = seen["digest"][rows], seen["label_hash"][rows]
    starts = np.flatnonzero(np.diff(digests, prepend=~digests[:1]))  # of the groups of equal digests
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    first = starts[group]
    differs = labels != labels[first]
    other = np.minimum.reduceat(np.where(differs, np.arange(len(rows)), len(rows)), starts)[group]
    conflict = other < len(rows)
    other = np.where(conflict & ~differs, other, first)
    copy = ~conflict & (first != np.arange(len(rows)))
    return Copies(rows[conflict], rows[other[conflict]], rows[copy], rows[first[copy]])


def _samples_among(seen: Mapping[str, np.ndarray], digests: np.ndarray) -> np.ndarray:
    """The places of the samples with one of these digests (sorted), ascending."""
    parts = []
    for start in range(0, len(seen["digest"]), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        found = is_among(seen["digest"][part], digests) & (seen["split"][part] != UNDECIDED)
        parts.append(np.flatnonzero(found) + start)
    return np.concatenate(parts)
