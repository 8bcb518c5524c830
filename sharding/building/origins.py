"""Where the samples of a finished set came from."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sharding.building.state import BuildFolder, read_state
from sharding.errors import ShardError
from sharding.format.index import INDEX_NAME, ShardIndex
from sharding.reading.catalogue import Catalogue, Listed, open_catalogue

Place = tuple[str, int]  # name of the shard, position in it


def origins_of(index: ShardIndex, samples: Sequence[Place]) -> list[str] | None:
    """The path of each sample below its source, as lists for people have it.

    None if the set is without its build folder, as where it was copied to another machine, or if that cannot be read.
    """
    found = _entries_of(index, samples)
    return [_text(catalogue.shown(entry)) for catalogue, entry in found] if found else None


def files_of(index: ShardIndex, samples: Sequence[Place]) -> list[str] | None:
    """The same with the folder of the source, as it was given to the build."""
    try:
        found, state = _entries_of(index, samples), read_state(BuildFolder(index.root))
    except ShardError:
        return None
    if found is None or state is None:
        return None
    return [str(Path(state.sources[entry.source]["root"]) / _text(entry.path)) for _, entry in found]


def _entries_of(index: ShardIndex, samples: Sequence[Place]) -> list[tuple[Catalogue, Listed]] | None:
    folder = BuildFolder(index.root)
    try:
        catalogue = open_catalogue(folder.own)
        kept = hashlib.sha256((folder.own / INDEX_NAME).read_bytes()).hexdigest()
        if catalogue is None or kept != index.digest:
            return None
        return [(catalogue, entry) for entry in catalogue.pick(_numbers(folder, index, samples))]
    except (OSError, ValueError, IndexError):
        return None


def _numbers(folder: BuildFolder, index: ShardIndex, samples: Sequence[Place]) -> Iterator[int]:
    """Of the entries in the catalogue."""
    firsts = np.cumsum([0, *(shard.samples for shard in index.shards)]).tolist()
    first_of = dict(zip((shard.name for shard in index.shards), firsts, strict=False))
    entries = np.memmap(folder.members, "<u4", "r")
    return (int(entries[first_of[shard] + row]) for shard, row in samples)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
