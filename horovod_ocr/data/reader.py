"""The bytes of samples: memory-mapped tars, read through their .idx, and checked against what the index promises."""

import errno
import hashlib
import mmap
import os
import resource
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from horovod_ocr.console import console
from horovod_ocr.data.cache import AlteredError
from horovod_ocr.data.store import ShardStore
from horovod_ocr.errors import ShardError
from sharding.format.index import ShardInfo, read_idx
from sharding.images.read import digest_of

# a file server that is away for a moment is waited for; a shard that cannot be read after that is lost, but not while
# the whole set is away
PAUSES_S = (0.0, 1.0, 4.0, 15.0, 30.0)
POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14; Python 3.11 does not name it
CHUNK = 1 << 18  # bytes that are fetched at once, a multiple of the page
MOST_OPEN = 8192  # shards: a process of Linux has 65,530 maps, and two sets may be open
OTHER_FILES = 256  # descriptors for all but shards


class Damage(NamedTuple):
    """What could not be read. row: of the sample in its shard; None: the whole shard."""

    shard: str
    row: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.shard}{'' if self.row is None else f', sample {self.row}'}: {self.reason}"


class DamagedError(Exception):
    """A sample, or with row None a shard, that is not what the index promises."""

    def __init__(self, shard: str, row: int | None, reason: str):
        super().__init__(shard, row, reason)
        self.damage = Damage(shard, row, reason)


class MappedShard:
    """One tar and its .idx, mapped: they can be read on when they are removed.

    Raises OSError or ShardError where the files cannot be read now, DamagedError where they are not what the index
    says.
    """

    def __init__(self, store: ShardStore, shard: ShardInfo):
        self.name = shard.name
        tar, idx = store.tar_path(shard), store.idx_path(shard)
        with open(idx, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != shard.idx_sha256:
                raise DamagedError(shard.name, None, f"{idx.name} differs from the index")
        self.records = read_idx(idx).view(np.ndarray)  # a memmap is four times as slow to index
        with open(tar, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != shard.bytes:  # a truncated tar would otherwise end as if nothing were wrong
                raise DamagedError(shard.name, None, f"{tar.name} has {size:,} bytes, the index says {shard.bytes:,}")
            self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.view = memoryview(self.map)
        self.fetched = bytearray(-(-size // CHUNK))

    def sample(self, row: int) -> tuple[memoryview, str, int]:
        """Encoded image, label, subset. DamagedError where they differ from what was packed, OSError where they cannot
        be read."""
        image_start, label_start, image_size, label_size, *_, subset, _, digest, label_crc = self.records[row].item()
        for chunk in range(image_start // CHUNK, (label_start + label_size - 1) // CHUNK + 1):
            if not self.fetched[chunk]:
                self.fetch(chunk)
        image = self.view[image_start : image_start + image_size]
        label = self.view[label_start : label_start + label_size]
        if digest_of(image) != digest:
            raise DamagedError(self.name, row, "the image's bytes differ from the index")
        if zlib.crc32(label) != label_crc:
            raise DamagedError(self.name, row, "the label's bytes differ from the index")
        return image, str(label, "utf-8"), subset

    def fetch(self, chunk: int) -> None:
        """Have a chunk read. A read that fails is then an OSError; met by touching the map, it would be a SIGBUS that
        ends the process."""
        start = chunk * CHUNK
        try:
            self.map.madvise(POPULATE_READ, start, min(CHUNK, len(self.map) - start))
        except OSError as error:
            if error.errno != errno.EINVAL:  # an older kernel, which has no such advice
                raise
        self.fetched[chunk] = True


class OpenShards:
    """The shards of a split, opened when they are needed; the latest `most` of them stay open, fewer where the system
    lets this process open no more files.

    Not shared between processes: a copy that travels to another begins with none open.
    """

    def __init__(self, store: ShardStore, shards: tuple[ShardInfo, ...], most: int):
        self.store, self.shards, self.most = store, shards, allow_open(most)
        self.open: OrderedDict[int, MappedShard] = OrderedDict()
        self.lost: dict[int, DamagedError] = {}
        self.renewed: set[int] = set()  # shards whose copies in the cache were damaged

    def sample(self, shard: int, row: int) -> tuple[memoryview, str, int]:
        """Encoded image, label, subset of a sample. DamagedError where it, or its shard, cannot be had."""
        try:
            return self.read(shard, row)
        except DamagedError:
            # a cache keeps whole files only: what is damaged there was whole, and may be so where it came from
            if shard in self.renewed or not self.store.drop_copies(self.shards[shard]):
                raise
        self.renewed.add(shard)
        self.open.pop(shard, None)
        self.lost.pop(shard, None)
        return self.read(shard, row)

    def read(self, shard: int, row: int) -> tuple[memoryview, str, int]:
        """A sample; where its shard was open and cannot be read any more, of the shard opened again."""
        try:
            return self.mapped(shard).sample(row)
        except OSError:  # a file server that came back may not know the open file any more
            self.open.pop(shard, None)
        try:
            return self.mapped(shard).sample(row)
        except OSError as error:
            raise DamagedError(self.shards[shard].name, row, f"cannot be read ({error.strerror})") from error

    def mapped(self, shard: int) -> MappedShard:
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
        """Open a shard, patiently: see PAUSES_S. DamagedError for one that is damaged or stays away."""
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
        """Before each attempt to open a shard."""
        yield from PAUSES_S
        if self.store.is_away():
            console.print(f"warning: {self.store.index.root} is away; reading waits until it is back", markup=False)
        while self.store.is_away():
            yield PAUSES_S[-1]
        yield 0.0  # it may have come back since the last attempt

    def __reduce__(self) -> tuple:
        return OpenShards, (self.store, self.shards, self.most)


def allow_open(shards: int) -> int:
    """How many of so many shards this process may have open: the limit of its files (ulimit -n, often 1,024) is raised
    as far as it takes and the system lets it.

    Python keeps a descriptor of each map, hence two a shard; and train and val may be open at the same time.
    """
    shards = min(shards, MOST_OPEN)
    needed = OTHER_FILES + 4 * shards
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < needed:  # below 0: without limit
        soft = needed if hard < 0 else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        shards = min(shards, max(1, (soft - OTHER_FILES) // 4))
    return shards
