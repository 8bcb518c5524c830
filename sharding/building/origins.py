"""Where the samples of a finished set came from."""

from collections.abc import Sequence

import numpy as np

from sharding.building.state import BuildFolder
from sharding.format.index import ShardIndex
from sharding.reading.catalogue import open_catalogue


def origins_of(index: ShardIndex, samples: Sequence[tuple[str, int]]) -> list[str] | None:
    """The path of each sample in the source. samples: (name of its shard, position in it).

    None if the set is without its build folder, as where it was copied to another machine.
    """
    folder = BuildFolder(index.root)
    catalogue = open_catalogue(folder.own)
    counts = [shard.samples for shard in index.shards]
    if catalogue is None or not folder.members.exists() or folder.members.stat().st_size != 4 * sum(counts):
        return None
    firsts = dict(zip((shard.name for shard in index.shards), np.cumsum([0, *counts]).tolist(), strict=False))
    entries = np.memmap(folder.members, "<u4", "r")
    numbers = [int(entries[firsts[shard] + row]) for shard, row in samples]
    return [catalogue.shown(entry).decode("utf-8", "backslashreplace") for entry in catalogue.pick(numbers)]
