"""Where a shard set is, and how its shards become local files: a folder, a folder with a cache, or a remote location.

    a folder                    local or NFS: read in place. Prefetching reads a tar in sequence into the page cache,
                                which all processes of the host share
    a folder and a cache        each file is copied to the host's own disk when it is first needed (`cache`). A file
                                that differs from the index is read in place, so that only its bad samples are lost
    http(s)://, s3://, gs://,   always with a cache. webdataset's opener fetches every file: it runs curl, aws, gsutil
    pipe:COMMAND                or the given command, in which {} is replaced by the file's name

In all cases, readers see paths on this machine.
"""

import hashlib
import os
import shlex
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from horovod_ocr.console import console
from horovod_ocr.data.cache import BLOCK_BYTES, AlteredError, ExpectedFile, FileCache, locked
from horovod_ocr.errors import ConfigError, ShardError
from sharding.format.idx import idx_bytes
from sharding.format.index import (
    INDEX_NAME,
    ShardIndex,
    ShardInfo,
    check_shards_present,
    is_index,
    parse_index,
    read_index,
)
from sharding.system.files import write_whole

READ_AHEAD_BYTES = 128 << 10  # Linux reads at most a device's read-ahead per call; on NFS that is this much
SCHEMES = ("http", "https", "s3", "gs")
_CURL_STATUS = {
    6: "there is no such host",
    7: "the host does not answer",
    18: "the transfer was cut",
    22: "the server has no such file or refuses it",
    28: "the host did not answer in time",
    60: "the host's certificate is not trusted",
}


