"""Files of shard sets kept on a host's own disk: fetched once for all its processes, whole or not at all.

    cache/                      shared by several sets; its size is limited
      3f1c09a2b7d4e586/         one set, named by the digest of its index, so sets are kept apart
        train-000042.tar        whole; its mtime is the time of its last use
        .train-000043.tar.tmp-7 being fetched by process 7; its space is already allocated
        .train-000043.tar.lock  held by that process, which removes it when it is done

A file is checked against the index while it is written, and renamed when it is whole. To make room, the least recently
used files are removed; a reader that has mapped one can read it until it unmaps it. The locks are flock's, which the
system releases if a process is killed. They work only on a local disk.
"""

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from horovod_ocr.errors import ShardError
from sharding.system.files import whole_file

BLOCK_BYTES = 1 << 20
DIGEST_DIGITS = 16  # of the index's digest, in the name of a set's folder
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_DIGITS}}}")
_KEPT = (".tar", ".idx")
_BEING_FETCHED = re.compile(r"\.(.+)\.tmp-\d+")  # named by sharding.system.files.whole_file
_WAIT_S = 0.05


class AlteredError(ShardError):
    """A file that was read to its end and differs from the index, so trying again does not help."""


class ExpectedFile(NamedTuple):
    """What the index says about a file."""

    name: str
    """With its suffix, such as `train-000042.tar`."""
    bytes: int
    """Its size."""
    sha256: str
    """Its digest, in hexadecimal digits."""


class FileOrigin(Protocol):
    """Where the files of a set come from."""

    def where(self, name: str) -> str:
        """A file's path or URL, as users may see it."""

    def blocks(self, name: str) -> Generator[bytes | memoryview]:
        """A file's bytes in sequence. A block is valid until the next one is requested.

        Raises:
            ShardError: the file cannot be read to its end.
        """


@dataclass(frozen=True)
class FileCache:
    """One set's folder in a cache."""

    root: Path
    """The folder of the cache."""
    index_digest: str
    """The digest of the set's index."""
    limit_bytes: int | None = None
    """The most that the whole cache may hold. None: nine tenths of what it holds plus what is free on its disk."""

    @property
    def folder(self) -> Path:
        return self.root / self.index_digest[:DIGEST_DIGITS]

    def path_of(self, file: ExpectedFile, origin: FileOrigin) -> Path:
        """The path of the file, which is fetched first if it is not there; that may take a while.

        Open it at once: it is removed when other files need the room. Threads and processes of a host may call this at
        the same time.

        Raises:
            AlteredError: its bytes differ from the index; they are not kept.
            ShardError: the file cannot be read at its origin.
            OSError: this disk cannot hold it.
        """
        path = self.folder / file.name
        if _is_kept(path, file.bytes):
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(path):
            if not _is_kept(path, file.bytes):  # unless another process was first
                for remains in path.parent.glob(f".{path.name}.tmp-*"):
                    remains.unlink()  # we hold the lock, so the process that wrote it was killed
                self._fetch(path, file, origin)
        return path

    def _fetch(self, path: Path, file: ExpectedFile, origin: FileOrigin) -> None:
        with ExitStack() as stack:
            with locked(self.root / "room"):
                self._make_room(file.bytes)
                copy = stack.enter_context(whole_file(path, fsyncs_folder=False))
                os.posix_fallocate(copy.fileno(), 0, file.bytes)  # so that it counts when others make room
            digest, copied = hashlib.sha256(), 0
            with closing(origin.blocks(file.name)) as blocks:
                for block in blocks:
                    copied += len(block)
                    if copied > file.bytes:
                        break
                    copy.write(block)
                    digest.update(block)
            if copied != file.bytes or digest.hexdigest() != file.sha256:
                is_what = "longer" if copied > file.bytes else f"{copied:,} bytes" if copied < file.bytes else "others"
                raise AlteredError(
                    f"{origin.where(file.name)}: its bytes are not those of the index ({is_what}, where {file.bytes:,} "
                    "were written); copy it there again, or repair the set: horovod-ocr verify --repair"
                )

    def _make_room(self, need: int) -> None:
        """Remove files until `need` bytes fit. The caller must hold the lock of the cache's room.

        Raises:
            OSError: they do not fit into an empty cache.
        """
        while True:
            kept, being_fetched = self._files()
            held = being_fetched + sum(size for _, size, _ in kept)
            disk = os.statvfs(self.root)
            most = held + disk.f_bavail * disk.f_frsize
            limit = min(self.limit_bytes, most) if self.limit_bytes else most * 9 // 10
            if need > limit:
                raise OSError(errno.ENOSPC, f"it has room for {limit:,} bytes, and {need:,} are needed")
            excess = held + need - limit
            if excess <= 0:
                return
            for _, size, path in sorted(kept):
                if excess <= 0:
                    break
                Path(path).unlink(missing_ok=True)
                excess -= size
            if excess > 0:
                time.sleep(_WAIT_S)  # the rest is being fetched by others; once it is whole it may be removed

    def _files(self) -> tuple[list[tuple[int, int, str]], int]:
        """(mtime, bytes, path) of each file in the cache, of all sets; and the bytes of those being fetched.

        What killed processes left is removed. Foreign files in the folder are never touched.
        """
        kept: list[tuple[int, int, str]] = []
        being_fetched = 0
        for folder in self.root.iterdir():
            if not _DIGEST.fullmatch(folder.name):
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # renamed or removed just now
                        if entry.name.startswith("."):
                            being_fetched += _bytes_being_fetched(Path(entry.path))
                        elif entry.name.endswith(_KEPT):
                            status = entry.stat()
                            kept.append((status.st_mtime_ns, status.st_size, entry.path))
        return kept, being_fetched


@contextmanager
def locked(path: Path, waits: bool = True) -> Iterator[bool]:
    """Hold the lock of a file while the block runs.

    If another process holds it, wait for it; or, if `waits` is False, yield False.
    """
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # its last owner removed it, and others now lock a new one
            try:
                yield True
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_kept(path: Path, size: int) -> bool:
    """Is the file there and whole? If so, mark it as just used."""
    try:
        if path.stat().st_size != size:
            return False
    except FileNotFoundError:
        return False
    with suppress(OSError):  # it belongs to another user, and keeps its older time
        os.utime(path)
    return True


def _bytes_being_fetched(path: Path) -> int:
    """The size of a temporary file. If no process is writing it any more, it is removed and 0 is returned.

    0 for all other files.
    """
    name = _BEING_FETCHED.fullmatch(path.name)
    if not name:
        return 0
    whole = path.with_name(name[1])
    with locked(whole, waits=False) as is_ours, suppress(FileNotFoundError):
        if not is_ours:
            return path.stat().st_size
        path.unlink()
        return 0
    return whole.stat().st_size  # renamed since the folder was listed
