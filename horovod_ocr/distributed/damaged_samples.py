"""Samples that could not be read, over all ranks: each is named once and counted, and too many stop the run."""

import socket
from collections.abc import Iterable

from horovod_ocr.console import console
from horovod_ocr.data.reader import Damage
from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import ShardError
from sharding.format.index import ShardInfo

MOST_LISTED = 20


class DamagedSamples:
    """The samples of a split that the ranks could not read. A shard counts as all of its samples."""

    def __init__(self, world: World, shards: Iterable[ShardInfo], most: int):
        """shards: of the split. most: how many samples may be damaged before all ranks stop."""
        self.world, self.most = world, most
        self.count = 0  # damaged samples over all ranks, as of the latest `agree`
        self.samples_of_shard = {shard.name: shard.samples for shard in shards}
        self.known: dict[tuple[str, int | None], str] = {}  # (shard, row) -> where it was met and why it is damaged
        self.fresh: dict[tuple[str, int | None], str] = {}  # of this rank, not told to the others yet

    def add(self, damage: list[Damage]) -> None:
        """Note what a batch of this rank met, and name it, the first time, with rank and host."""
        for met in damage:
            key = met.shard, met.row
            if key not in self.known and key not in self.fresh:
                self.fresh[key] = f"rank {self.world.rank} on {socket.gethostname()}: {met}"
                console.print(f"warning: {self.fresh[key]}", markup=False)

    def agree(self) -> None:
        """Update `count`. Collective.

        Raises ShardError, on every rank and with the list, above `most`.
        """
        if self.world.sum_array([len(self.fresh)])[0]:  # far cheaper than to gather nothing
            for fresh in self.world.gather(self.fresh):
                self.known |= fresh
            self.fresh = {}
        lost = {shard for shard, row in self.known if row is None}
        count = sum(self.samples_of_shard[shard] for shard in lost)
        count += sum(row is not None and shard not in lost for shard, row in self.known)
        if count > self.most:
            listed = [self.known[key] for key in sorted(self.known, key=str)]
            if len(listed) > MOST_LISTED:
                listed[MOST_LISTED:] = [f"and {len(listed) - MOST_LISTED:,} more"]
            raise raised_on_all_ranks(
                ShardError(
                    f"{count:,} samples cannot be read, at most {self.most:,} may be (--max-bad); repair them with: "
                    "horovod-ocr verify --repair\n  " + "\n  ".join(listed)
                )
            )
        self.count = count
