"""Label files: a line an image. labels.tsv / .csv, given splits, PaddleOCR's lists, EasyOCR's labels.csv.

Lines are handled as bytes: a label that is no UTF-8 spoils itself alone, and 35 M lines take less than a minute.
"""

import csv
import io
import json
import posixpath
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.files import BOM, FileReader
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.split import SPLITS

_HEADER_WORDS = frozenset((b"path", b"file", b"file_name", b"filename", b"image"))
_EASYOCR_HEADER = b"filename,words"
_PADDLE_STEMS = (("train_list", "val_list", "test_list"), ("rec_gt_train", "rec_gt_val", "rec_gt_test"))
_may_be_odd = re.compile(rb"\./|\.\.|//").search  # of a path: a third of the time of three `in`
_make = tuple.__new__  # an Entry without the check of its arguments: half the time of a line


class LabelFile(NamedTuple):
    """One file of labels. name: relative to the root. split: of all it names. folder: what its paths are relative to,
    with a slash at its end; b"" for the root."""

    name: str
    split: str = ""
    folder: bytes = b""


@dataclass(frozen=True)
class LabelFilesSource(ListedFiles):
    """Images named by label files. Subclasses say how a line is read."""

    root: Path
    layout: str
    files: tuple[LabelFile, ...]
    _listed: list[list] = field(default_factory=list, init=False, repr=False, compare=False)

    @abstractmethod
    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        """The entries of one file; path is where it lies."""

    def entries(self) -> Iterator[Entry]:
        """Every line once. SourceError where a file cannot be read, or no file names an image."""
        marks = mark_files(self.root, self.file_names())
        empty = True
        for file in self.files:
            path = self.root / file.name
            try:
                rows = self.rows(path, file)
                for entry in rows:
                    empty = False
                    yield entry
                    break
                yield from rows
            except OSError as error:
                raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable") from error
        if empty:
            raise SourceError(
                f"{self.root} holds label files that name no image; write a line `path<TAB>label` for each image"
            )
        self._listed[:] = marks

    def file_names(self) -> list[str]:
        return [file.name for file in self.files]

    def open(self) -> FileReader:
        return FileReader(self.root)


@dataclass(frozen=True)
class LabelsSource(LabelFilesSource):
    """labels.tsv or .csv, and given splits: path, label, and if wanted a subset. PaddleOCR's lists: path, label."""

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        if self.layout == "paddleocr":
            return _paddle_rows(path, file.split)
        return _csv_rows(path, file.split) if path.suffix == ".csv" else _tsv_rows(path, file.split)


@dataclass(frozen=True)
class EasyOcrSource(LabelFilesSource):
    """EasyOCR's labels.csv. named: the person said so; else a file that may be proper CSV is not guessed at."""

    named: bool = False

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        return _easyocr_rows(path, self.named)


def find_labels(root: Path, named: bool = False) -> LabelsSource | None:
    path = _first_file(root, "labels")
    if path is None and not _first_file(root, "val") and not _first_file(root, "test"):
        path = _first_file(root, "train")  # given splits need a second file
    return None if path is None else LabelsSource(root, "labels", (LabelFile(path.name),))


def find_splits(root: Path, named: bool = False) -> LabelsSource | None:
    files = tuple(LabelFile(path.name, split) for split in SPLITS if (path := _first_file(root, split)))
    return LabelsSource(root, "splits", files) if len(files) > 1 and files[0].split == "train" else None


def find_paddle(root: Path, named: bool = False) -> LabelsSource | None:
    for stems in _PADDLE_STEMS:
        files = [LabelFile(f"{stem}.txt", split) for stem, split in zip(stems, SPLITS, strict=True)]
        files = [file for file in files if (root / file.name).is_file()]
        if len(files) == 1:  # given splits need a second file
            files = [files[0]._replace(split="")]
        if files:
            return LabelsSource(root, "paddleocr", tuple(files))
    return None


def find_easyocr(root: Path, named: bool = False) -> EasyOcrSource | None:
    path = root / "labels.csv"
    if not path.is_file() or (not named and (root / "labels.tsv").is_file()):
        return None
    with open_label_file(path) as file:
        is_easyocr = file.readline(100).removeprefix(BOM).strip().lower() == _EASYOCR_HEADER
    return EasyOcrSource(root, "easyocr", (LabelFile(path.name),), named) if is_easyocr else None


def given_splits(files: list[LabelFile]) -> tuple[LabelFile, ...]:
    """One split alone is no split: everything would be train."""
    if len({file.split for file in files}) > 1:
        return tuple(files)
    return tuple(file._replace(split="") for file in files)


def _first_file(root: Path, stem: str) -> Path | None:
    return next((path for suffix in (".tsv", ".csv") if (path := root / f"{stem}{suffix}").is_file()), None)


