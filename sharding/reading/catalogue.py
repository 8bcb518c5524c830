"""The catalogue: every entry of the sources on disk, in the order in which the sources give them. listing.py writes it.

No Python object is kept for an entry, and nothing here grows in memory but one 64-bit number for each (to search for
repeated paths). Three files in the build folder, and catalogue.json, written last, which says that they are whole:

    entries.bin   ENTRY records
    order.bin     8 bytes each: a seeded hash of the path, which decides the position of a sample in the shard set
    texts.bin     the path and the label of each, end to end
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharding.layouts.entry import make_unchecked
from sharding.reading.split import UNDECIDED
from sharding.reasons import REASONS

ENTRY = np.dtype(
    [
        ("text_at", "<u8"),  # of the path in texts.bin; the label follows it
        ("image_at", "<u8"),  # of the image's bytes in its file; 0 if the file is the image
        ("image_size", "<u4"),
        ("label_size", "<u4"),
        ("path_size", "<u4"),
        ("source", "u1"),
        ("subset", "u1"),  # position in Catalogue.subsets
        ("split", "u1"),  # position in SPLITS; UNDECIDED: the split rule decides
        ("problem", "u1"),  # position in PROBLEMS
    ]
)
PROBLEMS = ("", *REASONS)
NO_LABEL = 0xFFFFFFFF
SCAN = 1 << 20  # records that are read together
CATALOGUE_NAME = "catalogue.json"


class Listed(NamedTuple):
    """One entry as it is read back."""

    number: int
    """Its position in the catalogue."""
    source: int
    """Number of its source."""
    path: bytes
    """As in `Entry`."""
    label: bytes | None
    """None if there is none."""
    subset: int
    """Position in Catalogue.subsets."""
    split: int
    """Position in SPLITS; UNDECIDED: the split rule decides."""
    problem: str
    """As in `Entry`."""
    image_at: int
    """Of the image's bytes in its file; 0 if the file is the image."""
    image_size: int
    """Of the image's bytes; 0 if the file is the image."""


@dataclass(frozen=True)
class Catalogue:
    """What was listed."""

    folder: Path
    """Holds entries.bin, order.bin, texts.bin and catalogue.json."""
    entries: int
    """How many there are."""
    subsets: tuple[str, ...]
    """Names, "" first, then sorted."""
    classes: tuple[str, ...]
    """Sorted names; empty for words."""
    given_splits: bool
    """Has a source given the split of an entry, and was it taken?"""
    source_names: tuple[str, ...] = ("",)
    """What lists for people put before the paths of each source."""
    notes: tuple[str, ...] = ()
    """What a person should know of how the sources were read."""

    def shown(self, entry: Listed) -> bytes:
        """How lists for people name an entry: by its path, after the name of its source if there are several."""
        return os.fsencode(self.source_names[entry.source]) + entry.path

    def read(self, first: int, last: int) -> list[Listed]:
        """The entries from first up to last."""
        rows = self._rows(first, last)
        return list(_listed(first, rows, lambda start, size: _read_part(self.folder / "texts.bin", start, size)))

    def order(self, first: int, last: int) -> NDArray[np.uint64]:
        """The hash that decides the position in the set, of the entries from first up to last. uint64."""
        return read_order(self.folder, first, last)

    def pick(self, numbers: Iterable[int]) -> Iterator[Listed]:
        """Entries by their numbers, in any order."""
        with (self.folder / "entries.bin").open("rb") as entries, (self.folder / "texts.bin").open("rb") as texts:
            for number in numbers:
                row = np.frombuffer(os.pread(entries.fileno(), ENTRY.itemsize, number * ENTRY.itemsize), ENTRY)
                yield from _listed(number, row, lambda start, size: os.pread(texts.fileno(), size, start))

    def first_in_order(self, count: int) -> Iterator[Listed]:
        """The `count` entries that come first in the order of the set, or about that many of a large catalogue: a
        sample that is the same for every order of the source."""
        most = (1 << 64) - 1 if count >= self.entries else int(count / self.entries * (1 << 64))
        for start in range(0, self.entries, SCAN):
            order = self.order(start, min(start + SCAN, self.entries))
            yield from self.pick((np.flatnonzero(order <= np.uint64(most)) + start).tolist())

    def count_subsets(self) -> dict[str, int]:
        """Entries of each subset, "" for those in none; empty if there are no subsets."""
        if len(self.subsets) < 2:
            return {}
        counts = np.zeros(len(self.subsets), np.int64)
        for start in range(0, self.entries, SCAN):
            rows = self._rows(start, min(start + SCAN, self.entries))
            counts += np.bincount(rows["subset"], minlength=len(counts))
        return {name: count for name, count in zip(self.subsets, counts.tolist(), strict=True) if count}

    def count_given_splits(self) -> tuple[int, int]:
        """How many usable entries were given a split, and how many usable entries there are."""
        given = usable = 0
        for start in range(0, self.entries, SCAN):
            rows = self._rows(start, min(start + SCAN, self.entries))
            is_usable = rows["problem"] == 0
            usable += int(is_usable.sum())
            given += int((is_usable & (rows["split"] != UNDECIDED)).sum())
        return given, usable

    def _rows(self, first: int, last: int) -> NDArray[np.void]:
        content = _read_part(self.folder / "entries.bin", first * ENTRY.itemsize, (last - first) * ENTRY.itemsize)
        return np.frombuffer(content, ENTRY)


def _listed(first: int, rows: NDArray[np.void], read_texts: Callable[[int, int], bytes]) -> Iterator[Listed]:
    """Neighbouring ENTRY records as tuples; the first has the number `first`."""
    if not len(rows):
        return
    start = int(rows["text_at"][0])
    last_label = 0 if rows["label_size"][-1] == NO_LABEL else int(rows["label_size"][-1])
    texts = read_texts(start, int(rows["text_at"][-1]) + int(rows["path_size"][-1]) + last_label - start)
    for number, row in enumerate(rows.tolist(), first):
        text_at, image_at, image_size, label_size, path_size, source, subset, split, problem = row
        at = text_at - start
        end = at + path_size
        label = None if label_size == NO_LABEL else texts[end : end + label_size]
        values = (number, source, texts[at:end], label, subset, split, PROBLEMS[problem], image_at, image_size)
        yield make_unchecked(Listed, values)


def open_catalogue(folder: Path) -> Catalogue | None:
    """The catalogue as an earlier run has left it; None if there is none, or if it is not whole."""
    try:
        values = json.loads((folder / CATALOGUE_NAME).read_bytes())
        subsets, classes = tuple(values["subsets"]), tuple(values["classes"])
        names = tuple(values["source_names"])
        notes = tuple(values["notes"])
        catalogue = Catalogue(folder, values["entries"], subsets, classes, values["given_splits"], names, notes)
        sizes = {name: (folder / f"{name}.bin").stat().st_size for name in ("entries", "order", "texts")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = {"entries": ENTRY.itemsize * catalogue.entries, "order": 8 * catalogue.entries, "texts": values["texts"]}
    return catalogue if sizes == whole else None


def read_order(folder: Path, first: int, last: int) -> NDArray[np.uint64]:
    """The order of the entries from first up to last. uint64."""
    return np.fromfile(folder / "order.bin", "<u8", last - first, offset=8 * first)


def _read_part(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)
