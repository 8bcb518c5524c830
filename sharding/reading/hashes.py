"""64-bit hashes of texts and paths (XXH3, the same on every machine), and how sorted arrays of them are searched."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest


def hash_paths(purpose: bytes, paths: Iterable[bytes], count: int) -> NDArray[np.uint64]:
    """The hashes of `count` paths: uint64 [count]. Another purpose gives unrelated numbers."""
    prefix = purpose + b"\0"
    return np.fromiter((xxh3_64_intdigest(prefix + path) for path in paths), np.uint64, count)


def repeated_values(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The values that occur more than once, sorted. Sorts `hashes` in place: a copy of 35 M would take 280 MB."""
    hashes.sort()
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def is_among(values: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each value occurs in `known` (sorted, not empty)."""
    found: NDArray[np.bool_] = known[np.searchsorted(known, values).clip(max=len(known) - 1)] == values
    return found
