"""The catalogue: every entry of the sources on disk, in the order in which the sources give them.

No Python object stays for an entry, and nothing here grows in memory but one 64-bit number each (for the search for
repeated paths). Three files in the build folder, and catalogue.json, written last, which says that they are whole:

    entries.bin   ENTRY records
    order.bin     8 bytes each: a seeded hash of the path, which decides where a sample stands in the shard set
    texts.bin     the path and the label of each, end to end
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.errors import ConfigError, SourceError
from sharding.files import write_whole
from sharding.layouts.entry import Entry, Source
from sharding.progress import Progress, Report
from sharding.reasons import REASONS
from sharding.split import SPLITS, UNDECIDED, SplitLists, hash_paths

MAX_SOURCES = MAX_SUBSETS = 255
ENTRY = np.dtype(
    [
        ("text_at", "<u8"),  # of the path in texts.bin; the label follows it
        ("image_at", "<u8"),  # of the image's bytes in its file; 0 where the file is the image
        ("image_size", "<u4"),
        ("label_size", "<u4"),
        ("path_size", "<u4"),
        ("source", "u1"),
        ("subset", "u1"),  # place in Catalogue.subsets
        ("split", "u1"),  # place in SPLITS; UNDECIDED: the split rule decides
        ("problem", "u1"),  # place in PROBLEMS
    ]
)
PROBLEMS = ("", *REASONS)
_NO_LABEL = 0xFFFFFFFF
_make = tuple.__new__  # a NamedTuple without the check of its arguments: half the time, at 35 M entries
_BATCH = 1 << 16
_SCAN = 1 << 20  # records that are looked at together
_NAME = "catalogue.json"
_SPLIT_NUMBER = {"": UNDECIDED} | {split: number for number, split in enumerate(SPLITS)}
_PROBLEM_NUMBER = {problem: number for number, problem in enumerate(PROBLEMS)}


class Listed(NamedTuple):
    """One entry as it is read back. number: its place in the catalogue. label: None where there is none."""

    number: int
    source: int
    path: bytes
    label: bytes | None
    subset: int
    split: int
    problem: str
    image_at: int
    image_size: int


@dataclass(frozen=True)
class Catalogue:
    """What was listed. subsets: names, "" first, then sorted. classes: sorted names; empty for words. given_splits: has
    a source given the split of an entry, and was it taken? source_names: what stands before their paths in lists."""

    folder: Path
    entries: int
    subsets: tuple[str, ...]
    classes: tuple[str, ...]
    given_splits: bool
    source_names: tuple[str, ...] = ("",)

    def shown(self, entry: Listed) -> bytes:
        """What lists for people call an entry: its path, after the name of its source where there are several."""
        return os.fsencode(self.source_names[entry.source]) + entry.path

    def read(self, first: int, last: int) -> list[Listed]:
        """The entries from first up to last."""
        rows = self._rows(first, last)
        return list(_listed(first, rows, lambda start, size: _read_part(self.folder / "texts.bin", start, size)))

    def order(self, first: int, last: int) -> np.ndarray:
        """The hash that decides the place in the set, of the entries from first up to last. uint64."""
        return _read_order(self.folder, first, last)

    def pick(self, numbers: Iterable[int]) -> Iterator[Listed]:
        """Entries by their numbers, in any order."""
        with (self.folder / "entries.bin").open("rb") as entries, (self.folder / "texts.bin").open("rb") as texts:
            for number in numbers:
                row = np.frombuffer(os.pread(entries.fileno(), ENTRY.itemsize, number * ENTRY.itemsize), ENTRY)
                yield from _listed(number, row, lambda start, size: os.pread(texts.fileno(), size, start))

    def first_in_order(self, count: int) -> Iterator[Listed]:
        """The `count` entries that come first in the order of the set, or about so many of a large catalogue: a sample
        that is the same for every order of the source."""
        most = (1 << 64) - 1 if count >= self.entries else int(count / self.entries * (1 << 64))
        for start in range(0, self.entries, _SCAN):
            order = self.order(start, min(start + _SCAN, self.entries))
            yield from self.pick((np.flatnonzero(order <= np.uint64(most)) + start).tolist())

    def _rows(self, first: int, last: int) -> np.ndarray:
        content = _read_part(self.folder / "entries.bin", first * ENTRY.itemsize, (last - first) * ENTRY.itemsize)
        return np.frombuffer(content, ENTRY)


def _listed(first: int, rows: np.ndarray, read_texts: Callable[[int, int], bytes]) -> Iterator[Listed]:
    """Neighbouring ENTRY records as tuples; the first one's number is `first`."""
    if not len(rows):
        return
    start = int(rows["text_at"][0])
    last_label = 0 if rows["label_size"][-1] == _NO_LABEL else int(rows["label_size"][-1])
    texts = read_texts(start, int(rows["text_at"][-1]) + int(rows["path_size"][-1]) + last_label - start)
    for number, row in enumerate(rows.tolist(), first):
        text_at, image_at, image_size, label_size, path_size, source, subset, split, problem = row
        at = text_at - start
        end = at + path_size
        label = None if label_size == _NO_LABEL else texts[end : end + label_size]
        values = (number, source, texts[at:end], label, subset, split, PROBLEMS[problem], image_at, image_size)
        yield _make(Listed, values)


