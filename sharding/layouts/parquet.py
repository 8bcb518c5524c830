"""Parquet files as the Hugging Face hub has them: a column of images (a struct with `bytes`, or plain binary) and one
of texts, or of classes (integers whose names are in the file). A row is a sample.

Texts are listed without the images. An image is found again by its row: the rows of a row group are read forward, a few
at a time, so that reading in order decodes each once.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from pathlib import Path
from typing import Any

from sharding.errors import SourceError
from sharding.layouts.entry import Entry, Mark, Reader
from sharding.layouts.files import AWAY, checked_content, line_of
from sharding.layouts.given_splits import splits_of_files
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.layouts.naming import split_of_folder
from sharding.layouts.parquet_columns import Columns, columns_of, import_pyarrow, open_parquet
from sharding.layouts.record_files import find_records, loose_files
from sharding.reasons import Rejected

_LISTED_ROWS = 4_096  # in memory at a time
_IMAGE_ROWS = 32
_OPEN_FILES = 16


@dataclass(frozen=True)
class ParquetSource(ListedFiles):
    """Parquet files. An image's path is its file and its row, from 0."""

    root: Path
    """As in `Source`."""
    layout: str
    """"parquet"."""
    files: tuple[str, ...]
    """Relative to root."""
    columns: Columns
    """Those of the first file; all others must have the same."""
    kind: str = "words"
    """"classes" if the labels are numbers that have names in the file, else "words"."""
    splits: tuple[str, ...] = ()
    """Of each file, if their names give them; if there is a column of splits too, the two must agree."""
    doubt: str = ""
    """As in `Source`; "" if there is a column of splits."""
    images_are_files: bool = False
    """Each image is a cell."""
    _listed: list[Mark] = field(default_factory=list, init=False, repr=False, compare=False)
    """As in `ListedFiles`."""
    _unread: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """Names of the columns that the last `entries` left out."""

    def entries(self) -> Iterator[Entry]:
        """SourceError if a file is damaged or has other columns than the first one, or if none has a row."""
        marks = mark_files(self.root, self.file_names())
        is_empty = True
        self._unread.clear()
        for name, split in zip(self.files, self.splits or [""] * len(self.files), strict=True):
            for entry in self._entries_of(name, split):
                is_empty = False
                yield entry
        if is_empty:
            raise SourceError(f"the Parquet files in {self.root} hold no row; name another --src")
        yield from loose_files(self.root, {*self.files})
        self._listed[:] = marks

    def _entries_of(self, name: str, split: str) -> Iterator[Entry]:
        path, prefix = self.root / name, os.fsencode(name) + b"/"
        with open_parquet(path) as file:
            if columns_of(file.schema_arrow, path) != self.columns:
                raise SourceError(
                    f"{path} has not the columns of {self.files[0]} ({self.columns.shown()}); make a set of each"
                )
            unread = self.columns.unread_in(file.schema_arrow)
            self._unread.extend(column for column in unread if column not in self._unread)
            for row, (label, split_name) in enumerate(self._rows(file, path)):
                yield self._entry(prefix + b"%09d" % row, label, self._split_of(path, row, split_name, split))

    def _split_of(self, path: Path, row: int, name: bytes | None, of_file: str) -> str:
        """The split of a row: from its cell, else from its file."""
        if not name or not name.strip():
            return of_file
        if not (split := split_of_folder(name.strip())):
            raise SourceError(
                f"{path}, row {row:,}: {name.decode('utf-8', 'replace')!r} is not a name of a split; write train, val "
                f"or test, or rename the column {self.columns.split!r}"
            )
        if of_file not in ("", split):
            raise SourceError(
                f"{path}, row {row:,}: the column {self.columns.split!r} says {split}, the name of the file or of its "
                f"folder says {of_file}; rename the one that is not meant"
            )
        return split

    def _rows(self, file: Any, path: Path) -> Iterator[tuple[bytes | int | None, bytes | None]]:
        """The label of each row, and the name of its split."""
        columns = [name for name in (self.columns.label, self.columns.split) if name]
        try:
            for batch in file.iter_batches(_LISTED_ROWS, columns=columns, use_threads=False):
                labels = batch.column(self.columns.label)
                labels = labels.to_pylist() if self.columns.classes else _as_bytes(labels)
                splits = _as_bytes(batch.column(self.columns.split)) if self.columns.split else repeat(None)
                yield from zip(labels, splits, strict=False)  # repeat has no end
        except (import_pyarrow().ArrowException, OSError) as error:
            raise SourceError(f"{path} is damaged ({error}); copy it again") from error

    def _entry(self, path: bytes, label: bytes | int | None, split: str) -> Entry:
        if classes := self.columns.classes:
            if label is None:
                return Entry(path, b"its class is null", "", split, "no label")
            if not 0 <= int(label) < len(classes):
                return Entry(path, b"its number %d has no name" % int(label), "", split, "no label")
            if not classes[int(label)].strip():
                return Entry(path, b"the name of its class, number %d, is empty" % int(label), "", split, "no label")
            return Entry(path, classes[int(label)].encode(), "", split)
        try:
            return Entry(path, line_of(label, path) if isinstance(label, bytes) else None, "", split)
        except Rejected as why:
            return Entry(path, os.fsencode(why.detail), "", split, why.reason)

    def notes(self) -> list[str]:
        return [f"{self.files[0]}: the columns {', '.join(self._unread)} are not read"] if self._unread else []

    def file_names(self) -> list[str]:
        return [*self.files]

    def open(self) -> "ParquetReader":
        return ParquetReader(self.root, self.columns)


