"""Raw layouts: a folder of images and their labels -> entries in a stable order.

Found by themselves, in this order (the first that fits is taken):
    labels   `labels.tsv` or `labels.csv`: path, label, and if wanted a subset
    splits   `train.tsv` (or .csv) with `val.tsv` and / or `test.tsv`: the same columns, and the splits are given
    beside   `word.gt.txt` or `word.txt` beside `word.png`, in any depth of folders
    classes  one folder per class; under folders named train, val and test the splits are given
Paths are relative to the label file (or to the source folder). Nothing is opened here but label files: check.py does
the rest.
"""

import csv
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sharding.errors import ConfigError, SourceError
from sharding.split import SPLITS

LAYOUTS = ("labels", "splits", "beside", "classes")
SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"))
MAX_SUBSETS = 255
_HEADER_WORDS = frozenset(("path", "file", "file_name", "filename", "image"))
_TEXT_SUFFIXES = (".gt.txt", ".txt")


class Entry(NamedTuple):
    """One image as the source names it. path: relative to `RawSet.root`, with slashes. label: as it was written, None
    where there is none. split: "" where the source gives none. problem: why this entry cannot be used at all, ""
    mostly."""

    path: str
    label: str | None
    subset: str = ""
    split: str = ""
    problem: str = ""


@dataclass(frozen=True)
class RawSet:
    """A source as it was found. kind: "words" (the label is a text) or "classes". entries: sorted by path."""

    root: Path
    layout: str
    kind: str
    entries: list[Entry]
    subsets: tuple[str, ...]


def read_source(src: Path, layout: str | None = None) -> RawSet:
    """All entries of a raw folder, sorted by path whatever order the file system lists them in.

    layout: one of `LAYOUTS`; None: found by itself. SourceError where nothing is there or nothing fits.
    """
    if layout not in (None, *LAYOUTS):
        raise ConfigError(f"unknown layout {layout!r}; there are: {', '.join(LAYOUTS)}")
    if not src.exists():
        raise SourceError(f"there is no folder {src}; name the folder of your images: horovod-ocr shard --src FOLDER")
    if not src.is_dir():
        raise SourceError(f"{src} is a file; name the folder that it lies in: horovod-ocr shard --src FOLDER")
    readers = {"labels": _read_labels, "splits": _read_splits, "beside": _read_beside, "classes": _read_classes}
    for name in [layout] if layout else LAYOUTS:
        entries = readers[name](src)
        if entries is not None:
            break
    else:
        raise SourceError(_nothing_fits(src, layout))
    if not entries:
        raise SourceError(f"{src} holds label files that name no image; write a line `path<TAB>label` for each image")
    entries.sort(key=lambda entry: (entry.path, entry.label or "", entry.subset, entry.split))
    entries = _refuse_repeats(entries)
    subsets = tuple(sorted({entry.subset for entry in entries} | {""}))
    if len(subsets) > MAX_SUBSETS:
        raise SourceError(
            f"{src}: the third column of the label file holds {len(subsets):,} different subsets, at most "
            f"{MAX_SUBSETS} are possible; remove the column, or write a few names there"
        )
    return RawSet(src, name, "classes" if name == "classes" else "words", entries, subsets)


def _nothing_fits(src: Path, layout: str | None) -> str:
    if next(_files_under(src), None) is None:
        return f"{src} is empty; put images and their labels there (labels.tsv: path<TAB>label), or name another --src"
    looked = {
        "labels": "labels.tsv or labels.csv",
        "splits": "train.tsv with val.tsv or test.tsv (or .csv)",
        "beside": "a .txt or .gt.txt beside an image",
        "classes": "at least two folders of images, one per class",
    }
    wanted = [layout] if layout else LAYOUTS
    suffixes = " ".join(sorted(suffix[1:] for suffix in SUFFIXES))
    places = "; ".join(looked[name] for name in wanted)
    return f"{src} holds no labels that can be read; looked for: {places} (images: {suffixes})"


def _read_labels(src: Path) -> list[Entry] | None:
    path = _first_file(src, "labels")
    if path is None and not _first_file(src, "val") and not _first_file(src, "test"):
        path = _first_file(src, "train")  # given splits need a second file
    return None if path is None else list(_read_label_file(path, split=""))


