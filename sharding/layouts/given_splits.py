"""The splits that a source gives by the names of its folders and files; and when they are not clear."""

import os
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sharding.layouts.folders import Folder, has_image, list_folder
from sharding.layouts.naming import split_of_file, split_of_folder

_LOOK_FOLDERS = 8  # that are searched for splits of their own
_REMEMBERED = 4_096  # names of folders
_ADVICE = (
    "move or rename what is meant otherwise (the names of splits: train, val, test and their like), or let the rule "
    "decide for all: --split label or --split file"
)


class TopSplits(NamedTuple):
    """What the folders at the top of a source say about splits."""

    prefix: bytes = b""
    """The folder that holds the folders of the splits, with a slash; b"" for the root."""
    are_given: bool = False
    """Does the first part of a path after the prefix say the split of a picture?"""
    doubt: str = ""
    """As `Source.doubt`."""
    by_word: bool = False
    """Is it enough that this part contains the name of a split, as en_train does?"""

    def split_of(self, path: bytes) -> str:
        """The split of a folder, or of a picture, by its path."""
        if not self.are_given:
            return ""
        return _split_of_part(path.removeprefix(self.prefix).partition(b"/")[0], self.by_word)


def find_top_splits(root: Path, loose: bool = True, by_word: bool = True) -> TopSplits:
    """The splits of folders of pictures: given if all pictures are in folders of splits, and in more than one.

    If no folder has exactly the name of a split, names that contain one count (by_word). loose: do pictures count that
    are in no folder?
    """
    start = os.fsencode(root)
    top = list_folder(start)
    while len(top.folders) == 1 and not top.images():
        top = list_folder(start, top.prefix + top.folders[0])
    named = _folders_of_splits(root, top, False)
    if by_word := by_word and not named:
        named = _folders_of_splits(root, top, True)
    splits = {*named.values()}
    if not splits or (by_word and len(splits) < 2):  # train_station/ beside bus_station/
        return TopSplits(top.prefix, doubt=_splits_below(root, start, top))
    if other := _other_place(root, top, named, top.images()[:1] if loose else []):
        return TopSplits(top.prefix, doubt=_mixed(root, _shown(top.prefix, next(iter(named))), other))
    if not by_word and (doubt := split_clash(root, named)):
        return TopSplits(top.prefix, doubt=doubt)
    return TopSplits(top.prefix, len(splits) > 1, by_word=by_word)


def splits_of_files(root: Path, paths: Sequence[str], by_name: bool = True) -> tuple[tuple[str, ...], str]:
    """(the split of each file, in the order of their paths relative to root; a doubt as `Source.doubt`).

    The uppermost folder with the name of a split decides, else the file's own name (by_name). If neither names one
    anywhere, folders whose names contain that of a split do (lmdb_train/). Folders that contain all files say nothing.
    No splits are given if the names of some files name none, or if all name the same.
    """
    splits, folders = [], []
    shared = len(os.path.commonprefix([path.split("/")[:-1] for path in paths]))
    for path in paths:
        split, above = _first_split(path.split("/")[:-1], shared, by_word=False)
        of_name = split_of_file(path.rpartition("/")[2].rpartition(".")[0]) if by_name else ""
        if split and of_name and split != of_name:
            return (), f"{root / path}: its folder says {split}, its name says {of_name}; {_ADVICE}"
        splits.append(split or of_name)
        folders.append(os.fsencode(above.rpartition("/")[2]))
    if not any(splits):
        splits = [split for split, _ in splits_of_parts(paths)]
        if len({*splits} - {""}) < 2:
            return (), ""
    if "" in splits and any(splits):
        named = next(path for path, split in zip(paths, splits, strict=True) if split)
        return (), _mixed(root, named, paths[splits.index("")])
    doubt = split_clash(root, filter(None, folders))
    return (tuple(splits) if len({*splits}) > 1 and not doubt else ()), doubt


def splits_of_parts(paths: Sequence[str]) -> list[tuple[str, str]]:
    """(split, the folder that names it) of each path, ("", "") if none of its folders does.

    The uppermost folder with exactly the name of a split; if no path has one, the uppermost whose name contains one.
    Folders that contain all paths say nothing.
    """
    folders = [path.split("/")[:-1] for path in paths]
    shared = len(os.path.commonprefix(folders))
    found: list[tuple[str, str]] = []
    for by_word in (False, True):
        found = [_first_split(parts, shared, by_word) for parts in folders]
        if any(split for split, _ in found):
            break
    return found


def _first_split(parts: list[str], start: int, by_word: bool) -> tuple[str, str]:
    for position in range(start, len(parts)):
        if split := _split_of_part(os.fsencode(parts[position]), by_word):
            return split, "/".join(parts[: position + 1])
    return "", ""


@lru_cache(_REMEMBERED)  # called for each row of a label file
def _split_of_part(part: bytes, by_word: bool) -> str:
    return split_of_file(part.decode("utf-8", "replace")) if by_word else split_of_folder(part)


def _folders_of_splits(root: Path, top: Folder, by_word: bool) -> dict[bytes, str]:
    """The folders of `top` that name a split and hold pictures, and the split. Empty if all name the same (by_word)."""
    named = {name: split for name in top.folders if (split := _split_of_part(name, by_word))}
    if by_word and len({*named.values()}) < 2:
        return {}
    return {name: split for name, split in named.items() if has_image(root, top.prefix + name)}


def _other_place(root: Path, top: Folder, named: Collection[bytes], loose_images: list[bytes]) -> str:
    """A picture, or a folder of pictures, in `top` beside the folders of splits; "" if there is none."""
    if loose_images:
        return os.fsdecode(top.prefix + loose_images[0])
    others = (name for name in top.folders if name not in named and has_image(root, top.prefix + name))
    return next((_shown(top.prefix, name) for name in others), "")


def _splits_below(root: Path, start: bytes, top: Folder) -> str:
    """A doubt if folders that are not splits hold folders that are."""
    for name in top.folders[:_LOOK_FOLDERS]:
        folder = list_folder(start, top.prefix + name)
        below = _folders_of_splits(root, folder, False) or _folders_of_splits(root, folder, True)
        if len({*below.values()}) > 1:
            shown = ", ".join(_shown(folder.prefix, each) for each in below)
            return f"{root} holds splits below other folders ({shown}); put them at the top, or {_ADVICE}"
    return ""


def _shown(prefix: bytes, name: bytes) -> str:
    return f"{os.fsdecode(prefix + name)}/"


def _mixed(root: Path, named: str, other: str) -> str:
    return f"{root} holds {named}, which is named like a split, and {other}, which is not; {_ADVICE}"


def split_clash(root: Path, folders: Iterable[bytes]) -> str:
    """A doubt, a sentence, if folders of two names stand for one split, as test/ and eval/ do; else ""."""
    names: dict[str, dict[bytes, None]] = {}
    for folder in folders:
        names.setdefault(split_of_folder(folder), {})[folder.lower()] = None
    for split, several in names.items():
        if len(several) > 1:
            shown = " and ".join(os.fsdecode(name) + "/" for name in several)
            return f"{root} holds {shown}, which both are names of the split {split}; {_ADVICE}"
    return ""
