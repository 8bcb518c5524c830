"""Label files: a line for each picture. labels.tsv or gt.txt, given splits, PaddleOCR's lists, EasyOCR's labels.csv.

They are at the top of the source, or in folders below it. How a file is read: dialect.py (what its cells are), paths.py
(where its paths lead), rows.py and row_entries.py (its rows as entries).
"""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sharding.errors import SourceError
from sharding.layouts.dialect import find_dialect
from sharding.layouts.entry import Entry, Mark
from sharding.layouts.files import FileReader
from sharding.layouts.folders import UnreadTexts, list_folder, scan_folders, texts_in
from sharding.layouts.given_splits import TopSplits, find_top_splits, splits_of_files
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.layouts.naming import may_be_list, split_of_folder
from sharding.layouts.paths import PathRule
from sharding.layouts.rows import RowReader
from sharding.layouts.text_files import open_label_file


class LabelFile(NamedTuple):
    """One file of labels."""

    name: str
    """Relative to the root."""
    split: str = ""
    """Of everything it names."""
    folder: bytes = b""
    """What its paths are relative to, with a slash at its end; b"" for the root."""


@dataclass(frozen=True)
class LabelFilesSource(ListedFiles):
    """Images named by label files. Subclasses say how a file is read."""

    root: Path
    """As in `Source`."""
    layout: str
    """One of LISTED_LAYOUTS (find_label_files.py), "huggingface" or "doctr"."""
    files: tuple[LabelFile, ...]
    """At least one, in the order in which they are read."""
    images: Path | None = None
    """The folder that paths are relative to, if a person has said so."""
    _listed: list[Mark] = field(default_factory=list, init=False, repr=False, compare=False)
    """As in `ListedFiles`."""
    _notes: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """Those of the last `entries`, each once."""

    @abstractmethod
    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        """The entries of one file. path: of the file."""

    def entries(self) -> Iterator[Entry]:
        """Every line once. SourceError if a file cannot be read, or if no file names an image."""
        marks = mark_files(self.root, self.file_names())
        self._notes.clear()
        empty = True
        for file in self.files:
            path = self.root / file.name
            try:
                rows = self.rows(path, file._replace(split=self.split_of_file[file.name]))
                for entry in islice(rows, 1):
                    empty = False
                    yield entry
                yield from rows
            except OSError as error:
                raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable") from error
        if empty:
            raise SourceError(
                f"{self.root} holds label files that name no image; write a line `path<TAB>label` for each image"
            )
        self._listed[:] = marks

    def notes(self) -> list[str]:
        return list(self._notes)

    def pictures(self) -> Iterator[list[bytes]]:
        """The pictures in the source, folder by folder, named by a label file or not. What else there may hold labels
        is reported by `notes`."""
        own, unread = {*self.file_names()}, UnreadTexts()
        for folder in scan_folders(os.fsencode(self.root)):
            prefix, images = folder.prefix, folder.images()
            yield [prefix + name for name in images]
            if len(images) == len(folder.files):
                continue
            # lists of splits are read if they are asked for, and refused if they are not
            unread.add([name for name in texts_in(folder) if name not in own and not may_be_list(name)])
        self.remark(unread.notes(self.files[0].name))

    def file_names(self) -> list[str]:
        return [file.name for file in self.files]

    def open(self) -> FileReader:
        return FileReader(self.root)

    def rule_for(self, file: LabelFile, paths: Sequence[bytes]) -> PathRule:
        """Where the paths of a file lead. paths: some of them."""
        rule = PathRule(self.root, file.folder, paths, file.name, self.images)
        self.remark([rule.note] if rule.note else [])
        for path in map(rule, paths if file.split else ()):
            if split_of_folder(path.partition(b"/")[0]) not in ("", file.split):
                self.remark([f"{file.name} is of {file.split}, whatever the folder of {os.fsdecode(path)} says"])
                break
        return rule

    def read(self, reader: RowReader, file: LabelFile) -> Iterator[Entry]:
        """The rows of a file; and a note if they contradict the folders of their pictures."""
        yield from reader.entries()
        if reader.contradictions:
            self.remark(
                [
                    f"{file.name}: the column of splits and the folder of the picture say different splits in "
                    f"{reader.contradictions:,} of the rows; the column counts"
                ]
            )

    def remark(self, notes: Iterable[str]) -> None:
        """Notes for a person, each once."""
        self._notes.extend(note for note in notes if note not in self._notes)

    @cached_property
    def top_splits(self) -> TopSplits:
        """The splits that the folders of the source give, if its label files name none."""
        if self.says_splits:
            return TopSplits()
        splits, doubt = splits_of_files(self.root, self.file_names(), by_name=False)
        return TopSplits(doubt=doubt) if splits or doubt else find_top_splits(self.root)

    @cached_property
    def split_of_file(self) -> dict[str, str]:
        """The split of each label file, by its name or its folder."""
        by_folder = splits_of_files(self.root, self.file_names(), by_name=False)[0]
        folders = by_folder if by_folder and not self.says_splits else [""] * len(self.files)
        return {file.name: file.split or split for file, split in zip(self.files, folders, strict=True)}

    @property
    def says_splits(self) -> bool:
        """Do the label files say the splits, by their names or by a column?"""
        return any(file.split or self._has_split_column(self.root / file.name) for file in self.files)

    def _has_split_column(self, path: Path) -> bool:
        with suppress(SourceError):  # it is raised when the file is read
            return path.suffix.lower() in (".tsv", ".csv", ".txt") and find_dialect(path).split is not None
        return False

    @property
    def doubt(self) -> str:  # type: ignore[override]  # computed; a plain attribute of Source
        return self.top_splits.doubt

    @property
    def split_of_path(self) -> Callable[[bytes], str] | None:
        """The split of a picture by its folder; None if folders say none."""
        return self.top_splits.split_of if self.top_splits.are_given else None


