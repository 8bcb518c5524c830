"""List the sources into a catalogue: batch after batch is appended to its files, then repeated paths are marked."""

import json
import os
import unicodedata
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharding.errors import ConfigError, SourceError
from sharding.format.splits import SPLITS
from sharding.layouts.entry import Entry, Source
from sharding.layouts.naming import other_spellings
from sharding.layouts.text_files import is_utf8
from sharding.progress import Progress, Report
from sharding.reading.catalogue import CATALOGUE_NAME, ENTRY, NO_LABEL, PROBLEMS, SCAN, Catalogue, Listed, read_order
from sharding.reading.class_names import check_class_names
from sharding.reading.hashes import hash_paths, is_among, repeated_values
from sharding.reading.split import UNDECIDED, SplitLists
from sharding.system.files import write_whole

MAX_SOURCES = MAX_SUBSETS = 255
_BATCH = 1 << 16  # entries that are held as Python objects
_SPLIT_NUMBER = {"": UNDECIDED} | {split: number for number, split in enumerate(SPLITS)}
_PROBLEM_NUMBER = {problem: number for number, problem in enumerate(PROBLEMS)}
_PROBLEM_OFFSET = ENTRY.itemsize - 1  # the last field of ENTRY


def write_catalogue(
    folder: Path,
    sources: list[Source],
    seed: int,
    report: Report,
    lists: SplitLists | None = None,
    keep_splits: bool = True,
) -> Catalogue:
    """List every entry of the sources. SourceError if there is none, if there are more subsets than fit, or if names of
    classes look the same.

    seed: of the order. lists: they decide the split. keep_splits: False: the split that a source gives is not taken.
    """
    if len(sources) > MAX_SOURCES:
        raise ConfigError(f"{len(sources)} sources; at most {MAX_SOURCES} fit")
    (folder / CATALOGUE_NAME).unlink(missing_ok=True)
    writer = _Writer(folder, seed, lists, keep_splits)
    with writer:
        for number, source in enumerate(sources):
            entries = source.entries()
            while batch := list(islice(entries, _BATCH)):
                writer.add(number, batch, keeps_classes=source.kind == "classes")
                report(Progress("listing", writer.entries, 0))
        _add_unnamed(writer, sources, report)
    if not writer.entries:
        roots = ", ".join(str(source.root) for source in sources)
        raise SourceError(f"{roots}: the label files name no image; write a line `path<TAB>label` for each image")
    notes = [note for source in sources for note in source.notes()]
    notes += lists.check_all_named() if lists else []
    notes += check_class_names(writer.classes)
    subsets = tuple(sorted(writer.subsets))  # "" sorts first
    _renumber_subsets(folder, np.array([subsets.index(name) for name in writer.subsets], np.uint8), writer.entries)
    classes, names = tuple(sorted(writer.classes)), _names_of(sources)
    catalogue = Catalogue(folder, writer.entries, subsets, classes, writer.given_splits, names, tuple(notes))
    _mark_repeats(catalogue)
    values = {
        "entries": writer.entries,
        "texts": writer.text_bytes,
        "subsets": subsets,
        "classes": catalogue.classes,
        "given_splits": catalogue.given_splits,
        "source_names": names,
        "notes": notes,
    }
    write_whole(folder / CATALOGUE_NAME, json.dumps(values).encode() + b"\n")
    return catalogue


def _names_of(sources: list[Source]) -> tuple[str, ...]:
    """What lists for people put before the paths of each source; "" for a single source."""
    names = [source.root.name for source in sources]
    if len(names) == 1:
        return ("",)
    if len({*names}) < len(names):
        names = [f"{number}-{name}" for number, name in enumerate(names, start=1)]
    return tuple(f"{name}/" for name in names)


