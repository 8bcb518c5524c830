"""The same image more than once: the rule, on arrays in memory.

Copies are recognised by the digest of an image's bytes. If their labels differ, none of them can be trusted: all are
conflicts. Else one stays: the one in the split that is held out furthest (test before val before train, so that a score
stays honest), and of those the first.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharding.format.splits import SPLITS
from sharding.reading.hashes import is_among, repeated_values
from sharding.reading.split import UNDECIDED

_TOGETHER = 1 << 22  # entries that are looked up at once


class Copies(NamedTuple):
    """Positions in the arrays of all samples."""

    conflicts: NDArray[Any]
    """Samples whose image occurs elsewhere with another label."""
    conflicts_with: NDArray[Any]
    """One such other sample for each."""
    copies: NDArray[Any]
    """Further copies of an image."""
    copies_of: NDArray[Any]
    """The copy that stays, for each."""


def compare_copies(digests: NDArray[Any], label_hashes: NDArray[Any], splits: NDArray[Any]) -> Copies:
    """Apply the rule to [n] samples, at least one, in the order of the set. For every digest among them, all of its
    samples must be there."""
    order = np.lexsort((len(SPLITS) - splits.astype(np.int16), digests))  # stable: the first stays first
    digests, label_hashes = digests[order], label_hashes[order]
    starts = np.flatnonzero(np.diff(digests, prepend=~digests[:1]))  # of the groups of equal digests
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    first = starts[group]
    differs = label_hashes != label_hashes[first]
    none = len(order)
    other = np.minimum.reduceat(np.where(differs, np.arange(none), none), starts)[group]
    conflict = other < none
    other = np.where(conflict & ~differs, other, first)  # a conflict is shown with a sample that has another label
    copy = ~conflict & (first != np.arange(none))
    return Copies(order[conflict], order[other[conflict]], order[copy], order[first[copy]])


def find_copies(seen: Mapping[str, NDArray[Any]]) -> Copies:
    """Find copies among all entries. seen: digest, label_hash and split of each (split UNDECIDED: not a sample)."""
    repeated = repeated_values(seen["digest"][seen["split"] != UNDECIDED])
    if not len(repeated):
        return Copies(*[np.zeros(0, np.int64)] * 4)
    rows = _samples_among(seen, repeated)
    found = compare_copies(*(seen[name][rows] for name in ("digest", "label_hash", "split")))
    return Copies(*(rows[positions] for positions in found))


def _samples_among(seen: Mapping[str, NDArray[Any]], digests: NDArray[Any]) -> NDArray[Any]:
    """The positions of the samples with one of these digests (sorted), ascending."""
    parts = []
    for start in range(0, len(seen["digest"]), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        found = is_among(seen["digest"][part], digests) & (seen["split"][part] != UNDECIDED)
        parts.append(np.flatnonzero(found) + start)
    return np.concatenate(parts)