def open_catalogue(folder: Path) -> Catalogue | None:
    """The catalogue as an earlier run left it; None where there is none that is whole."""
    try:
        values = json.loads((folder / _NAME).read_bytes())
        subsets, classes = tuple(values["subsets"]), tuple(values["classes"])
        names = tuple(values["source_names"])
        catalogue = Catalogue(folder, values["entries"], subsets, classes, values["given_splits"], names)
        sizes = {name: (folder / f"{name}.bin").stat().st_size for name in ("entries", "order", "texts")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = {"entries": ENTRY.itemsize * catalogue.entries, "order": 8 * catalogue.entries, "texts": values["texts"]}
    return catalogue if sizes == whole else None


def write_catalogue(
    folder: Path,
    sources: list[Source],
    seed: int,
    report: Report,
    lists: SplitLists | None = None,
    keep_splits: bool = True,
) -> Catalogue:
    """List every entry of the sources. SourceError where there is none, or more subsets than fit.

    seed: of the order. lists: they decide the split. keep_splits: else the split that a source gives is not taken.
    """
    if len(sources) > MAX_SOURCES:
        raise ConfigError(f"{len(sources)} sources; at most {MAX_SOURCES} fit")
    (folder / _NAME).unlink(missing_ok=True)
    writer = _Writer(folder, seed, lists, keep_splits)
    with writer:
        for number, source in enumerate(sources):
            entries = source.entries()
            while batch := list(islice(entries, _BATCH)):
                writer.add(number, batch, keeps_classes=source.kind == "classes")
                report(Progress("listing", writer.entries, 0))
    if not writer.entries:
        names = ", ".join(str(source.root) for source in sources)
        raise SourceError(f"{names}: the label files name no image; write a line `path<TAB>label` for each image")
    subsets = tuple(sorted(writer.subsets))  # "" sorts first
    _renumber_subsets(folder, np.array([subsets.index(name) for name in writer.subsets], np.uint8), writer.entries)
    classes, names = tuple(sorted(writer.classes)), _names_of(sources)
    catalogue = Catalogue(folder, writer.entries, subsets, classes, writer.given_splits, names)
    _mark_repeats(catalogue)
    values = {
        "entries": writer.entries, "texts": writer.text_bytes, "subsets": subsets, "classes": catalogue.classes,
        "given_splits": catalogue.given_splits, "source_names": names,
    }  # fmt: skip
    write_whole(folder / _NAME, json.dumps(values).encode() + b"\n")
    return catalogue


def _names_of(sources: list[Source]) -> tuple[str, ...]:
    names = [source.root.name for source in sources]
    if len(names) == 1:
        return ("",)
    if len({*names}) < len(names):
        names = [f"{number}-{name}" for number, name in enumerate(names, start=1)]
    return tuple(f"{name}/" for name in names)


class _Writer:
    """Appends batches of entries to the three files."""

    def __init__(self, folder: Path, seed: int, lists: SplitLists | None, keep_splits: bool) -> None:
        self._files = [(folder / f"{name}.bin").open("wb") for name in ("entries", "order", "texts")]
        self._seed, self._lists, self._keep_splits = seed, lists, keep_splits
        self.entries = self.text_bytes = 0
        self.subsets: dict[str, int] = {"": 0}
        self.classes: set[str] = set()
        self.given_splits = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind, *_: object) -> None:
        with ExitStack() as stack:  # all are closed, where one of them finds the disk full too
            for file in self._files:
                stack.enter_context(file)
            for file in self._files if kind is None else ():
                file.flush()
                os.fsync(file.fileno())

    def add(self, source: int, batch: list[Entry], keeps_classes: bool) -> None:
        paths, labels, subsets, splits, problems, ats, sizes = zip(*batch, strict=True)
        if keeps_classes:
            # one that is no UTF-8 becomes a reject when it is read
            self.classes.update(label.decode() for label in {*labels} - {None} if _is_utf8(label))
        for name in {*subsets} - self.subsets.keys():
            if len(self.subsets) >= MAX_SUBSETS:
                raise SourceError(
                    f"the third column of the label files holds more than {MAX_SUBSETS} different subsets; remove the "
                    "column, or write a few names there"
                )
            self.subsets[name] = len(self.subsets)
        rows = np.zeros(len(batch), ENTRY)
        rows["path_size"] = np.fromiter(map(len, paths), np.uint32, len(batch))
        if None in labels:
            rows["label_size"] = [_NO_LABEL if label is None else len(label) for label in labels]
            labels = [label or b"" for label in labels]
        else:
            rows["label_size"] = np.fromiter(map(len, labels), np.uint32, len(batch))
        label_sizes = np.where(rows["label_size"] == _NO_LABEL, 0, rows["label_size"]).astype(np.int64)
        text_sizes = rows["path_size"] + label_sizes
        rows["text_at"] = self.text_bytes + np.cumsum(text_sizes) - text_sizes
        rows["source"] = source
        if any(sizes):  # tars
            rows["image_at"], rows["image_size"] = ats, sizes
        rows["subset"] = _numbers(subsets, self.subsets)
        rows["split"] = _numbers(splits, _SPLIT_NUMBER) if self._keep_splits else UNDECIDED
        rows["problem"] = _numbers(problems, _PROBLEM_NUMBER)
        if self._lists:
            rows["split"] = self._lists.splits_of(list(paths))
            rows["problem"][(rows["split"] == UNDECIDED) & (rows["problem"] == 0)] = _PROBLEM_NUMBER["in no list"]
        elif not self.given_splits:
            self.given_splits = bool((rows["split"] != UNDECIDED).any())
        # The first source has no number in the hash: adding a second one leaves its order as it was.
        purpose = f"order {self._seed}".encode() + (b" %d" % source if source else b"")
        texts = b"".join(chain.from_iterable(zip(paths, labels, strict=True)))
        for file, content in zip(self._files, (rows, hash_paths(purpose, paths, len(batch)), texts), strict=True):
            file.write(content)
        self.entries += len(batch)
        self.text_bytes += len(texts)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _numbers(names: tuple[str, ...], numbers: dict[str, int]) -> list[int] | int:
    """The number of each name; one for all where they are equal, as they mostly are."""
    return numbers[names[0]] if len({*names}) == 1 else [numbers[name] for name in names]