class _Writer:
    """Appends batches of entries to the three files of a catalogue."""

    def __init__(self, folder: Path, seed: int, lists: SplitLists | None, keep_splits: bool) -> None:
        self.folder = folder
        self._files = [(folder / f"{name}.bin").open("wb") for name in ("entries", "order", "texts")]
        self._seed, self._lists, self._keep_splits = seed, lists, keep_splits
        self.entries = self.text_bytes = 0
        self.subsets: dict[str, int] = {"": 0}
        self.classes: set[str] = set()
        self.given_splits = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with ExitStack() as stack:  # closes all of them, even if one finds the disk full
            for file in self._files:
                stack.enter_context(file)
            for file in self._files if kind is None else ():
                file.flush()
                os.fsync(file.fileno())

    def add(self, source: int, batch: list[Entry], keeps_classes: bool) -> None:
        paths, labels, subsets, splits, problems, ats, sizes = zip(*batch, strict=True)
        if keeps_classes:
            # a name that is not UTF-8 becomes a reject when it is read
            names = {*labels} if not any(problems) else {entry.label for entry in batch if not entry.problem}
            self.classes.update(name.decode() for name in names if name is not None and is_utf8(name))
        for subset in {*subsets} - self.subsets.keys():
            if len(self.subsets) >= MAX_SUBSETS:
                raise SourceError(
                    f"the third column of the label files holds more than {MAX_SUBSETS} different subsets; remove the "
                    "column, or write a few names there"
                )
            self.subsets[subset] = len(self.subsets)
        rows = np.zeros(len(batch), ENTRY)
        rows["path_size"] = np.fromiter(map(len, paths), np.uint32, len(batch))
        if None in labels:
            rows["label_size"] = [NO_LABEL if label is None else len(label) for label in labels]
        else:
            rows["label_size"] = np.fromiter(map(len, labels), np.uint32, len(batch))
        label_sizes = np.where(rows["label_size"] == NO_LABEL, 0, rows["label_size"]).astype(np.int64)
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
        texts = b"".join(chain.from_iterable(zip(paths, (label or b"" for label in labels), strict=True)))
        order = self.hashes(source, paths)
        for file, content in zip(self._files, (rows.tobytes(), order.tobytes(), texts), strict=True):
            file.write(content)
        self.entries += len(batch)
        self.text_bytes += len(texts)

    def hashes(self, source: int, paths: Sequence[bytes]) -> NDArray[np.uint64]:
        """The order of entries, uint64. The hash of the first source has no number in it, so that adding a second
        source leaves the order of the first as it was."""
        purpose = f"order {self._seed}".encode() + (b" %d" % source if source else b"")
        return hash_paths(purpose, paths, len(paths))

    def sorted_hashes(self) -> NDArray[np.uint64]:
        """The order of all entries so far, sorted."""
        for file in self._files:
            file.flush()
        hashes = read_order(self.folder, 0, self.entries)
        hashes.sort()
        return hashes


def _add_unnamed(writer: "_Writer", sources: list[Source], report: Report) -> None:
    """Make an entry of each picture that is in a source and that none of its label files names."""
    hashes: NDArray[np.uint64] | None = None
    for number, source in enumerate(sources):
        for paths in source.pictures():
            if hashes is None:
                hashes = writer.sorted_hashes()
            if not paths or not len(hashes):
                continue
            unnamed = ~is_among(writer.hashes(number, paths), hashes)
            left = [path for path, is_unnamed in zip(paths, unnamed.tolist(), strict=True) if is_unnamed]
            left = [path for path in left if not _is_named_otherwise(writer, source, number, path, hashes)]
            if left:
                writer.add(number, [Entry(path, None, problem="in no label file") for path in left], False)
                report(Progress("listing", writer.entries, 0))


def _is_named_otherwise(
    writer: "_Writer", source: Source, number: int, path: bytes, hashes: NDArray[np.uint64]
) -> bool:
    """Does an entry name this picture by another spelling of Unicode, under which there is no picture?"""
    root = os.fsencode(source.root)
    others = [other for other in other_spellings(path) if not os.path.lexists(os.path.join(root, other))]
    return bool(others) and bool(is_among(writer.hashes(number, others), hashes).any())


def _numbers(names: tuple[str, ...], numbers: dict[str, int]) -> list[int] | int:
    """The number of each name; a single number if all names are equal, as they mostly are."""
    return numbers[names[0]] if len({*names}) == 1 else [numbers[name] for name in names]


def _renumber_subsets(folder: Path, numbers: NDArray[np.uint8], entries: int) -> None:
    """Number the subsets in sorted order, which is the same for every order of the source; so far they are numbered as
    they came."""
    if (numbers == np.arange(len(numbers))).all():
        return
    with (folder / "entries.bin").open("r+b") as file:
        for start in range(0, entries, SCAN):
            file.seek(start * ENTRY.itemsize)
            rows = np.frombuffer(file.read(SCAN * ENTRY.itemsize), ENTRY).copy()
            rows["subset"] = numbers[rows["subset"]]
            file.seek(start * ENTRY.itemsize)
            file.write(rows.tobytes())


def _same_text(label: bytes | None) -> str | None:
    """One spelling for labels that are the same under every profile."""
    return None if label is None else unicodedata.normalize("NFC", label.decode("utf-8", "surrogateescape").strip())


def _mark_repeats(catalogue: Catalogue) -> None:
    """An image that is named twice in the same way stays once; if it is named in two ways, none of its lines can be
    trusted."""
    hashes = read_order(catalogue.folder, 0, catalogue.entries)
    repeated = repeated_values(hashes)
    del hashes
    if not len(repeated):
        return
    named: dict[tuple[int, bytes], list[Listed]] = {}
    for start in range(0, catalogue.entries, SCAN):
        order = catalogue.order(start, min(start + SCAN, catalogue.entries))
        positions = np.searchsorted(repeated, order).clip(max=len(repeated) - 1)
        for entry in catalogue.pick((np.flatnonzero(repeated[positions] == order) + start).tolist()):
            named.setdefault((entry.source, entry.path), []).append(entry)
    with (catalogue.folder / "entries.bin").open("r+b") as file:
        for same in named.values():
            if len({(_same_text(entry.label), *entry[4:]) for entry in same}) > 1:
                problem, marked = "two labels", same
            else:
                problem, marked = "listed twice", same[1:]
            for entry in marked:
                file.seek(entry.number * ENTRY.itemsize + _PROBLEM_OFFSET)
                file.write(bytes([_PROBLEM_NUMBER[problem]]))
