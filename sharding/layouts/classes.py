"""One folder per class. What may just as well be words is not taken for classes: texts anywhere in the tree are looked
for first."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.files import LOOK_FILES
from sharding.layouts.folders import Folder, has_image, list_folder, scan_folders, texts_in
from sharding.layouts.given_splits import TopSplits, find_top_splits
from sharding.layouts.image_folders import ImageFoldersSource
from sharding.layouts.naming import split_of_folder
from sharding.wording import some_names

_SHOWN = 4


@dataclass(frozen=True)
class ClassesSource(ImageFoldersSource):
    """The first folder of a path is the image's class; below folders of splits, the second."""

    kind: str = "classes"
    """A label is the name of a class."""
    below_splits: bool = False
    """Are the folders of classes in folders of splits?"""
    named: bool = False
    """A person said that they are classes."""
    label_from: ClassVar[str] = "the names of the folders"
    """As in `ImageFoldersSource`."""

    def entries(self) -> Iterator[Entry]:
        """As `ImageFoldersSource`; notes folders that hold no image."""
        found: set[bytes] = set()
        for entry in super().entries():
            found.add(entry.label or b"")
            yield entry
        folders = {self._class_of(os.fsencode(path)) for path, *_ in self._listed}
        if empty := [f"{os.fsdecode(name)}/" for name in sorted({name for name in folders if name} - found)]:
            verbs = ("holds", "is") if len(empty) == 1 else ("hold", "are")
            self._notes.append(f"{some_names(empty, _SHOWN)} {verbs[0]} no image, and {verbs[1]} no class")

    def entries_of(self, folder: Folder) -> list[Entry]:
        if not self.named and (texts := texts_in(folder)):  # beyond what the finder looked at
            raise SourceError(_not_classes(self.root, texts))
        label, split = self._class_of(folder.path), self.splits.split_of(folder.path)
        return [Entry(folder.prefix + name, label, "", split) for name in folder.images()]

    def _class_of(self, folder: bytes) -> bytes | None:
        """The class of the images in a folder; None outside all class folders."""
        parts = folder.split(b"/")[1 if self.below_splits else 0 :]
        return parts[0] if any(parts) else None


def find_classes(root: Path, named: bool = False) -> ClassesSource | None:
    """At least two classes, or None: one folder of images is a source whose label file is missing. SourceError if the
    folders may just as well be something else: there are texts in them, or splits among them."""
    tops = list_folder(os.fsencode(root)).folders
    splits = [top for top in tops if split_of_folder(top) and has_image(root, top)]
    others = (top for top in tops if not split_of_folder(top) and has_image(root, top))
    other = next(others, None)
    mixed = bool(splits) and other is not None
    if mixed and named and next(_classes_below(root, splits), None) is None:
        mixed, splits = False, []  # a class may well be called train
    if not mixed and not _are_two(_classes_below(root, splits or [b""])):
        return None
    if not named and (texts := _some_texts(root)):
        raise SourceError(_not_classes(root, texts))
    if mixed:
        split = os.fsdecode(splits[0])
        raise SourceError(
            f"{root} holds the folders {split}/, which is named like a split, and {os.fsdecode(other or b'')}/, which "
            "is not: they may be splits or classes; if every folder is a class: --layout classes; if there are splits, "
            "leave only folders named train, val and test there"
        )
    if not (named or splits) and find_top_splits(root, loose=False).are_given:
        shown = " and ".join(f"{os.fsdecode(top)}/" for top in tops[:2])
        raise SourceError(
            f"{root} holds folders whose names contain those of splits ({shown}): they may be splits or classes; if "
            "every folder is a class: --layout classes; if they are splits, call them train, val and test"
        )
    given = find_top_splits(root, loose=False, by_word=False) if splits else TopSplits()
    return ClassesSource(root, "classes", given, below_splits=bool(splits), named=named)


def _some_texts(root: Path) -> list[str]:
    """As far as the finder looks. A text beyond that is found when the source is listed."""
    texts: list[str] = []
    files = 0
    for folder in scan_folders(os.fsencode(root)):
        texts += texts_in(folder)
        files += len(folder.files)
        if len(texts) > _SHOWN or files > LOOK_FILES:
            break
    return texts


def _not_classes(root: Path, texts: list[str]) -> str:
    shown = ", ".join(texts[:_SHOWN]) + (", ..." if len(texts) > _SHOWN else "")
    return (
        f"{root} looks like a folder for each class, but holds what may be labels of words: {shown}; if the folders "
        "are the classes, say so with --layout classes; else name the labels as a layout has them: labels.tsv "
        "(path<TAB>label) at the top, or word.gt.txt or word.txt beside word.png"
    )


def _classes_below(root: Path, prefixes: list[bytes]) -> Iterator[bytes]:
    for prefix in prefixes:
        yield from _classes_in(root, prefix)


def _classes_in(root: Path, path: bytes) -> Iterator[bytes]:
    folder = list_folder(os.fsencode(root), path)
    return (name for name in folder.folders if has_image(root, folder.prefix + name))


def _are_two(names: Iterator[bytes]) -> bool:
    first = next(names, None)
    return any(name != first for name in names)
