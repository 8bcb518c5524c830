"""Folders of images: a text beside each image, the label in the file's name, one folder a class."""

import os
import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sharding.errors import ConfigError
from sharding.layouts.entry import Entry, Source
from sharding.layouts.files import FileReader, TextBesideReader
from sharding.layouts.folders import SPLIT_FOLDERS, Folder, is_image, list_folder, scan_folders
from sharding.layouts.marks import are_unchanged

_LOOK_IMAGES = 20_000  # where none of so many images has a text beside it, none will
_TEXT_SUFFIXES = (b".gt.txt", b".txt")


@dataclass(frozen=True)
class ImageFoldersSource(Source):
    """Images found by a walk. Subclasses say what a folder gives."""

    root: Path
    layout: str
    _listed: list[list] = field(default_factory=list, init=False, repr=False, compare=False)

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
    """`word.gt.txt` or `word.txt` beside `word.png`. The texts are read with the images."""

    labels_apart: bool = True

    def entries_of(self, folder: Folder) -> list[Entry]:
        prefix = folder.prefix
        texts = {name for name in folder.files if name.endswith(b".txt")}
        used = set()
        entries = []
        for name in folder.images():
            stem = name[: name.rfind(b".")]
            text = next((stem + suffix for suffix in _TEXT_SUFFIXES if stem + suffix in texts), None)
            used.add(text)
            entries.append(Entry(prefix + name, None if text is None else prefix + text))
        # A text whose image was lost is worth a line in rejects.tsv.
        entries.extend(Entry(prefix + text, None, problem="missing image") for text in sorted(texts - used))
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
        entries = []
        for name in folder.images():
            found = pattern.search(name.decode("utf-8", "surrogateescape"))
            label = found[group] if found else None
            raw_label = None if label is None else label.encode("utf-8", "surrogateescape")
            problem = "no label" if label is None else ""
            entries.append(Entry(folder.prefix + name, raw_label, problem=problem))
        return entries


@dataclass(frozen=True)
class ClassesSource(ImageFoldersSource):
    """The first folder of a path is the image's class; where splits are given, the second."""

    kind: str = "classes"
    splits_given: bool = False

    def entries_of(self, folder: Folder) -> list[Entry]:
        parts = folder.path.split(b"/") if folder.path else []
        split = ""
        if self.splits_given and parts:
            split = SPLIT_FOLDERS.get(parts.pop(0), "")
        label = parts[0] if parts else None  # an image that lies in no class folder has no label
        return [Entry(folder.prefix + name, label, "", split) for name in folder.images()]


def find_beside(root: Path, named: bool = False) -> BesideSource | None:
    """named: look at every file, however many have no text beside them."""
    looked = 0
    source = BesideSource(root, "beside")
    for folder in scan_folders(os.fsencode(root)):
        entries = source.entries_of(folder)
        if any(entry.label is not None for entry in entries):
            return source
        looked += len(entries)
        if looked > _LOOK_IMAGES and not named:
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
    return NamesSource(root, "names", pattern) if has_image(root) else None


def find_classes(root: Path, named: bool = False) -> ClassesSource | None:
    """At least two classes, or no set of classes: one folder of images is a source whose label file is missing."""
    tops = list_folder(os.fsencode(root)).folders
    given = not any(top not in SPLIT_FOLDERS and has_image(root, top) for top in tops)
    tops = [top for top in tops if not given or has_image(root, top)]
    if given and len({SPLIT_FOLDERS[top] for top in tops}) < 2:
        given = False
    prefixes = [top + b"/" for top in tops] if given else [b""]
    classes: set[bytes] = set()
    for prefix in prefixes:
        for name in list_folder(os.fsencode(root), prefix.rstrip(b"/")).folders:
            if name not in classes and has_image(root, prefix + name):
                classes.add(name)
            if len(classes) > 1:
                return ClassesSource(root, "classes", splits_given=given)
    return None


def has_image(root: Path, below: bytes = b"") -> bool:
    """Does an image lie in the folder `below` (relative to root), in any depth?"""
    return any(is_image(name) for folder in scan_folders(os.fsencode(root), below) for name in folder.files)
