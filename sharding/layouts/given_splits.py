"""The splits that a source gives by the names of its folders and files; and when they cannot be told."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sharding.layouts.folders import has_image, list_folder
from sharding.layouts.naming import split_of_file, split_of_folder

_LOOK_FOLDERS = 8  # in which splits of their own are looked for
_ADVICE = (
    "move or rename what is meant otherwise (the names of splits: train, val, test and their like), or let the rule "
    "decide for all: --split label or --split file"
)


class TopSplits(NamedTuple):
    """prefix: of the folder that holds the folders of the splits, with a slash; b"" for the root. are_given: does the
    first part of what follows the prefix say the split of a picture? doubt: as `Source.doubt`."""

    prefix: bytes = b""
    are_given: bool = False
    doubt: str = ""

    def split_of(self, folder: bytes) -> str:
        """The split of what lies in a folder (its path)."""
        return split_of_folder(folder.removeprefix(self.prefix).partition(b"/")[0]) if self.are_given else ""


def find_top_splits(root: Path, loose: bool = True) -> TopSplits:
    """The splits of folders of pictures: given where all pictures lie in folders of splits, and in more than one.
    loose: do pictures count that lie in no folder?"""
    start = os.fsencode(root)
    top = list_folder(start)
    while len(top.folders) == 1 and not split_of_folder(top.folders[0]) and not top.images():
        top = list_folder(start, top.prefix + top.folders[0])
    names = [name for name in top.folders if split_of_folder(name) and has_image(root, top.prefix + name)]
    if not names:
        return TopSplits(top.prefix, doubt=_splits_below(root, start, top.prefix, top.folders))
    if loose and top.images():
        other = os.fsdecode(top.prefix + top.images()[0])
    else:
        unnamed = (name for name in top.folders if not split_of_folder(name))
        other = next(
            (os.fsdecode(top.prefix + name) + "/" for name in unnamed if has_image(root, top.prefix + name)), ""
        )
    if other:
        return TopSplits(top.prefix, doubt=_mixed(root, f"{os.fsdecode(top.prefix + names[0])}/", other))
    if doubt := split_clash(root, names):
        return TopSplits(top.prefix, doubt=doubt)
    return TopSplits(top.prefix, len({split_of_folder(name) for name in names}) > 1)


def splits_of_files(root: Path, paths: Sequence[str], by_name: bool = True) -> tuple[tuple[str, ...], str]:
    """(the split of each file, in the order of their paths relative to root; a doubt as `Source.doubt`).

    The uppermost folder with the name of a split says it, else the file's own name (by_name). No splits are given where
    the names of some files say none, or those of all the same.
    """
    splits, folders = [], []
    for path in paths:
        *above, name = path.split("/")
        folder = next((part for part in above if split_of_folder(os.fsencode(part))), "")
        split = split_of_folder(os.fsencode(folder))
        of_name = split_of_file(name.rpartition(".")[0]) if by_name else ""
        if split and of_name and split != of_name:
            return (), f"{root / path}: its folder says {split}, its name says {of_name}; {_ADVICE}"
        splits.append(split or of_name)
        folders.append(os.fsencode(folder))
    if "" in splits and any(splits):
        named = next(path for path, split in zip(paths, splits, strict=True) if split)
        return (), _mixed(root, named, paths[splits.index("")])
    doubt = split_clash(root, filter(None, folders))
    return (tuple(splits) if len({*splits}) > 1 and not doubt else ()), doubt


def _splits_below(root: Path, start: bytes, prefix: bytes, folders: list[bytes]) -> str:
    """A doubt where folders that are no splits hold folders that are."""
    for name in folders[:_LOOK_FOLDERS]:
        below = [each for each in list_folder(start, prefix + name).folders if split_of_folder(each)]
        below = [each for each in below if has_image(root, prefix + name + b"/" + each)]
        if len({split_of_folder(each) for each in below}) > 1:
            shown = ", ".join(os.fsdecode(prefix + name + b"/" + each) + "/" for each in below)
            return f"{root} holds splits below other folders ({shown}); put them at the top, or {_ADVICE}"
    return ""


def _mixed(root: Path, named: str, other: str) -> str:
    return f"{root} holds {named}, which is named like a split, and {other}, which is not; {_ADVICE}"


def split_clash(root: Path, folders: Iterable[bytes]) -> str:
    """A doubt, a sentence, where folders of two names stand for one split, as test/ and eval/ do; else ""."""
    names: dict[str, dict[bytes, None]] = {}
    for folder in folders:
        names.setdefault(split_of_folder(folder), {})[folder.lower()] = None
    for split, several in names.items():
        if len(several) > 1:
            shown = " and ".join(os.fsdecode(name) + "/" for name in several)
            return f"{root} holds {shown}, which both are names of the split {split}; {_ADVICE}"
    return ""
