"""Files of shard sets kept on a host's own disk: fetched once for all its processes, whole or not at all.

    cache/                      what several sets share: its size limit
      3f1c09a2b7d4e586/         a set, named by the digest of its index: two sets never meet
        train-000042.tar        whole; the time of its last use is its mtime
        .train-000043.tar.tmp-7 being fetched by process 7, its room taken already
        .train-000043.tar.lock  held by that process; gone when it is done

A file is compared with the index while it is written, and renamed when it is whole. Room is made by taking out what was
not used for longest; what a reader has mapped stays with it until it lets go. The locks are flock's, which a killed
process gives back: the disk has to be this machine's.
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
DIGEST_DIGITS = 16  # of the index's digest
_DIGEST = re.compile(rf"[0-9a-f]{{{DIGEST_DIGITS}}}")
_KEPT = (".tar", ".idx")
_BEING_FETCHED = re.compile(r"\.(.+)\.tmp-\d+")  # sharding.system.files.whole_file
_WAIT_S = 0.05


class AlteredError(ShardError):
    """A file that was read to its end and holds other bytes than the index says: to wait does not help."""


class ExpectedFile(NamedTuple):
    """What the index says of a file. bytes: its size."""

    name: str
    bytes: int
    sha256: str


class Source(Protocol):
    """Where files come from."""

    def where(self, name: str) -> str:
        """A file's path or URL, for sentences to people."""

    def blocks(self, name: str) -> Generator[bytes | memoryview]:
        """A file's bytes in sequence; a block holds until the next one is asked for. ShardError where it cannot be
        read to its end."""


@dataclass(frozen=True)
class FileCache:
    """The place of one set in a cache. limit_bytes is for the whole cache; 0: nine tenths of what is free on its disk
    and what it holds."""

    root: Path
    index_digest: str
    limit_bytes: int = 0

    @property
    def folder(self) -> Path:
        return self.root / self.index_digest[:DIGEST_DIGITS]

    def path_of(self, file: ExpectedFile, source: Source) -> Path:
        """Where the file lies; fetched now where it is not there, which may take a while.

        Open it at once: when other files need its room, it goes. Safe in several threads and processes of a host.

        Raises:
            AlteredError: not the bytes that the index says; nothing of them is kept.
            ShardError: the source gives no such file.
            OSError: this disk cannot hold it.
        """
        path = self.folder / file.name
        if _is_kept(path, file.bytes):
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(path):
            if not _is_kept(path, file.bytes):  # unless another process was first
                for remains in path.parent.glob(f".{path.name}.tmp-*"):
                    remains.unlink()  # the lock is ours, so whoever wrote it was killed
                self._fetch(path, file, source)
        return path

    def _fetch(self, path: Path, file: ExpectedFile, source: Source) -> None:
        with ExitStack() as stack:
            with locked(self.root / "room"):
                self._make_room(file.bytes)
                copy = stack.enter_context(whole_file(path, fsyncs_folder=False))
                os.posix_fallocate(copy.fileno(), 0, file.bytes)  # whoever makes room next counts it
            digest, copied = hashlib.sha256(), 0
            with closing(source.blocks(file.name)) as blocks:
                for block in blocks:
                    copied += len(block)
                    if copied > file.bytes:
                        break
                    copy.write(block)
                    digest.update(block)
            if copied != file.bytes or digest.hexdigest() != file.sha256:
                is_what = "longer" if copied > file.bytes else f"{copied:,} bytes" if copied < file.bytes else "others"
                raise AlteredError(
                    f"{source.where(file.name)}: its bytes are not those of the index ({is_what}, where {file.bytes:,} "
                    "were written); copy it there again, or mend the set: horovod-ocr verify --repair"
                )

    def _make_room(self, need: int) -> None:
        """Take out files until `need` bytes fit. Called under the lock of the room. OSError where they never do."""
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
                time.sleep(_WAIT_S)  # the rest is being fetched by others: when it is whole it may go

    def _files(self) -> tuple[list[tuple[int, int, str]], int]:
        """(mtime, bytes, path) of what the cache holds, all sets; and the bytes of what is being fetched.

        What killed processes left is removed. Nothing else in the folder is ever touched.
        """
        kept, being_fetched = [], 0
        for folder in self.root.iterdir():
            if not _DIGEST.fullmatch(folder.name):
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # renamed or taken out just now
                        if entry.name.startswith("."):
                            being_fetched += _bytes_being_fetched(Path(entry.path))
                        elif entry.name.endswith(_KEPT):
                            status = entry.stat()
                            kept.append((status.st_mtime_ns, status.st_size, entry.path))
        return kept, being_fetched


@contextmanager
def locked(path: Path, waits: bool = True) -> Iterator[bool]:
    """Hold the lock of a file while the block runs. Yields False, where `waits` is False and another holds it."""
    lock = path.with_name(f".{path.name}.lock")
    while True:
        with lock.open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if os.fstat(file.fileno()).st_nlink == 0:
                continue  # its last owner removed it: whoever comes now locks another
            try:
                yield True
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_kept(path: Path, size: int) -> bool:
    """Is the file there, whole? Then it is marked as used now."""
    try:
        if path.stat().st_size != size:
            return False
    except FileNotFoundError:
        return False
    with suppress(OSError):  # another user's file: it keeps its older mark
        os.utime(path)
    return True


def _bytes_being_fetched(path: Path) -> int:
    """The room of a temporary file; 0 for other files, and where nobody writes it any more: then it is removed."""
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
