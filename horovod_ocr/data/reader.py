"""The bytes of samples: tars are memory-mapped, read through their .idx, and checked against the index."""

import errno
import hashlib
import mmap
import os
import resource
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from horovod_ocr.console import console
from horovod_ocr.data.cache import AlteredError
from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import ShardError
from sharding.format.idx import digest_of, read_idx, record_of
from sharding.format.index import ShardInfo

# before each attempt to open a shard, since a file server may be away for a moment. After the last attempt the shard
# counts as lost, unless the whole set is away
PAUSES_S = (0.0, 1.0, 4.0, 15.0, 30.0)
POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14, which Python 3.11 does not name
CHUNK = 1 << 18  # bytes that are read into memory at once, a multiple of the page size
MOST_OPEN = 8192  # shards: Linux allows a process 65,530 maps, and two splits may be open
OTHER_FILES = 256  # file descriptors for everything but shards


class Damage(NamedTuple):
    """What could not be read: a sample or a shard."""

    shard: str
    """The shard's name."""
    row: int | None
    """The sample's row in the shard; None for the whole shard."""
    reason: str
    """Part of a sentence, without the name of the shard."""

    def __str__(self) -> str:
        return f"{self.shard}{'' if self.row is None else f', sample {self.row}'}: {self.reason}"


class DamagedError(Exception):
    """A sample or a shard cannot be read, or differs from the index."""

    def __init__(self, shard: str, row: int | None, reason: str):
        super().__init__(shard, row, reason)
        self.damage = Damage(shard, row, reason)


class MappedShard:
    """One tar and its .idx, memory-mapped, so that they can still be read after they are removed.

    Raises:
        OSError, ShardError: the files cannot be read now.
        DamagedError: the files differ from the index.
    """

    def __init__(self, store: ShardStore, shard: ShardInfo):
        self.name = shard.name
        tar, idx = store.tar_path(shard), store.idx_path(shard)
        with open(idx, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != shard.idx_sha256:
                raise DamagedError(shard.name, None, f"{idx.name} differs from the index")
        self.records = read_idx(idx).view(np.ndarray)  # indexing a memmap takes four times as long
        with open(tar, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != shard.bytes:  # a truncated tar would otherwise end as if nothing were wrong
                raise DamagedError(shard.name, None, f"{tar.name} has {size:,} bytes, the index says {shard.bytes:,}")
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.view = memoryview(self.map)
        self.fetched = bytearray(-(-size // CHUNK))

    def sample(self, row: int) -> tuple[memoryview, str, int]:
        """Encoded image, label, subset.

        Raises:
            DamagedError: they differ from what was packed.
            OSError: they cannot be read.
        """
        record = record_of(self.records, row)
        for chunk in range(record.image.start // CHUNK, (record.label.stop - 1) // CHUNK + 1):
            if not self.fetched[chunk]:
                self.fetch(chunk)
        image, label = self.view[record.image], self.view[record.label]
        if digest_of(image) != record.digest:
            raise DamagedError(self.name, row, "the image's bytes differ from the index")
        if zlib.crc32(label) != record.label_crc32:
            raise DamagedError(self.name, row, "the label's bytes differ from the index")
        return image, str(label, "utf-8"), record.subset

    def fetch(self, chunk: int) -> None:
        """Read a chunk into memory. If this fails, it raises an OSError; a failed read on first access to the map would
        be a SIGBUS instead, which ends the process."""
        start = chunk * CHUNK
        try:
            self.map.madvise(POPULATE_READ, start, min(CHUNK, len(self.map) - start))
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: an older kernel without this advice
                raise
        self.fetched[chunk] = True


class OpenShards:
    """The shards of a split, opened when they are needed. The most recently used `most` of them stay open.

    Fewer stay open if the system does not let this process open as many files. A pickled copy has no open shards.
    """

    def __init__(self, store: ShardStore, shards: tuple[ShardInfo, ...], most: int):
        self.store, self.shards, self.most = store, shards, allow_open(most)
        self.open: OrderedDict[int, MappedShard] = OrderedDict()
        self.lost: dict[int, DamagedError] = {}
        self.renewed: set[int] = set()  # shards whose copies in the cache were damaged

    def sample(self, shard: int, row: int) -> tuple[memoryview, str, int]:
        """Encoded image, label, subset of a sample.

        Raises:
            DamagedError: it, or its shard, cannot be read or differs from the index.
        """
        try:
            return self.read(shard, row)
        except DamagedError:
            # a cached copy was whole when it was made, so the original may still be
            if shard in self.renewed or not self.store.drop_copies(self.shards[shard]):
                raise
        self.renewed.add(shard)
        self.open.pop(shard, None)
        self.lost.pop(shard, None)
        return self.read(shard, row)

    def read(self, shard: int, row: int) -> tuple[memoryview, str, int]:
        """A sample. If its open shard can no longer be read, the shard is opened again. Raises like `sample`."""
        try:
            return self.mapped(shard).sample(row)
        except OSError:  # a file server that was away may no longer know the open file
            self.open.pop(shard, None)
        try:
            return self.mapped(shard).sample(row)
        except OSError as error:
            raise DamagedError(self.shards[shard].name, row, f"cannot be read ({error.strerror})") from error

    def mapped(self, shard: int) -> MappedShard:
        """A shard, opened if it is not. Raises like `open_shard`."""
        mapped = self.open.get(shard)
        if mapped is None:
            if shard in self.lost:
                raise self.lost[shard]
            mapped = self.open[shard] = self.open_shard(shard)
            if len(self.open) > self.most:
                self.open.popitem(last=False)
        else:
            self.open.move_to_end(shard)
        return mapped

    def open_shard(self, shard: int) -> MappedShard:
        """Open a shard, in several attempts: see PAUSES_S.

        Raises:
            DamagedError: it is damaged, or cannot be opened in any attempt.
        """
        info = self.shards[shard]
        for pause_s in self.pauses():
            if pause_s:
                time.sleep(pause_s)
            try:
                return MappedShard(self.store, info)
            except DamagedError as error:
                lost = error
                break
            except AlteredError as error:
                lost = DamagedError(info.name, None, str(error))
                break
            except (OSError, ShardError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                lost = DamagedError(info.name, None, f"cannot be opened ({reason})")
        self.lost[shard] = lost
        raise lost

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each attempt to open a shard."""
        yield from PAUSES_S
        if self.store.is_away():
            console.print(f"warning: {self.store.index.root} is away; reading waits until it is back", markup=False)
        while self.store.is_away():
            yield PAUSES_S[-1]
        yield 0.0  # it may have come back since the last attempt

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenShards, (self.store, self.shards, self.most)


def allow_open(shards: int) -> int:
    """How many of `shards` shards this process may have open at once.

    Its limit of open files (ulimit -n, often 1,024) is raised as far as necessary and permitted. A shard needs two
    descriptors, because Python keeps one for each map; and train and val may be open at the same time.
    """
    shards = min(shards, MOST_OPEN)
    needed = OTHER_FILES + 4 * shards
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:  # below 0: no limit
        soft = needed if hard < 0 else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        shards = min(shards, max(1, (soft - OTHER_FILES) // 4))
    return shards
