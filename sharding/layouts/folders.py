"""Folders of a source: scanned by several threads, in constant memory, always in the same order."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sharding.errors import SourceError
from sharding.layouts.entry import Mark
from sharding.layouts.files import AWAY

# Images of .gif and the following cannot be used: they become rejects that say so, and are not skipped.
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
SYNTH_SETTINGS = "synth.json"  # of the words that horovod-ocr synth drew: no labels
_NOTES = (b"readme", b"license", b"licence", b"copying", b"changelog")
_CATALOGUE = (b"build", b"entries.bin")  # present in a shard set even before its source is listed (catalogue.py)
_SHOWN_UNREAD = 3
_THREADS = 8  # a folder on NFS takes milliseconds of waiting
_AHEAD = 16  # folders listed ahead of the one that is wanted: this bounds the memory
_Above = tuple[tuple[int, int], ...]  # (device, inode) of the folders that contain one


class Folder(NamedTuple):
    """One folder as it was listed."""

    path: bytes
    """Relative to the root, b"" for the root itself."""
    mtime_ns: int
    """As it was before the folder was listed."""
    files: list[bytes]
    """Names, sorted; everything that is not a folder."""
    folders: list[bytes]
    """Names, sorted."""

    def images(self) -> list[bytes]:
        return [name for name in self.files if is_image(name)]

    def mark(self) -> Mark:
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


class UnreadTexts:
    """Files that may hold labels, and that are neither read nor rejected: their number, and some of their names."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._count = 0

    def add(self, names: list[str]) -> None:
        self._shown += names[: _SHOWN_UNREAD - len(self._shown)]
        self._count += len(names)

    def notes(self, label_from: str) -> list[str]:
        """A sentence, if there are any. label_from: where the labels come from instead."""
        more = f" and {self._count - len(self._shown):,} more" if self._count > len(self._shown) else ""
        return [f"labels come from {label_from}; not read: {', '.join(self._shown)}{more}"] if self._count else []


def is_note(name: bytes) -> bool:
    """Is a file by its name a text for people, or of this program, which holds no label?"""
    return name.lower().startswith(_NOTES) or name == os.fsencode(SYNTH_SETTINGS)


def scan_folders(root: bytes, start: bytes = b"") -> Iterator[Folder]:
    """The folders at and below `start` (relative to root), parents first, in an order that depends on their names only.

    Hidden files and folders are left out, and so are shard sets below the root: the set that is being made from this
    source may be there. Links to folders are followed, except one that leads back to a folder that contains it.
    SourceError if a folder cannot be listed.
    """
    # with each: (device, inode) of the folders that contain it, to notice a link that leads back up
    pending: list[tuple[bytes, _Above]] = [(start, ())]
    listed: deque[Future[tuple[Folder, _Above]]] = deque()
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
    """One folder, without those below it. Otherwise as `scan_folders`."""
    return _list_below(root, path, ())[0]


def has_image(root: Path, below: bytes = b"") -> bool:
    """Is there an image in the folder `below` (relative to root), at any depth?"""
    return any(is_image(name) for folder in scan_folders(os.fsencode(root), below) for name in folder.files)


def _list_below(root: bytes, path: bytes, above: _Above) -> tuple[Folder, _Above]:
    """The folder, and `above` for the folders in it."""
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


def _is_folder(item: os.DirEntry[bytes]) -> bool:
    """A link that leads nowhere or to itself is a file that cannot be read."""
    try:
        return item.is_dir()
    except OSError as error:
        if error.errno in AWAY:
            raise
        return False


def _is_shard_set(root: bytes, folder: Folder) -> bool:
    return _CATALOGUE[0] in folder.folders and os.path.isfile(os.path.join(root, folder.path, *_CATALOGUE))


def _identity(item: os.DirEntry[bytes]) -> tuple[int, int]:
    status = item.stat()
    return status.st_dev, status.st_ino