@dataclass(frozen=True)
class LabelsSource(LabelFilesSource):
    """labels.tsv, gt.txt and their like; given splits; PaddleOCR's lists."""

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        dialect = find_dialect(path)
        self.remark(dialect.notes)
        rule = self.rule_for(file, dialect.paths)
        by_folder = self.split_of_path if dialect.split is None else None
        reader = RowReader(path, dialect, rule, file.split, by_folder, self.layout == "paddleocr", file.name)
        return self.read(reader, file)


@dataclass(frozen=True)
class EasyOcrSource(LabelFilesSource):
    """EasyOCR's labels.csv."""

    named: bool = False
    """A person named the layout; else a file that may be proper CSV is refused."""

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        some = [line.partition(b",")[0] for line in _lines_below_header(path, 2_000)]
        return _easyocr_rows(path, file, self.rule_for(file, some), self.split_of_path, self.named)


def files_in_folders(root: Path, names: Sequence[str]) -> list[LabelFile]:
    """The label files with one of these names in the folders at the top of a source. SourceError for two in one
    folder."""
    found = []
    for folder in [b"", *list_folder(os.fsencode(root)).folders]:
        here = [os.path.join(os.fsdecode(folder), name) for name in names]
        here = [name for name in here if (root / name).is_file()]
        if len(here) > 1:
            raise SourceError(f"{root} holds {' and '.join(here)}; move the one away that is not meant")
        found += [LabelFile(name, "", folder + b"/" if folder else b"") for name in here]
    return found


def _easyocr_rows(
    path: Path, file: LabelFile, rule: PathRule, by_folder: Callable[[bytes], str] | None, named: bool
) -> Iterator[Entry]:
    """Lines `filename,words`: EasyOCR cuts at the first comma and knows no quotes."""
    for number, line in enumerate(_lines_below_header(path), 2):
        name, comma, words = line.partition(b",")
        name = name.strip()
        if words[:1] == b'"' and not named and _may_be_csv(words):
            raise SourceError(
                f"{path}, line {number:,}, has quotes: to EasyOCR they are letters, to CSV they are not; "
                "say which: --layout easyocr, or --layout labels"
            )
        if name:
            name = rule(name)
            split = file.split or (by_folder(name) if by_folder else "")
            yield Entry(name, words if comma else None, "", split)
        elif comma:
            yield Entry(f"(line {number} of {file.name})".encode(), words, "", file.split, "no path")


def _may_be_csv(words: bytes) -> bool:
    """May words that begin with a quote be a quoted cell, or the beginning of one that is never closed?"""
    return words[-1:] != b'"' or len(words) > 1 and (b"," in words or b'""' in words)


def _lines_below_header(path: Path, most: int | None = None) -> Iterator[bytes]:
    with open_label_file(path) as file:
        file.readline()
        for line in islice(file, most):
            yield line.rstrip(b"\r\n")