@dataclass
class ShardStore:
    """The shards of one set as local files. It can be pickled, for loader workers."""

    index: ShardIndex
    """What the files must be: names, sizes and digests."""
    origin: "LocalFolder | Remote"
    """Where the files come from."""
    cache: FileCache | None = None
    """Where copies of them are kept; None: they are read in place, in a `LocalFolder`."""
    has_warned: bool = False
    """Whether the warning that shards are read past the cache was printed."""

    def tar_path(self, shard: ShardInfo) -> Path:
        """The path of the shard's tar, which is fetched first if necessary.

        Open it at once: a small cache removes it when other files need the room.

        Raises:
            ShardError: it cannot be fetched, or what was fetched differs from the index.
        """
        return self._path(ExpectedFile(shard.tar_name, shard.bytes, shard.sha256))

    def idx_path(self, shard: ShardInfo) -> Path:
        """The path of the shard's .idx; see `tar_path`."""
        return self._path(ExpectedFile(shard.idx_name, idx_bytes(shard.samples), shard.idx_sha256))

    def prefetch_rows(self, shard: ShardInfo, first_row: int, stop_row: int) -> None:
        """Fetch a shard, and read the samples of some rows into the page cache, before they are needed.

        Errors are ignored here: they occur again when the shard is read.
        """
        with suppress(OSError, ShardError):
            start, stop = (shard.bytes * row // shard.samples for row in (first_row, stop_row))  # roughly
            _read_ahead(self.idx_path(shard), 0, idx_bytes(shard.samples))
            _read_ahead(self.tar_path(shard), start, stop)

    def drop_copies(self, shard: ShardInfo) -> bool:
        """Remove a shard from the cache, so that it is fetched again.

        Returns False if the cache holds nothing of it, or if it cannot be removed.
        """
        if self.cache is None:
            return False
        copies = [self.cache.folder / name for name in (shard.tar_name, shard.idx_name)]
        try:
            is_there = any(copy.exists() for copy in copies)
            for copy in copies:
                copy.unlink(missing_ok=True)
        except OSError:  # it belongs to another user, or the disk is read-only
            return False
        return is_there

    def is_away(self) -> bool:
        """Is the whole set unreadable at its origin, even its index?"""
        try:
            for _ in self.origin.blocks(INDEX_NAME):
                pass
        except ShardError:
            return True
        return False

    def _path(self, file: ExpectedFile) -> Path:
        in_place = None if isinstance(self.origin, Remote) else self.origin.path(file.name)
        if self.cache is None:
            assert in_place is not None, "a remote set always has a cache"
            return in_place
        try:
            return self.cache.path_of(file, self.origin)
        except AlteredError:
            if in_place is None:
                raise
            return in_place
        except OSError as error:
            reason = f"{self.cache.root} cannot hold {file.name} ({error.strerror or error})"
            if in_place is None:
                raise ShardError(f"{reason}; make room there, or name another disk with --cache-dir") from error
            self.warn(reason)
            return in_place

    def warn(self, reason: str) -> None:
        """Warn, the first time only, that shards are read past the cache."""
        if not self.has_warned:
            self.has_warned = True
            console.print(
                f"warning: {reason}; such shards are read in {self.index.root} itself. For speed, make room there, or "
                "name another disk with --cache-dir",
                markup=False,
                highlight=False,
            )


@dataclass(frozen=True)
class LocalFolder:
    """A folder that this machine has or mounts: a `cache.FileOrigin`."""

    root: Path
    """It may be on a file server that is away for a while."""

    def path(self, name: str) -> Path:
        """The path of a file."""
        return self.root / name

    def where(self, name: str) -> str:
        """See `FileOrigin`."""
        return str(self.path(name))

    def blocks(self, name: str) -> Generator[memoryview]:
        """See `FileOrigin`."""
        try:
            yield from _file_blocks(self.path(name))
        except OSError as error:
            raise ShardError(f"{self.path(name)} cannot be read ({error.strerror}); copy it again") from error


@dataclass(frozen=True)
class Remote:
    """A location that webdataset's opener reads: a `cache.FileOrigin`."""

    location: str
    """A URL of a folder, or pipe:COMMAND; see the head of this file."""

    def url(self, name: str) -> str:
        """The URL or the command of a file."""
        if self.location.startswith("pipe:"):
            return self.location.replace("{}", name)
        parts = urlsplit(self.location)  # the query may be a key to all files of the folder, so it stays at the end
        return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()

    def where(self, name: str) -> str:
        """The URL without passwords and keys; see `FileOrigin`."""
        if self.location.startswith("pipe:"):
            return self.url(name)
        parts = urlsplit(self.url(name))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    def blocks(self, name: str) -> Generator[bytes]:
        """See `FileOrigin`."""
        # it imports torch, which local shards do not need
        from webdataset.gopen import gopen, gopen_schemes, set_options

        url = self.url(name)
        if url.startswith("s3:") and "s3" not in gopen_schemes:  # the command of its own documentation
            url = f"pipe:aws s3 cp --only-show-errors {shlex.quote(url)} -"
        try:
            stream = gopen(url)
        except FileNotFoundError as error:
            raise ShardError(f"{self.where(name)}: install {error.filename}, which is needed to read it") from error
        except (OSError, ValueError) as error:
            raise ShardError(f"{self.where(name)} cannot be opened ({error})") from error
        # its own check ignores some statuses, and all of them if GOPEN_VERBOSE is set
        set_options(stream, ignore_errors=True)
        try:
            while block := stream.read(BLOCK_BYTES):
                yield block
        finally:
            stream.close()
        if status := getattr(stream, "status", 0):
            raise ShardError(f"{self.where(name)} cannot be read: {self._meaning(status)}")

    def _meaning(self, status: int) -> str:
        if self.location.startswith("http"):
            meaning = _CURL_STATUS.get(status, f"curl ended with {status}")
            return f"{meaning}; check the address, and that this machine reaches it"
        if status == 127:
            return "the command's program is not installed"
        return f"the command ended with {status}; see its output above"


def open_store(location: str, cache_dir: str | None = None, cache_bytes: int | None = None) -> ShardStore:
    """The shard set at `location`.

    Args:
        location: a folder, or one of the other kinds that the head of this file names.
        cache_dir: a folder on this machine's own disk. None: a folder is read in place, and a remote location is
            cached in ~/.cache/horovod-ocr/shards.
        cache_bytes: the most that the cache may hold. None or 0: nine tenths of what is free there.

    Raises:
        ShardError: there is no set, its index is damaged, or, in a folder, shards are missing or truncated.
        ConfigError: there is no such kind of location.
    """
    if is_remote(location):
        return _open_remote(location, Path(cache_dir) if cache_dir else default_cache_dir(), cache_bytes)
    index = read_index(location)
    check_shards_present(index)
    store = ShardStore(index, LocalFolder(index.root))
    if cache_dir:
        cache = FileCache(Path(cache_dir), index.digest, cache_bytes or None)
        try:
            cache.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            store.warn(f"{cache_dir} cannot be used ({error.strerror})")
        else:
            store.cache = cache
    return store


def read_index_at(location: str) -> ShardIndex:
    """The index alone, of a folder or a remote location.

    Raises:
        ShardError, ConfigError: see `open_store`; missing shards are not noticed.
    """
    return _open_remote(location, default_cache_dir(), None).index if is_remote(location) else read_index(location)


def is_remote(location: str) -> bool:
    """Is this a URL or a command, not a folder?

    Raises:
        ConfigError: it is a URL or a command that cannot be read.
    """
    if location.startswith("pipe:"):
        if "{}" not in location:
            raise ConfigError(f"{location}: write {{}} for the file's name, as in pipe:ssh host cat /data/shards/{{}}")
        return True
    scheme, mark, _ = location.partition("://")
    if mark and scheme not in SCHEMES:
        raise ConfigError(f"{location}: give {', '.join(SCHEMES)} (://...), pipe:COMMAND or a folder")
    return bool(mark)


def default_cache_dir() -> Path:
    """The folder of the cache unless another one is named.

    Raises:
        ConfigError: this user has no home folder.
    """
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horovod-ocr" / "shards"
    except RuntimeError as error:
        raise ConfigError("there is no home folder to keep shards in; name a folder with --cache-dir") from error


def _open_remote(location: str, cache_dir: Path, cache_bytes: int | None) -> ShardStore:
    """The shard set of a remote location. Raises like `open_store`."""
    remote = Remote(location)
    content, where = b"".join(remote.blocks(INDEX_NAME)), remote.where(INDEX_NAME)
    if not is_index(content):  # such as a page that says that there is none
        raise ShardError(f"{where} is not the index of a shard set; name the folder that horovod-ocr shard has made")
    cache = FileCache(cache_dir, hashlib.sha256(content).hexdigest(), cache_bytes or None)
    index = parse_index(content, cache.folder, where)
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with locked(cache.folder / INDEX_NAME):  # else, who makes room takes it for a killed process's file
            write_whole(cache.folder / INDEX_NAME, content, fsyncs_folder=False)
    except OSError as error:
        raise ShardError(
            f"{cache_dir} cannot hold the shards of {remote.where('')} ({error.strerror}); make room there, or name "
            "another disk with --cache-dir"
        ) from error
    return ShardStore(index, remote, cache)


def _read_ahead(path: Path, start: int, stop: int) -> None:
    """Have a part of a file read into the page cache, in sequence. What is already there costs almost nothing."""
    with path.open("rb", buffering=0) as file:
        for offset in range(start, stop, READ_AHEAD_BYTES):
            os.posix_fadvise(file.fileno(), offset, READ_AHEAD_BYTES, os.POSIX_FADV_WILLNEED)


def _file_blocks(path: Path) -> Generator[memoryview]:
    """A file's bytes in sequence. A block is valid until the next one is requested."""
    buffer = memoryview(bytearray(BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while size := file.readinto(buffer):
            yield buffer[:size]
