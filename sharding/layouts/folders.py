"""Folders of a source: walked by several threads, in constant memory, always in the same order."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sharding.errors import SourceError
from sharding.layouts.files import AWAY

# Of the second row no image can be used: it becomes a reject that says so, and is not passed over.
SOURCE_SUFFIXES = frozenset(
    (
        b".png",
        b".jpg",
        b".jpeg",
        b".jpe",
        b".jfif",
        b".webp",
        b".bmp",
        b".tif",
        b".tiff",
        b".gif",
        b".jp2",
        b".pgm",
        b".ppm",
        b".pbm",
        b".pnm",
        b".avif",
        b".heic",
    )
)
# what may hold the labels of words
_TEXT_SUFFIXES = (
    b".txt",
    b".tsv",
    b".csv",
    b".json",
    b".jsonl",
    b".xml",
    b".mdb",
    b".parquet",
    b".tar",
    b".label",
    b".lst",
    b".xlsx",
)
_NOTES = (b"readme", b"license", b"licence", b"copying", b"changelog")
_CATALOGUE = (b"build", b"entries.bin")  # in a shard set, from before its source is listed on (catalogue.py)
_THREADS = 8  # a folder on NFS is a wait of milliseconds
_AHEAD = 16  # folders listed ahead of the one that is wanted: what bounds the memory


class Folder(NamedTuple):
    """One folder as it was listed. path: relative to the root, b"" for the root itself. mtime_ns: before it was
    listed. files: names, sorted; everything that is no folder. folders: names, sorted."""

    path: bytes
    mtime_ns: int
    files: list[bytes]
    folders: list[bytes]

    def images(self) -> list[bytes]:
        return [name for name in self.files if is_image(name)]

    def mark(self) -> list:
        """As marks.py has it."""
        return [os.fsdecode(self.path), 0, self.mtime_ns]

    @property
    def prefix(self) -> bytes:
        return self.path + b"/" if self.path else b""


def is_image(name: bytes) -> bool:
    """Does a file's name end like that of an image?"""
    return name[name.rfind(b".") :].lower() in SOURCE_SUFFIXES


def texts_in(folder: Folder) -> list[str]:
    """The files of a folder that may hold labels of words."""
    return [
        os.fsdecode(folder.prefix + name)
        for name in folder.files
        if name.lower().endswith(_TEXT_SUFFIXES) and not is_note(name)
    ]


def is_note(name: bytes) -> bool:
    """Is a file by its name one for people, which holds no label?"""
    return name.lower().startswith(_NOTES)


def scan_folders(root: bytes, start: bytes = b"") -> Iterator[Folder]:
    """The folders at and below `start` (relative to root), parents first, in an order that depends on their names only.

    Hidden files and folders are left out, and so are shard sets below the root: the one that is being made of this
    source may lie there. Links to folders are followed, but none that leads back to a folder it lies in. SourceError
    where a folder cannot be listed.
    """
    # with each: (device, inode) of the folders it lies in, to see a link that leads back up
    pending: list[tuple[bytes, tuple]] = [(start, ())]
    listed: deque[Future] = deque()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        while pending or listed:
            while pending and len(listed) < _AHEAD:
                listed.append(pool.submit(_list_below, root, *pending.pop()))
            folder, above = listed.popleft().result()
            if folder.path and _is_shard_set(root, folder):
                continue
            # a stack: deep before wide keeps it short
            pending.extend((folder.prefix + name, above) for name in reversed(folder.folders))
            yield folder
    finally:
        pool.shutdown(cancel_futures=True)


def list_folder(root: bytes, path: bytes = b"") -> Folder:
    """One folder, without those below it. Else as `scan_folders`."""
    return _list_below(root, path, ())[0]


def has_image(root: Path, below: bytes = b"") -> bool:
    """Does an image lie in the folder `below` (relative to root), in any depth?"""
    return any(is_image(name) for folder in scan_folders(os.fsencode(root), below) for name in folder.files)


def _list_below(root: bytes, path: bytes, above: tuple) -> tuple[Folder, tuple]:
    """The folder, and `above` for those in it."""
    full_path = os.path.join(root, path) if path else root
    files, folders = [], []
    try:
        status = os.stat(full_path)
        above = (*above, (status.st_dev, status.st_ino))
        with os.scandir(full_path) as found:
            for item in found:
                name = item.name
                if name.startswith(b"."):
                    continue
                if not _is_folder(item):
                    files.append(name)
                elif not (item.is_symlink() and _identity(item) in above):
                    folders.append(name)
    except OSError as error:
        raise _cannot_be_listed(full_path, error) from error
    files.sort()
    folders.sort()
    return Folder(path, status.st_mtime_ns, files, folders), above


def _cannot_be_listed(path: bytes, error: OSError) -> SourceError:
    return SourceError(f"{os.fsdecode(path)} cannot be listed ({error.strerror}); make it readable, or move it away")


def _is_folder(item: os.DirEntry) -> bool:
    """A link that leads nowhere or to itself is a file that cannot be read."""
    try:
        return item.is_dir()
    except OSError as error:
        if error.errno in AWAY:
            raise
        return False


def _is_shard_set(root: bytes, folder: Folder) -> bool:
    return _CATALOGUE[0] in folder.folders and os.path.isfile(os.path.join(root, folder.path, *_CATALOGUE))


def _identity(item: os.DirEntry) -> tuple[int, int]:
    status = item.stat()
    return status.st_dev, status.st_ino