def _renumber_subsets(folder: Path, numbers: np.ndarray, entries: int) -> None:
    """Subsets were numbered as they came; sorted numbers are the same for every order of the source."""
    if (numbers == np.arange(len(numbers))).all():
        return
    with (folder / "entries.bin").open("r+b") as file:
        for start in range(0, entries, _SCAN):
            file.seek(start * ENTRY.itemsize)
            rows = np.frombuffer(file.read(_SCAN * ENTRY.itemsize), ENTRY).copy()
            rows["subset"] = numbers[rows["subset"]]
            file.seek(start * ENTRY.itemsize)
            file.write(rows)


def _mark_repeats(catalogue: Catalogue) -> None:
    """An image that is named twice in the same way stays once; named in two ways, no line of it can be trusted."""
    hashes = _read_order(catalogue.folder, 0, catalogue.entries)
    hashes.sort()
    repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    del hashes
    if not len(repeated):
        return
    named: dict[tuple[int, bytes], list[Listed]] = {}
    for start in range(0, catalogue.entries, _SCAN):
        order = catalogue.order(start, min(start + _SCAN, catalogue.entries))
        places = np.searchsorted(repeated, order).clip(max=len(repeated) - 1)
        for entry in catalogue.pick((np.flatnonzero(repeated[places] == order) + start).tolist()):
            named.setdefault((entry.source, entry.path), []).append(entry)
    with (catalogue.folder / "entries.bin").open("r+b") as file:
        for same in named.values():
            if len({entry[3:] for entry in same}) > 1:
                problem, marked = "two labels", same
            else:
                problem, marked = "listed twice", same[1:]
            for entry in marked:
                file.seek(entry.number * ENTRY.itemsize + ENTRY.fields["problem"][1])
                file.write(bytes([_PROBLEM_NUMBER[problem]]))


def _read_order(folder: Path, first: int, last: int) -> np.ndarray:
    return np.fromfile(folder / "order.bin", "<u8", last - first, offset=8 * first)


def _read_part(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)
