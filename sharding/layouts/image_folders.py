"""Folders of images: a text beside each image, the label in the file's name, or one folder per class (classes.py)."""

import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sharding.errors import ConfigError, SourceError
from sharding.layouts.entry import Entry, Mark, Source
from sharding.layouts.files import LOOK_FILES, FileReader, TextBesideReader
from sharding.layouts.folders import Folder, UnreadTexts, has_image, is_note, scan_folders, texts_in
from sharding.layouts.given_splits import TopSplits, find_top_splits
from sharding.layouts.marks import are_unchanged
from sharding.layouts.naming import SPLIT_OF_NAME, is_label_file
from sharding.layouts.pairs import is_text, pair_names


@dataclass(frozen=True)
class ImageFoldersSource(Source):
    """Images found by a walk. Subclasses say what a folder gives."""

    root: Path
    """As in `Source`."""
    layout: str
    """"beside", "names" or "classes"."""
    splits: TopSplits = TopSplits()
    """Those that its folders give."""
    label_from: ClassVar[str] = ""
    """Where the labels come from, for a note."""
    _listed: list[Mark] = field(default_factory=list, init=False, repr=False, compare=False)
    """The marks of the last listing: of each folder."""
    _notes: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """Of the last `entries`."""

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to workers with every task: without the marks, which may take megabytes."""
        return {**vars(self), "_listed": []}

    @property
    def doubt(self) -> str:  # type: ignore[override]  # computed; a plain attribute of Source
        return self.splits.doubt

    @abstractmethod
    def entries_of(self, folder: Folder) -> list[Entry]:
        """The entries of one folder's files."""

    def texts_unread(self, folder: Folder) -> list[str]:
        """The files of a folder that may hold labels, and that are neither read nor rejected."""
        # lists of splits are read if they are asked for, and refused if they are not
        return [name for name in texts_in(folder) if Path(name).stem.lower() not in SPLIT_OF_NAME]

    def entries(self) -> Iterator[Entry]:
        """Folder by folder. SourceError if one cannot be listed."""
        marks: list[Mark] = []
        unread = UnreadTexts()
        for folder in scan_folders(os.fsencode(self.root)):
            marks.append(folder.mark())
            yield from self.entries_of(folder)
            unread.add(self.texts_unread(folder))
        self._notes[:] = unread.notes(self.label_from)
        self._listed[:] = marks

    def notes(self) -> list[str]:
        return list(self._notes)

    def listing(self) -> list[Mark]:
        """Of the folders as `entries` saw them; scans them if nothing was listed yet."""
        return self._listed[:] or [folder.mark() for folder in scan_folders(os.fsencode(self.root))]

    def is_as_listed(self, marks: list[Mark]) -> bool:
        return are_unchanged(self.root, marks)

    def open(self) -> FileReader:
        return FileReader(self.root)


@dataclass(frozen=True)
class BesideSource(ImageFoldersSource):
    """`word.gt.txt` or `word.txt` beside `word.png` (pairs.py). The texts are read with the images."""

    labels_apart: bool = True
    """Each label is a file of its own."""
    label_from: ClassVar[str] = "the texts beside the pictures"
    """As in `ImageFoldersSource`."""

    def texts_unread(self, folder: Folder) -> list[str]:
        return [name for name in texts_in(folder) if not is_text(os.fsencode(name))]

    def entries_of(self, folder: Folder) -> list[Entry]:
        prefix, split = folder.prefix, self.splits.split_of(folder.path)
        pairs, left = pair_names(folder.images(), (name for name in folder.files if is_text(name)))
        entries = []
        for picture, text, problem, detail in pairs:
            label = detail if problem or text is None else prefix + text
            entries.append(Entry(prefix + picture, label, "", split, problem))
        # A text whose image was lost gets a line in rejects.tsv.
        entries.extend(
            Entry(prefix + text, detail, "", split, problem)
            for text, problem, detail in left
            if problem != "missing image" or not is_note(text)
        )
        return entries

    def open(self) -> TextBesideReader:
        return TextBesideReader(self.root)


@dataclass(frozen=True)
class NamesSource(ImageFoldersSource):
    """The label is in the file's name: what `pattern` finds there as its group `label`, else as its first group."""

    pattern: str = ""
    """A regular expression with at least one group, as --label-from-name gives it."""
    label_from: ClassVar[str] = "the names of the pictures"
    """As in `ImageFoldersSource`."""

    def entries_of(self, folder: Folder) -> list[Entry]:
        pattern = re.compile(self.pattern)
        group = "label" if "label" in pattern.groupindex else 1
        split = self.splits.split_of(folder.path)
        entries = []
        for name in folder.images():
            found = pattern.search(name.decode("utf-8", "surrogateescape"))
            label = found[group] if found else None
            raw_label = None if label is None else label.encode("utf-8", "surrogateescape")
            problem = "no label" if label is None else ""
            entries.append(Entry(folder.prefix + name, raw_label, "", split, problem))
        return entries


def find_beside(root: Path, named: bool = False) -> BesideSource | None:
    """named: read every file, even if many have no text beside them. SourceError if most pictures have no text beside
    them, a file there may hold their labels, and nobody said which are meant."""
    looked = 0
    source = BesideSource(root, "beside")
    with_text, without = 0, 0
    others: list[str] = []  # that may hold labels
    for folder in scan_folders(os.fsencode(root)):
        entries = source.entries_of(folder)
        has_text = [entry.label is not None for entry in entries if not is_text(entry.path)]
        with_text += sum(has_text)
        without += len(has_text) - sum(has_text)
        if with_text and (named or with_text >= without):
            break
        texts = {os.fsdecode(entry.path) for entry in entries if is_text(entry.path)}  # without a picture
        others += [name for name in texts_in(folder) if _may_name_pictures(name, texts)]
        looked += len(entries)
        if looked > LOOK_FILES and not named:
            break
    if not with_text:
        return None
    if not named and without > with_text and others:
        raise SourceError(
            f"{root}: {without:,} of the first {without + with_text:,} pictures have no text beside them, and "
            f"{others[0]} may hold their labels; call it labels.tsv (path<TAB>label) if it does, or say --layout beside"
        )
    return BesideSource(root, "beside", find_top_splits(root))


def _may_name_pictures(text: str, alone: set[str]) -> bool:
    """May a file hold the labels of many pictures? alone: the texts of the folder that have no picture."""
    name = os.fsencode(text)
    return is_label_file(name.rpartition(b"/")[2]) and (text in alone or not is_text(name))


def find_names(root: Path, pattern: str) -> NamesSource | None:
    """ConfigError if the pattern is not a regular expression, or has no group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"--label-from-name {pattern!r} is not a regular expression ({error})") from error
    if not groups:
        raise ConfigError(
            f"--label-from-name {pattern!r} has no group; put the part that is the label into brackets: "
            r"'_(?P<label>[^_]+)_\d+\.png$'"
        )
    return NamesSource(root, "names", find_top_splits(root), pattern=pattern) if has_image(root) else None
