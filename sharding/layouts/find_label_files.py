"""Which files of a source are its label files: by their names first, then by their content.

They are at the top of the source, or else in each of the folders below it. Two files that may both be meant are
refused.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.dialect import BOXES, CUT_LINE, QUOTED_LINE, SPACED_LINE, find_dialect
from sharding.layouts.files import LOOK_FILES
from sharding.layouts.folders import is_image, list_folder, scan_folders
from sharding.layouts.label_files import EasyOcrSource, LabelFile, LabelFilesSource, LabelsSource
from sharding.layouts.naming import SPLIT_OF_NAME, may_be_list
from sharding.layouts.text_files import open_label_file

LISTED_LAYOUTS = ("easyocr", "labels", "splits", "paddleocr")
LABEL_STEMS = ("labels", "label", "gt", "annotations", "annotation", "transcriptions", "transcription", "ground_truth")
_SUFFIXES = (b".tsv", b".csv", b".txt")
# what goes with the name of a split: train_list.txt, rec_gt_test.txt, gt_val.tsv
_BEHIND = ("", "_list", "_gt", "_labels", "_label", "_annotations")
_BEFORE = ("rec_gt_", "gt_", "rec_", "labels_", "label_")
_SPLIT_OF_STEM = {
    stem: split
    for name, split in SPLIT_OF_NAME.items()
    for stem in (*(f"{name}{end}" for end in _BEHIND), *(f"{begin}{name}" for begin in _BEFORE))
}
_EASYOCR_HEADER = b"filename,words"
_LOOK_LINES = 200
_MOST_FILES = 100  # whose content is looked at
_Groups = dict[str, list[LabelFile]]  # layout -> its files


def find_listed(layout: str | None, root: Path, named: bool, images: Path | None = None) -> LabelFilesSource | None:
    """The source of this layout (None: of whichever of LISTED_LAYOUTS is there). named: a person named the layout.
    SourceError if several files may be meant."""
    groups = _groups_in(root, b"", _files_of(root))
    wanted = {name: files for name, files in groups.items() if layout in (None, name)}
    if layout == "labels" and not wanted and "easyocr" in groups:
        wanted = {"labels": groups["easyocr"]}
    wanted = _settled(root, wanted or _groups_below(root, layout))
    if len(wanted) > 1:
        names = {layout: " and ".join(file.name for file in files) for layout, files in wanted.items()}
        shown = "; ".join(f"{files}: --layout {layout}" for layout, files in names.items())
        raise SourceError(f"{root} holds labels in several layouts; say which is meant ({shown})")
    for name, files in wanted.items():
        return _source_of(root, name, files, named, images)
    return None


def find_by_content(root: Path, images: Path | None = None) -> LabelsSource | None:
    """The only file at the top whose lines are paths of pictures and texts, whatever its name."""
    with os.scandir(os.fsencode(root)) as items:
        names = sorted(islice((item.name for item in items if _suffix(item.name) in _SUFFIXES), _MOST_FILES + 1))
    if len(names) > _MOST_FILES:  # texts beside pictures
        return None
    found = [name for name in names if _names_pictures(root, name)]
    if len(found) > 1:
        raise SourceError(
            f"{root}: {', '.join(os.fsdecode(name) for name in found[:5])} name pictures and texts; call the one that "
            "is meant labels.tsv (or .csv, .txt), or those of splits train, val and test, and move the others away"
        )
    return LabelsSource(root, "labels", (LabelFile(os.fsdecode(found[0])),), images) if found else None


def lists_of_splits(root: Path) -> list[str]:
    """Files that are named like a split and hold lines without texts, at the top of a source and in folders there whose
    names suggest lists."""
    found = []
    top = list_folder(os.fsencode(root))
    folders = [name for name in top.folders if b"split" in name.lower() or b"list" in name.lower()]
    for folder in (top, *(list_folder(os.fsencode(root), name) for name in folders)):
        names = {_stem(name) for name in folder.images()}
        for name in folder.files:
            path = os.fsdecode(folder.prefix + name)
            if may_be_list(path) and _stem(name) not in names:
                if _kind_of(root / path) in ("list", ""):
                    found.append(path)
    return found


def _source_of(root: Path, layout: str, files: list[LabelFile], named: bool, images: Path | None) -> LabelFilesSource:
    if layout == "easyocr":
        return EasyOcrSource(root, layout, tuple(files), images, named)
    return LabelsSource(root, layout, tuple(files), images)


def _files_of(root: Path) -> set[bytes]:
    """The files at the top whose stems are those of label files."""
    with os.scandir(os.fsencode(root)) as found:
        return {item.name for item in found if _stem(item.name) in _KNOWN_STEMS}


def _stem(name: bytes) -> str:
    return name.rpartition(b".")[0].decode("utf-8", "replace").lower()


def _suffix(name: bytes) -> bytes:
    return name[name.rfind(b".") :].lower() if b"." in name[1:] else b""


_KNOWN_STEMS = frozenset((*LABEL_STEMS, "rec_gt", *_SPLIT_OF_STEM))


def _groups_in(root: Path, prefix: bytes, names: Iterable[bytes]) -> _Groups:
    """The label files among the names of one folder (prefix: its path, with a slash), by layout. Their splits are as
    their names say."""
    known = [name for name in sorted(names) if _stem(name) in _KNOWN_STEMS]
    pictures = {_stem(name) for name in known if is_image(name)}
    groups: _Groups = {}
    boxes = []
    for name in known:
        stem = _stem(name)
        if _suffix(name) not in _SUFFIXES:
            continue
        path = root / os.fsdecode(prefix + name)
        kind = _kind_of(path, stem in pictures) if _suffix(name) == b".txt" else "labels"
        file = LabelFile(os.fsdecode(prefix + name), _SPLIT_OF_STEM.get(stem, ""), prefix)
        if kind == "boxes":
            boxes.append(file)
        if kind != "labels":
            continue
        if stem in LABEL_STEMS:
            layout = "easyocr" if _is_easyocr(path) else "labels"
        else:
            layout = "paddleocr" if _suffix(name) == b".txt" else "splits"
        groups.setdefault(layout, []).append(file)
    for files in groups.values():
        splits = [file.split for file in files]
        if len({*splits}) < len(splits) or ("" in splits and len(splits) > 1):
            same = [file.name for file in files if splits.count(file.split) > 1] or [file.name for file in files]
            raise SourceError(f"{' and '.join(same)} may both be the labels; move the one away that is not meant")
    # PPOCRLabel's Label.txt is ignored beside rec_gt.txt, which was made from it; alone it is refused when it is read
    return groups or ({"labels": boxes[:1]} if boxes else {})


def _settled(root: Path, groups: _Groups) -> _Groups:
    """Files of splits belong to one source if there are several splits; a single one is not a split. SourceError if
    train is missing, or if there are other label files beside them."""
    settled: _Groups = {}
    for layout, files in groups.items():
        splits = {file.split for file in files}
        if splits <= {"train"} or splits == {""} or (len(splits) == 1 and len(groups) == 1):
            layout = "labels" if layout == "splits" else layout
            files = [file._replace(split="") for file in files]
        elif "" in splits or "train" not in splits:
            names = ", ".join(file.name for file in files)
            raise SourceError(
                f"{root} holds {names}: there is no train.tsv for the others; call it so, or, if there are no splits, "
                "call one file labels.tsv"
            )
        order = ("", "train", "val", "test")
        settled.setdefault(layout, []).extend(sorted(files, key=lambda file: order.index(file.split)))
    return settled


def _groups_below(root: Path, layout: str | None) -> _Groups:
    """The label files of the folders below the top, each for its own folder. What the folders say about splits:
    given_splits.py."""
    found: _Groups = {}
    looked = 0
    for folder in scan_folders(os.fsencode(root)):
        if folder.path:
            for name, files in _groups_in(root, folder.prefix, folder.files).items():
                if layout in (None, name):
                    found.setdefault(name, []).extend(files)
        looked += len(folder.files)
        if not found and looked > LOOK_FILES and layout is None:
            return {}
    return found


def _is_easyocr(path: Path) -> bool:
    if path.suffix.lower() != ".csv":
        return False
    with open_label_file(path) as file:
        return file.readline(100).strip().lower() == _EASYOCR_HEADER


def _kind_of(path: Path, is_beside: bool = False) -> str:
    """What the lines of a .txt are: "labels" (a path and a text), "boxes" (of a whole page), "list" (a path alone), or
    "" (something else). is_beside: a picture has its name, whose text a single line may be."""
    try:
        with open_label_file(path) as file:
            lines = [line.rstrip(b"\r\n") for line in islice(file, _LOOK_LINES) if line.strip()]
    except SourceError:
        return "labels"  # it cannot be read, and the build reports that
    pairs = sum(b"\t" in line or _has_text(line) for line in lines)
    if is_beside and len(lines) < 2 and not any(map(_has_text, lines)):
        return ""
    if lines and 2 * pairs >= len(lines):
        return "boxes" if any(map(BOXES.search, lines)) else "labels"
    return "list" if lines and 2 * sum(is_image(line.strip()) for line in lines) >= len(lines) else ""


def _has_text(line: bytes) -> bool:
    """Does a text follow the path of a picture?"""
    return bool(SPACED_LINE.fullmatch(line) or QUOTED_LINE.fullmatch(line) or CUT_LINE.match(line))


def _names_pictures(root: Path, name: bytes) -> bool:
    """Are most lines of this file the path of an existing picture, and a text?"""
    path = root / os.fsdecode(name)
    try:
        dialect = find_dialect(path)
    except SourceError:
        return False
    some = [each for each in dialect.paths if is_image(each)]
    return bool(some) and 2 * len(some) >= len(dialect.paths)


LISTED_FINDERS: dict[str, Callable[..., LabelFilesSource | None]] = {
    layout: partial(find_listed, layout) for layout in LISTED_LAYOUTS
}


def shown_texts(root: Path) -> Iterator[str]:
    """The names of files that may have been meant as labels, for the sentence that finds none."""
    for folder in scan_folders(os.fsencode(root)):
        for name in folder.files:
            if _suffix(name) in (*_SUFFIXES, b".json", b".jsonl", b".xml", b".parquet", b".tar", b".mdb"):
                yield os.fsdecode(folder.prefix + name)
