"""The LMDB of PARSeq and clovaai: `num-samples`, `image-000000001`, `label-000000001`, counted from 1."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sharding.errors import ConfigError, SourceError
from sharding.layouts.entry import Entry, Reader
from sharding.layouts.folders import SPLIT_FOLDERS, scan_folders
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.reasons import Rejected

_DATA = "data.mdb"
_OPEN_ENVIRONMENTS = 64


@dataclass(frozen=True)
class LmdbSource(ListedFiles):
    """folders: those that hold a data.mdb, relative to root; b"" for root itself. An image's path is its folder and its
    key. splits_given: the first part of a path is the folder of a split."""

    root: Path
    layout: str
    folders: tuple[bytes, ...]
    splits_given: bool = False
    labels_apart: bool = True
    images_are_files: bool = False
    _listed: list[list] = field(default_factory=list, init=False, repr=False, compare=False)

    def entries(self) -> Iterator[Entry]:
        """SourceError where an LMDB is of another kind, damaged or cut, or none holds an image."""
        marks = mark_files(self.root, self.file_names())
        samples = 0
        for folder in self.folders:
            split = SPLIT_FOLDERS.get(folder.partition(b"/")[0], "") if self.splits_given else ""
            prefix = folder + b"/" if folder else b""
            count = _count_samples(self.root, folder)
            samples += count
            for number in range(1, count + 1):
                key = b"-%09d" % number
                yield Entry(prefix + b"image" + key, prefix + b"label" + key, "", split)
        if not samples:
            raise SourceError(f"the LMDB in {self.root} holds no image; name another --src")
        self._listed[:] = marks

    def file_names(self) -> list[str]:
        return [os.path.join(os.fsdecode(folder), _DATA) for folder in self.folders]

    def open(self) -> "LmdbReader":
        return LmdbReader(self.root)


class LmdbReader(Reader):
    """Paths and labels are a folder and a key."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._errors = _import_lmdb().Error

    def read_image(self, path: bytes, at: int = 0, size: int = 0) -> bytes:
        content = self._read(path)
        if content is None:
            raise Rejected("missing image", "the LMDB has no such key")
        if not content:
            raise Rejected("empty file")
        return content

    def read_label(self, label: bytes) -> bytes | None:
        return self._read(label)

    def _read(self, path: bytes) -> bytes | None:
        folder, _, key = path.rpartition(b"/")
        environment = _environment(os.path.join(self._root, folder), os.getpid())
        try:
            with environment.begin() as transaction:
                return transaction.get(key)
        except self._errors as error:
            raise Rejected("unreadable file", str(error)) from error


def find_lmdb(root: Path, named: bool = False) -> LmdbSource | None:
    """Every data.mdb in the folder and below it. named: go on where images lie before the first of them."""
    folders = []
    for folder in scan_folders(os.fsencode(root)):
        if _DATA.encode() in folder.files:
            folders.append(folder.path)
        elif not folders and not named and folder.images():
            return None
    if not folders:
        return None
    splits = {SPLIT_FOLDERS.get(folder.partition(b"/")[0], "") for folder in folders}
    return LmdbSource(root, "lmdb", tuple(sorted(folders)), splits_given=len(splits) > 1 and "" not in splits)


def _count_samples(root: Path, folder: bytes) -> int:
    path = os.path.join(os.fsencode(root), folder)
    with _environment(path, os.getpid()).begin() as transaction:
        value = transaction.get(b"num-samples")
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise SourceError(
            f"{os.fsdecode(path)} holds an LMDB without num-samples: none of PARSeq's or clovaai's; "
            "write its images and texts out as files"
        ) from error


def _import_lmdb() -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise ConfigError(
            "an LMDB is read with the package lmdb, which is not installed: pip install 'horovod-ocr[lmdb]'"
        ) from error
    return lmdb


@lru_cache(_OPEN_ENVIRONMENTS)
def _environment(folder: bytes, process: int) -> Any:
    """An open LMDB. Once a process: LMDB forbids to open one twice, and to take one through a fork."""
    lmdb = _import_lmdb()
    shown = os.fsdecode(folder)
    try:
        environment = lmdb.open(shown, readonly=True, lock=False, readahead=False, create=False, max_spare_txns=1)
        pages = environment.info()["last_pgno"] + 1
        needed = pages * environment.stat()["psize"]
        size = os.stat(os.path.join(folder, _DATA.encode())).st_size
    except (lmdb.Error, OSError) as error:
        raise SourceError(f"{shown} holds an LMDB that cannot be opened ({error}); copy it again") from error
    if size < needed:  # to read behind the end of a mapped file kills the process
        environment.close()
        raise SourceError(f"{shown}/{_DATA} has {size:,} bytes, its pages need {needed:,}; copy it again")
    return environment
