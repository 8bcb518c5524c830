"""The LMDB of PARSeq and clovaai: `num-samples`, `image-000000001`, `label-000000001`, counted from 1."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sharding.errors import ConfigError, SourceError
from sharding.layouts.entry import Entry, Mark, Reader
from sharding.layouts.files import check_not_lfs, checked_content
from sharding.layouts.given_splits import splits_of_files
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.layouts.record_files import find_records, loose_files
from sharding.reasons import Rejected

_DATA = "data.mdb"
_OPEN_ENVIRONMENTS = 64


@dataclass(frozen=True)
class LmdbSource(ListedFiles):
    """LMDBs. An image's path is its folder and its key."""

    root: Path
    """As in `Source`."""
    layout: str
    """"lmdb"."""
    folders: tuple[bytes, ...]
    """Those that hold a data.mdb, relative to root; b"" for root itself."""
    splits: tuple[str, ...] = ()
    """Of each folder, if they are given."""
    doubt: str = ""
    """As in `Source`."""
    labels_apart: bool = True
    """Each label is a record of its own."""
    images_are_files: bool = False
    """Each image is a record."""
    _listed: list[Mark] = field(default_factory=list, init=False, repr=False, compare=False)
    """As in `ListedFiles`."""

    def entries(self) -> Iterator[Entry]:
        """SourceError if an LMDB is of another kind, damaged or cut, or if none holds an image."""
        marks = mark_files(self.root, self.file_names())
        samples = 0
        for folder, split in zip(self.folders, self.splits or [""] * len(self.folders), strict=True):
            prefix = folder + b"/" if folder else b""
            count = _count_samples(self.root, folder)
            samples += count
            for number in range(1, count + 1):
                key = b"-%09d" % number
                yield Entry(prefix + b"image" + key, prefix + b"label" + key, "", split)
        if not samples:
            raise SourceError(f"the LMDB in {self.root} holds no image; name another --src")
        yield from loose_files(self.root, {*self.file_names()})
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
        return checked_content(content)

    def read_label(self, label: bytes) -> bytes | None:
        return self._read(label)

    def _read(self, path: bytes) -> bytes | None:
        folder, _, key = path.rpartition(b"/")
        environment = _environment(os.path.join(self._root, folder), os.getpid())
        try:
            with environment.begin() as transaction:
                value: bytes | None = transaction.get(key)
                return value
        except self._errors as error:
            raise Rejected("unreadable file", str(error)) from error


def find_lmdb(root: Path, named: bool = False) -> LmdbSource | None:
    """Every data.mdb in the folder and below it. named: continue even if there are images before the first of them."""
    paths = [
        path for path in find_records(root, (_DATA.encode(),), named) if path.rpartition(b"/")[2] == _DATA.encode()
    ]
    if not paths:
        return None
    splits, doubt = splits_of_files(root, [*map(os.fsdecode, paths)], by_name=False)
    return LmdbSource(root, "lmdb", tuple(path.rpartition(b"/")[0] for path in paths), splits, doubt)


def _count_samples(root: Path, folder: bytes) -> int:
    """num-samples, if it agrees with the keys. SourceError if it does not, or is missing."""
    path = os.path.join(os.fsencode(root), folder)
    shown = os.fsdecode(path)
    environment = _environment(path, os.getpid())
    with environment.begin() as transaction:
        value = bytes(transaction.get(b"num-samples") or b"").strip()
        if not value.isdigit():
            raise SourceError(
                f"{shown} holds an LMDB without num-samples: none of PARSeq's or clovaai's; write its images and texts "
                "out as files"
            )
        count, keys = int(value), environment.stat()["entries"]
        others = [
            _first_key(transaction, b"%s-" % part, b"%s-%09d" % (part, count + 1)) for part in (b"image", b"label")
        ]
        others += [key for part in (b"image", b"label") if transaction.get(key := b"%s-000000000" % part) is not None]
    if other := next(filter(None, others), None):
        raise SourceError(
            f"{shown}: num-samples is {count:,}, but there is {os.fsdecode(other)} too (images and labels are counted "
            f"from 000000001; {keys:,} keys in all): what it says would be lost; write num-samples as it should be"
        )
    if count > keys:
        raise SourceError(
            f"{shown}: num-samples is {count:,}, but there are only {keys:,} keys in all: the LMDB is not whole; copy "
            "or write it again"
        )
    return count


def _first_key(transaction: Any, prefix: bytes, start: bytes) -> bytes | None:
    """The first key from `start` on that begins with `prefix`."""
    with transaction.cursor() as cursor:
        key = bytes(cursor.key()) if cursor.set_range(start) else b""
    return key if key.startswith(prefix) else None


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
    """An open LMDB. Once for each process: LMDB forbids opening one twice, and taking one through a fork."""
    lmdb = _import_lmdb()
    shown = os.fsdecode(folder)
    check_not_lfs(Path(shown, _DATA))
    try:
        environment = lmdb.open(shown, readonly=True, lock=False, readahead=False, create=False, max_spare_txns=1)
        pages = environment.info()["last_pgno"] + 1
        needed = pages * environment.stat()["psize"]
        size = os.stat(os.path.join(folder, _DATA.encode())).st_size
    except (lmdb.Error, OSError) as error:
        raise SourceError(f"{shown} holds an LMDB that cannot be opened ({error}); copy it again") from error
    if size < needed:  # to read beyond the end of a mapped file kills the process
        environment.close()
        raise SourceError(f"{shown}/{_DATA} has {size:,} bytes, its pages need {needed:,}; copy it again")
    return environment
