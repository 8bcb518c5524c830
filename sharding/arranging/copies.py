"""The same image more than once: the rule, on arrays in memory.

Copies are told by the digest of an image's bytes. Where their labels differ, none of them can be trusted: all are
conflicts. Else one stays: the one in the split that is held out furthest (test before val before train, so that a score
stays honest), and of those the first.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sharding.format.splits import SPLITS
from sharding.reading.hashes import is_among, repeated_values
from sharding.reading.split import UNDECIDED

_TOGETHER = 1 << 22  # entries that are looked up at once


class Copies(NamedTuple):
    """Places in the arrays. conflicts: samples whose image stands elsewhere with another label, and in
    conflicts_with one such other for each. copies: further copies of an image, and in copies_of the one that stays."""

    conflicts: np.ndarray
    conflicts_with: np.ndarray
    copies: np.ndarray
    copies_of: np.ndarray


def compare_copies(digests: np.ndarray, label_hashes: np.ndarray, splits: np.ndarray) -> Copies:
    """The rule over [n] samples, not none, in the order of the set: every one with its digest somewhere among them."""
    order = np.lexsort((len(SPLITS) - splits.astype(np.int16), digests))  # stable: the first stays first
    digests, label_hashes = digests[order], label_hashes[order]
    starts = np.flatnonzero(np.diff(digests, prepend=~digests[:1]))  # of the groups of equal digests
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    first = starts[group]
    differs = label_hashes != label_hashes[first]
    none = len(order)
    other = np.minimum.reduceat(np.where(differs, np.arange(none), none), starts)[group]
    conflict = other < none
    other = np.where(conflict & ~differs, other, first)  # a conflict is shown beside one with another label
    copy = ~conflict & (first != np.arange(none))
    return Copies(order[conflict], order[other[conflict]], order[copy], order[first[copy]])


def find_copies(seen: Mapping[str, np.ndarray]) -> Copies:
    """seen: digest, label_hash and split of each entry (split UNDECIDED: it is no sample)."""
    repeated = repeated_values(seen["digest"][seen["split"] != UNDECIDED])
    if not len(repeated):
        return Copies(*[np.zeros(0, np.int64)] * 4)
    rows = _samples_among(seen, repeated)
    found = compare_copies(*(seen[name][rows] for name in ("digest", "label_hash", "split")))
    return Copies(*(rows[positions] for positions in found))


def _samples_among(seen: Mapping[str, np.ndarray], digests: np.ndarray) -> np.ndarray:
    """The places of the samples with one of these digests (sorted), ascending."""
    parts = []
    for start in range(0, len(seen["digest"]), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        found = is_among(seen["digest"][part], digests) & (seen["split"][part] != UNDECIDED)
        parts.append(np.flatnonzero(found) + start)
    return np.concatenate(parts)