def _read_splits(src: Path) -> list[Entry] | None:
    files = {split: path for split in SPLITS if (path := _first_file(src, split))}
    if "train" not in files or len(files) < 2:
        return None
    return [entry for split, path in files.items() for entry in _read_label_file(path, split)]


def _first_file(src: Path, stem: str) -> Path | None:
    return next((path for suffix in (".tsv", ".csv") if (path := src / f"{stem}{suffix}").is_file()), None)


def _read_label_file(path: Path, split: str) -> Iterator[Entry]:
    # Bytes that are not UTF-8 become surrogates, which no profile allows: such a label is rejected alone, not the
    # whole file.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        if path.suffix == ".csv":
            rows: Iterator[list[str]] = csv.reader(file)
        else:
            rows = (line.rstrip("\r\n").split("\t") for line in file)
        try:
            for number, row in enumerate(rows):
                if not any(row) or (number == 0 and row[0].strip().lower() in _HEADER_WORDS):
                    continue
                label = row[1] if len(row) > 1 else None
                subset = row[2].strip() if len(row) > 2 else ""
                if name := row[0].strip():
                    yield Entry(posixpath.normpath(name), label, subset, split)
                else:
                    yield Entry(f"(line {number + 1} of {path.name})", label, subset, split, problem="no path")
        except csv.Error as error:
            raise SourceError(f"{path} is no CSV ({error}); write it as labels.tsv: path<TAB>label") from error


def _read_beside(src: Path) -> list[Entry] | None:
    files = set(_files_under(src))
    texts = {name for name in files if name.endswith(".txt")}
    images = [name for name in files if _suffix(name) in SUFFIXES]
    entries: list[Entry] = []
    used: set[str] = set()
    for name in images:
        stem = name[: -len(_suffix(name))]
        found = [stem + suffix for suffix in _TEXT_SUFFIXES if stem + suffix in texts]
        used.update(found)
        entries.append(Entry(name, _read_text(src / found[0]) if found else None))
    if not used:
        return None
    # A text whose image was lost is worth a line in rejects.tsv.
    entries.extend(Entry(text, None, problem="missing image") for text in texts - used)
    return entries


def _read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError:
        return None


def _read_classes(src: Path) -> list[Entry] | None:
    images = [name.split("/") for name in _files_under(src) if _suffix(name) in SUFFIXES]
    tops = {parts[0] for parts in images if len(parts) > 1}
    if not tops:
        return None
    given = tops <= set(SPLITS) and len(tops) > 1
    entries = []
    for parts in images:
        folders = parts[1:-1] if given else parts[:-1]
        label = folders[0] if folders else None  # an image that lies in no class folder has no label
        entries.append(Entry("/".join(parts), label, split=parts[0] if given and len(parts) > 1 else ""))
    # One folder of images is no set of classes: it is a source whose label file is missing.
    return entries if len({entry.label for entry in entries} - {None}) > 1 else None


def _files_under(src: Path) -> Iterator[str]:
    """Every file below src, as a path relative to it with slashes; hidden files and folders are left out."""

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename} cannot be listed ({error.strerror}); make it readable, or move it away")

    for folder, folders, names in os.walk(src, followlinks=True, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        prefix = os.path.relpath(folder, src).replace(os.sep, "/")
        for name in names:
            if not name.startswith("."):
                yield name if prefix == "." else f"{prefix}/{name}"


def _suffix(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


def _refuse_repeats(entries: list[Entry]) -> list[Entry]:
    """An image that is named twice in the same way stays once; named in two ways, no line of it can be trusted."""
    result: list[Entry] = []
    start = 0
    while start < len(entries):
        end = start + 1
        while end < len(entries) and entries[end].path == entries[start].path:
            end += 1
        same = entries[start:end]
        if len(same) == 1:
            result.append(same[0])
        elif len(set(same)) > 1:
            result.extend(entry._replace(problem="two labels") for entry in same)
        else:
            result.append(same[0])
            result.extend(entry._replace(problem="listed twice") for entry in same[1:])
        start = end
    return result
