"""Where the samples of a finished set came from."""

import hashlib
from collections.abc import Sequence

import numpy as np

from sharding.building.state import BuildFolder
from sharding.format.index import INDEX_NAME, ShardIndex
from sharding.reading.catalogue import open_catalogue


def origins_of(index: ShardIndex, samples: Sequence[tuple[str, int]]) -> list[str] | None:
    """The path of each sample in the source. samples: (name of its shard, position in it).

    None if the set is without its build folder, as where it was copied to another machine, or if that cannot be read.
    """
    folder = BuildFolder(index.root)
    try:
        catalogue = open_catalogue(folder.own)
        kept = hashlib.sha256((folder.own / INDEX_NAME).read_bytes()).hexdigest()
        if catalogue is None or kept != index.digest:
            return None
        counts = [shard.samples for shard in index.shards]
        firsts = dict(zip((shard.name for shard in index.shards), np.cumsum([0, *counts]).tolist(), strict=False))
        entries = np.memmap(folder.members, "<u4", "r")
        numbers = [int(entries[firsts[shard] + row]) for shard, row in samples]
        return [catalogue.shown(entry).decode("utf-8", "backslashreplace") for entry in catalogue.pick(numbers)]
    except (OSError, ValueError, IndexError):
        return None