def _as_bytes(column: Any) -> list[bytes | None]:
    """Texts as bytes: a text that is not UTF-8 spoils only itself."""
    pyarrow = import_pyarrow()
    texts: list[bytes | None] = column.cast(pyarrow.large_string(), safe=False).cast(pyarrow.large_binary()).to_pylist()
    return texts


class ParquetReader(Reader):
    """Paths are a file and a row."""

    def __init__(self, root: Path, columns: Columns) -> None:
        self._root, self._columns = root, columns
        self._errors = (import_pyarrow().ArrowException, SourceError, OSError)
        self._files: dict[bytes, _ImageRows] = {}

    def read_image(self, path: bytes, at: int = 0, size: int = 0) -> bytes:
        """The bytes of one row; else Rejected."""
        name, _, row = path.rpartition(b"/")
        try:
            content, shown = self._rows_of(name).read(int(row))
        except FileNotFoundError as error:
            raise Rejected("missing image", f"{os.fsdecode(name)} is gone") from error
        except self._errors as error:
            self._forget(name)
            if getattr(error, "errno", None) in AWAY:
                raise
            raise Rejected("unreadable file", str(error)) from error
        if content is None:
            raise Rejected("missing image", f"the row has no bytes, but the path {shown}" if shown else "an empty row")
        return checked_content(content)

    def close(self) -> None:
        for name in [*self._files]:
            self._forget(name)

    def _rows_of(self, name: bytes) -> "_ImageRows":
        if (rows := self._files.get(name)) is None:
            if len(self._files) >= _OPEN_FILES:
                self._forget(next(iter(self._files)))
            path = self._root / os.fsdecode(name)
            os.stat(path)  # a missing file is reported as such, not as damaged
            rows = self._files[name] = _ImageRows(open_parquet(path), self._columns)
        return rows

    def _forget(self, name: bytes) -> None:
        if rows := self._files.pop(name, None):
            rows.close()


class _ImageRows:
    """The images of one file by their rows: fast in ascending order; in any other it begins a row group again."""

    def __init__(self, file: Any, columns: Columns) -> None:
        self._file, self._columns = file, columns
        groups = (file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))
        self._starts = [*accumulate(groups, initial=0)]
        self._group = -1
        self._batches: Iterator[Any] = iter(())
        self._first = self._held = 0  # the row of the first image in memory, and how many are
        self._images: Any = None
        self._paths: Any = None

    def read(self, row: int) -> tuple[bytes | None, str | None]:
        """(bytes, path) of a row as they are in the file."""
        if not 0 <= row < self._starts[-1]:
            raise Rejected("missing image", "the file has no such row")
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._first:
            self._group, self._first, self._held = group, self._starts[group], 0
            wanted = [name for name in (self._columns.image, self._columns.path) if name]
            self._batches = self._file.iter_batches(_IMAGE_ROWS, row_groups=[group], columns=wanted, use_threads=False)
        while row >= self._first + self._held:
            self._hold(next(self._batches))
        position = row - self._first
        return self._images[position].as_py(), self._paths[position].as_py() if self._paths is not None else None

    def _hold(self, batch: Any) -> None:
        self._first, self._held = self._first + self._held, len(batch)
        column, part_name = batch.column(0), self._columns.image.partition(".")[2]
        if not part_name:
            self._images, self._paths = column, None
            return
        parts = dict(zip((part.name for part in column.type), column.flatten(), strict=True))
        self._images, self._paths = parts[part_name], parts.get(self._columns.path.partition(".")[2])

    def close(self) -> None:
        self._file.close()


def find_parquet(root: Path, named: bool = False) -> ParquetSource | None:
    """Every .parquet in the folder and below it. named: continue even if there are images before the first of them.
    SourceError if the first one is damaged, or does not have one column of images and one of labels."""
    files = tuple(map(os.fsdecode, find_records(root, (b".parquet",), named)))
    if not files:
        return None
    with open_parquet(root / files[0]) as file:
        columns = columns_of(file.schema_arrow, root / files[0])
    splits, doubt = splits_of_files(root, files)
    if columns.split:
        doubt = ""
    kind = "classes" if columns.classes else "words"
    return ParquetSource(root, "parquet", files, columns, kind, splits, doubt)
