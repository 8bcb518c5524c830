"""Where a shard set lies, and how its shards come near: a folder, a folder through a cache, or a remote place.

    a folder                    local or NFS: read where it is; bringing near reads a tar in sequence into the page
                                cache, which all processes of the host share
    a folder and a cache        each file is copied to the host's own disk when it is first needed (`cache`); one that
                                differs from the index is read where it is, so that only its bad samples are lost
    http(s)://, s3://, gs://,   always through a cache; every file by webdataset's opener, which runs curl, aws, gsutil
    pipe:COMMAND                or the given command, where {} stands for the file's name

Whatever the way, readers see paths on this machine.
"""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from horovod_ocr.console import console
from horovod_ocr.data.cache import BLOCK_BYTES, AlteredError, ExpectedFile, FileCache, locked
from horovod_ocr.errors import ConfigError, ShardError
from sharding.format.index import INDEX_NAME, ShardIndex, ShardInfo, check_shards_present, idx_bytes, read_index
from sharding.system.files import write_whole

READ_AHEAD_BYTES = 128 << 10  # of one call Linux reads no more than a device's read-ahead, which on NFS is this
SCHEMES = ("http", "https", "s3", "gs")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # it becomes a path here, and a word of a shell's command there
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
    """The shards of one set as local files. Travels to loader workers. cache: None reads them where they are."""

    index: ShardIndex
    source: "Folder | Remote"
    cache: FileCache | None = None
    has_warned: bool = False

    def tar_path(self, shard: ShardInfo) -> Path:
        """Where the shard's tar can be opened now; fetched first, where need be. Open it at once: in a small cache it
        goes when others need its room. ShardError where it cannot be had, or differs from the index."""
        return self._path(ExpectedFile(shard.tar_name, shard.bytes, shard.sha256))

    def idx_path(self, shard: ShardInfo) -> Path:
        """As `tar_path`, for its .idx."""
        return self._path(ExpectedFile(shard.idx_name, idx_bytes(shard.samples), shard.idx_sha256))

    def prefetch(self, shard: ShardInfo, first_row: int, stop_row: int) -> None:
        """Fetch a shard, and read some of its samples into the page cache, ahead of need. Raises nothing: whoever reads
        the shard meets the error."""
        with suppress(OSError, ShardError):
            start, stop = (shard.bytes * row // shard.samples for row in (first_row, stop_row))  # about
            _read_ahead(self.idx_path(shard), 0, idx_bytes(shard.samples))
            _read_ahead(self.tar_path(shard), start, stop)

    def drop_copies(self, shard: ShardInfo) -> bool:
        """Take a shard out of the cache, so that it is fetched anew. False where nothing of it is there,
        or it cannot be removed."""
        if self.cache is None:
            return False
        copies = [self.cache.folder / name for name in (shard.tar_name, shard.idx_name)]
        try:
            is_there = any(copy.exists() for copy in copies)
            for copy in copies:
                copy.unlink(missing_ok=True)
        except OSError:  # another user's, or on a disk that may only be read
            return False
        return is_there

    def is_away(self) -> bool:
        """Can nothing be read where the set lies, not even its index?"""
        try:
            for _ in self.source.blocks(INDEX_NAME):
                pass
        except ShardError:
            return True
        return False

    def _path(self, file: ExpectedFile) -> Path:
        if self.cache is None:
            return self.source.path(file.name)
        try:
            return self.cache.path_of(file, self.source)
        except AlteredError:
            if isinstance(self.source, Remote):
                raise
            return self.source.path(file.name)
        except OSError as error:
            reason = f"{self.cache.root} cannot hold {file.name} ({error.strerror or error})"
            if isinstance(self.source, Remote):
                raise ShardError(f"{reason}; make room there, or name another disk with --cache-dir") from error
            self.warn(reason)
            return self.source.path(file.name)

    def warn(self, reason: str) -> None:
        """Say once that shards are read past the cache."""
        if not self.has_warned:
            self.has_warned = True
            console.print(
                f"warning: {reason}; such shards are read in {self.index.root} itself. For speed, make room there, or "
                "name another disk with --cache-dir",
                markup=False,
                highlight=False,
            )


@dataclass(frozen=True)
class Folder:
    """A folder of this machine, or one that it mounts."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def where(self, name: str) -> str:
        return str(self.path(name))

    def blocks(self, name: str) -> Generator[memoryview]:
        try:
            yield from _file_blocks(self.path(name))
        except OSError as error:
            raise ShardError(f"{self.path(name)} cannot be read ({error.strerror}); copy it again") from error


@dataclass(frozen=True)
class Remote:
    """A place that webdataset's opener reads."""

    location: str

    def url(self, name: str) -> str:
        if self.location.startswith("pipe:"):
            return self.location.replace("{}", name)
        parts = urlsplit(self.location)  # what follows a ? may be a key to all files of the folder: it stays behind
        return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()

    def where(self, name: str) -> str:
        """The URL without passwords and keys."""
        if self.location.startswith("pipe:"):
            return self.url(name)
        parts = urlsplit(self.url(name))
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()

    def blocks(self, name: str) -> Generator[bytes]:
        from webdataset.gopen import gopen, gopen_schemes, set_options  # torch too, which local shards do without

        url = self.url(name)
        if url.startswith("s3:") and "s3" not in gopen_schemes:  # as its own documentation reads them
            url = f"pipe:aws s3 cp --only-show-errors {shlex.quote(url)} -"
        try:
            stream = gopen(url)
        except FileNotFoundError as error:
            raise ShardError(f"{self.where(name)}: install {error.filename}, which is needed to read it") from error
        except (OSError, ValueError) as error:
            raise ShardError(f"{self.where(name)} cannot be opened ({error})") from error
        # its own check looks away from some statuses, and from all where GOPEN_VERBOSE is set
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
        return f"the command ended with {status}; what it said stands above"


def open_store(location: str, cache_dir: str = "", cache_bytes: int = 0) -> ShardStore:
    """The shard set at `location`: a folder, or what the head of this file names.

    cache_dir: a folder on this machine's own disk; "" reads a folder in place, and is ~/.cache/horovod-ocr/shards for a
    remote location. cache_bytes: what the cache may hold, 0: nine tenths of what is free there.

    Raises:
        ShardError: there is no set, it is damaged, or shards are missing or cut (looked for in folders only).
        ConfigError: no such kind of location.
    """
    if is_remote(location):
        return _open_remote(location, Path(cache_dir) if cache_dir else default_cache_dir(), cache_bytes)
    index = read_index(location)
    check_shards_present(index)
    store = ShardStore(index, Folder(index.root))
    if cache_dir:
        _check_names(index, location)
        cache = FileCache(Path(cache_dir), index.digest, cache_bytes)
        try:
            cache.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            store.warn(f"{cache_dir} cannot be used ({error.strerror})")
        else:
            store.cache = cache
    return store


def read_index_at(location: str) -> ShardIndex:
    """The index alone, of a folder or a remote location. Raises as `open_store`."""
    return _open_remote(location, default_cache_dir(), 0).index if is_remote(location) else read_index(location)


def is_remote(location: str) -> bool:
    """Is this a URL or a command, not a folder? ConfigError where it is one that cannot be read."""
    if location.startswith("pipe:"):
        if "{}" not in location:
            raise ConfigError(f"{location}: write {{}} for the file's name, as in pipe:ssh host cat /data/shards/{{}}")
        return True
    scheme, mark, _ = location.partition("://")
    if mark and scheme not in SCHEMES:
        raise ConfigError(f"{location}: give {', '.join(SCHEMES)} (://...), pipe:COMMAND or a folder")
    return bool(mark)


def default_cache_dir() -> Path:
    """ConfigError where this user has no home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "horovod-ocr" / "shards"
    except RuntimeError as error:
        raise ConfigError("there is no home folder to keep shards in; name a folder with --cache-dir") from error


def _open_remote(location: str, cache_dir: Path, cache_bytes: int) -> ShardStore:
    remote = Remote(location)
    content = b"".join(remote.blocks(INDEX_NAME))
    cache = FileCache(cache_dir, hashlib.sha256(content).hexdigest(), cache_bytes)
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with locked(cache.folder / INDEX_NAME):  # or else who makes room takes it for what a killed process left
            write_whole(cache.folder / INDEX_NAME, content, fsyncs_folder=False)
    except OSError as error:
        raise ShardError(
            f"{cache_dir} cannot hold the shards of {remote.where('')} ({error.strerror}); make room there, or name "
            "another disk with --cache-dir"
        ) from error
    try:
        index = read_index(cache.folder)
        _check_names(index, remote.where(INDEX_NAME))
    except ShardError as error:
        shutil.rmtree(cache.folder, ignore_errors=True)
        raise ShardError(f"{remote.where(INDEX_NAME)} is not the index of a shard set: {error}") from error
    return ShardStore(index, remote, cache)


def _check_names(index: ShardIndex, where: str) -> None:
    for shard in index.shards:
        if not _SAFE_NAME.fullmatch(shard.name):
            raise ShardError(f"{where}: {shard.name!r} is no name of a shard; make the set again: horovod-ocr shard")


def _read_ahead(path: Path, start: int, stop: int) -> None:
    """Have a part of a file read into the page cache, in sequence; what is there already costs next to nothing."""
    with path.open("rb", buffering=0) as file:
        for offset in range(start, stop, READ_AHEAD_BYTES):
            os.posix_fadvise(file.fileno(), offset, READ_AHEAD_BYTES, os.POSIX_FADV_WILLNEED)


def _file_blocks(path: Path) -> Generator[memoryview]:
    """A file in sequence; a block holds until the next one is asked for."""
    buffer = memoryview(bytearray(BLOCK_BYTES))
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while size := file.readinto(buffer):
            yield buffer[:size]
