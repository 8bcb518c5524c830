"""Folders of images: a text beside each image, the label in the file's name, one folder a class (classes.py)."""

import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sharding.errors import ConfigError
from sharding.layouts.entry import Entry, Source
from sharding.layouts.files import FileReader, TextBesideReader
from sharding.layouts.folders import Folder, has_image, scan_folders
from sharding.layouts.given_splits import TopSplits, find_top_splits
from sharding.layouts.marks import are_unchanged
from sharding.layouts.pairs import is_text, pair_names

LOOK_IMAGES = 20_000  # where none of so many images has a text beside it, none will


@dataclass(frozen=True)
class ImageFoldersSource(Source):
    """Images found by a walk. Subclasses say what a folder gives. splits: which its folders give."""

    root: Path
    layout: str
    splits: TopSplits = TopSplits()
    _listed: list[list] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def doubt(self) -> str:
        return self.splits.doubt

    @abstractmethod
    def entries_of(self, folder: Folder) -> list[Entry]:
        """The entries of one folder's files."""

    def entries(self) -> Iterator[Entry]:
        """Folder by folder. SourceError where one cannot be listed."""
        marks = []
        for folder in scan_folders(os.fsencode(self.root)):
            marks.append(folder.mark())
            yield from self.entries_of(folder)
        self._listed[:] = marks

    def listing(self) -> list[list]:
        """Of the folders as `entries` saw them; walks where nothing was listed yet."""
        return self._listed[:] or [folder.mark() for folder in scan_folders(os.fsencode(self.root))]

    def is_as_listed(self, marks: list[list]) -> bool:
        return are_unchanged(self.root, marks)

    def open(self) -> FileReader:
        return FileReader(self.root)


@dataclass(frozen=True)
class BesideSource(ImageFoldersSource):
    """`word.gt.txt` or `word.txt` beside `word.png` (pairs.py). The texts are read with the images."""

    labels_apart: bool = True

    def entries_of(self, folder: Folder) -> list[Entry]:
        prefix, split = folder.prefix, self.splits.split_of(folder.path)
        pairs, left = pair_names(folder.images(), (name for name in folder.files if is_text(name)))
        entries = []
        for picture, text, problem, detail in pairs:
            label = detail if problem or text is None else prefix + text
            entries.append(Entry(prefix + picture, label, "", split, problem))
        # A text whose image was lost is worth a line in rejects.tsv.
        entries.extend(Entry(prefix + text, detail, "", split, problem) for text, problem, detail in left)
        return entries

    def open(self) -> TextBesideReader:
        return TextBesideReader(self.root)


@dataclass(frozen=True)
class NamesSource(ImageFoldersSource):
    """The label stands in the file's name: what `pattern` finds there as its group `label`, else as its first group."""

    pattern: str = ""

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
    """named: look at every file, however many have no text beside them."""
    looked = 0
    source = BesideSource(root, "beside")
    for folder in scan_folders(os.fsencode(root)):
        entries = source.entries_of(folder)
        if any(entry.label is not None and not is_text(entry.path) for entry in entries):
            return BesideSource(root, "beside", find_top_splits(root))
        looked += len(entries)
        if looked > LOOK_IMAGES and not named:
            break
    return None


def find_names(root: Path, pattern: str) -> NamesSource | None:
    """ConfigError where the pattern is no regular expression, or has no group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"--label-from-name {pattern!r} is no regular expression ({error})") from error
    if not groups:
        raise ConfigError(
            f"--label-from-name {pattern!r} has no group; put the part that is the label into brackets: "
            r"'_(?P<label>[^_]+)_\d+\.png$'"
        )
    return NamesSource(root, "names", find_top_splits(root), pattern=pattern) if has_image(root) else None