def open_label_file(path: Path) -> BinaryIO:
    """A label file, to be read forward. SourceError where it is unreadable or in UTF-16, as spreadsheets write it."""
    try:
        file = path.open("rb", buffering=1 << 20)
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable") from error
    if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
        file.close()
        raise SourceError(f"{path} is written in UTF-16; save it as UTF-8")
    return file


def normal_path(path: bytes) -> bytes:
    """A path without `./`, `//` and `a/../`, so that one image has one name."""
    return posixpath.normpath(path) if _may_be_odd(path) else path


def no_path(path: Path, line: int, label: bytes | None, split: str) -> Entry:
    """What stands for a line that names no image."""
    return Entry(f"(line {line} of {path.name})".encode(), label, "", split, "no path")


def _tsv_rows(path: Path, split: str) -> Iterator[Entry]:
    with open_label_file(path) as file:
        first = file.readline().removeprefix(BOM)
        subsets: dict[bytes, str] = {}
        for number, line in enumerate(chain((first,), file), 1):
            row = line.rstrip(b"\r\n").split(b"\t")
            if len(row) > 2:
                name, label, third = row[:3]
                if (subset := subsets.get(third)) is None:
                    subset = third.strip().decode("utf-8", "replace")
                    if len(subsets) < 1000:  # more than 255 are refused soon
                        subsets[third] = subset
            else:
                name, label, subset = row[0], row[1] if len(row) > 1 else None, ""
            name = name.strip()
            if _may_be_odd(name):
                name = posixpath.normpath(name)
            if number == 1 and name.lower() in _HEADER_WORDS:
                continue
            if name:
                yield _make(Entry, (name, label, subset, split, "", 0, 0))
            elif any(row):
                yield no_path(path, number, label, split)


def _csv_rows(path: Path, split: str) -> Iterator[Entry]:
    for number, row in csv_rows(path):
        name = normal_path(row[0].strip())
        if number == 1 and name.lower() in _HEADER_WORDS:
            continue
        label = row[1] if len(row) > 1 else None
        subset = row[2].strip().decode("utf-8", "replace") if len(row) > 2 else ""
        if name:
            yield _make(Entry, (name, label, subset, split, "", 0, 0))
        else:
            yield no_path(path, number, label, split)


def csv_rows(path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """(line, cells) of each row of a CSV that holds anything. SourceError where it is none."""
    with open_label_file(path) as file:
        # what is no UTF-8 goes through str and comes back as it was
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        rows = csv.reader(text)
        try:
            for row in rows:
                if any(row):
                    yield rows.line_num, [cell.encode("utf-8", "surrogateescape") for cell in row]
        except csv.Error as error:
            raise SourceError(
                f"{path}, line {rows.line_num:,}, is no CSV ({error}); write it as labels.tsv: path<TAB>label"
            ) from error


def _paddle_rows(path: Path, split: str) -> Iterator[Entry]:
    """Lines `path<TAB>label`; in place of the path may stand a JSON list of several images of that label."""
    with open_label_file(path) as file:
        first = file.readline().removeprefix(BOM)
        for number, line in enumerate(chain((first,), file), 1):
            row = line.rstrip(b"\r\n").split(b"\t")
            name = row[0].strip()
            label = row[1] if len(row) > 1 else None
            if name[:1] == b"[":
                for one in _paths_in_list(name):
                    yield _make(Entry, (normal_path(one), label, "", split, "", 0, 0))
            elif name:
                yield _make(Entry, (normal_path(name), label, "", split, "", 0, 0))
            elif any(row):
                yield no_path(path, number, label, split)


def _paths_in_list(name: bytes) -> list[bytes]:
    """PaddleOCR takes what is no JSON list for a plain name."""
    try:
        paths = json.loads(name)
    except ValueError:
        return [name]
    return [str(path).encode("utf-8", "surrogatepass") for path in paths]


def _easyocr_rows(path: Path, named: bool) -> Iterator[Entry]:
    """Lines `filename,words`: EasyOCR cuts at the first comma and knows no quotes."""
    with open_label_file(path) as file:
        file.readline()
        for number, line in enumerate(file, 2):
            name, comma, words = line.rstrip(b"\r\n").partition(b",")
            name = name.strip()
            if words[:1] == b'"' and not named and words[-1:] == b'"' and (b"," in words or b'""' in words):
                raise SourceError(
                    f"{path}, line {number:,}, has quotes: to EasyOCR they are letters, to CSV they are not; "
                    "say which: --layout easyocr, or --layout labels"
                )
            if name:
                yield _make(Entry, (normal_path(name), words if comma else None, "", "", "", 0, 0))
            elif comma:
                yield no_path(path, number, words, "")
