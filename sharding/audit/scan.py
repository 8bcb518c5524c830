"""A part of the catalogue looked at, each image read once: what a build would find there, in numbers alone."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sharding.format.script.profile import ScriptProfile
from sharding.format.splits import SPLITS
from sharding.layouts.entry import Reader, Source
from sharding.reading.catalogue import Catalogue, Listed
from sharding.reading.sample_reader import Rules, Sample, SampleReader, open_sample_reader
from sharding.reading.split import UNDECIDED
from sharding.reading.spool import ASPECT_GRID
from sharding.reasons import Rejected

MOST_EXAMPLES = 20  # of a reason
MOST_REJECTED_PICTURES = 12  # of a reason
_MOST_PICTURE_BYTES = 2 << 20  # a larger file is no word; it is not kept for a contact sheet
FORMATS = {b"\x89P": "PNG", b"\xff\xd8": "JPEG", b"RI": "WebP", b"BM": "BMP", b"II": "TIFF", b"MM": "TIFF"}
# What is kept of each entry, in arrays as long as the catalogue: all that must be compared over the whole of it.
SEEN = {"digest": np.dtype("<u8"), "label_hash": np.dtype("<u8"), "split": np.dtype("u1"), "cell": np.dtype("u1")}
_COLUMNS = Sample._fields[2:]
_ADDED = ("read_bytes", "labels", "labels_changed", "pictures")
_UPDATED = ("lengths", "subsets", "classes", "formats", "raw_letters", "folded", "refused_letters", "rejects")


class WatchedSource(Source):
    """A source whose readers keep what they read last, so that nobody reads it again. Equal to the same source watched
    elsewhere."""

    def __init__(self, source: Source) -> None:
        self.source, self.root, self.layout = source, source.root, source.layout
        self.kind, self.labels_apart = source.kind, source.labels_apart
        self.images_are_files = source.images_are_files
        self.reader: _WatchedReader | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WatchedSource) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def entries(self):
        return self.source.entries()

    def listing(self) -> list[list]:
        return self.source.listing()

    def is_as_listed(self, marks: list[list]) -> bool:
        return self.source.is_as_listed(marks)

    def open(self) -> Reader:
        self.reader = _WatchedReader(self.source.open())
        return self.reader


class _WatchedReader(Reader):
    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.image: bytes | None = None
        self.label: bytes | None = None

    def read_image(self, path: bytes, at: int, size: int) -> bytes:
        self.image = b""  # it was tried
        self.image = self._reader.read_image(path, at, size)
        return self.image

    def read_label(self, label: bytes) -> bytes | None:
        self.label = self._reader.read_label(label)
        return self.label

    def close(self) -> None:
        self._reader.close()


@dataclass(frozen=True)
class ScanTask:
    """Entries for one worker. rules: of watched sources. numbers: of the entries, a range where they are neighbours.
    kept: those whose images are wanted. enough: reasons of which no more examples are."""

    catalogue: Catalogue
    rules: Rules
    numbers: range | np.ndarray
    kept: frozenset[int]
    enough: frozenset[str]


class Specimen(NamedTuple):
    """An image of the source for a contact sheet. text: its label; of a reject the reason."""

    entry: int
    image: bytes
    text: str


@dataclass
class SourceScan:
    """What was found. seen: an array for each of SEEN, of all entries (split UNDECIDED: no sample). Counted over
    samples: letters (normalised, a Counter each split), lengths (of words' labels), sizes (width, height, read_bytes ->
    (numbers, counts)), subsets and classes (number, split), formats (first bytes, is it converted). Counted over all
    labels that were read: raw_letters, of how many normalising changes something, and as a build does (LabelCounts)
    folded and refused_letters."""

    seen: dict[str, np.ndarray]
    letters: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in SPLITS])
    lengths: Counter[int] = field(default_factory=Counter)
    sizes: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    subsets: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: Counter[tuple[int, int]] = field(default_factory=Counter)
    formats: Counter[tuple[bytes, bool]] = field(default_factory=Counter)
    read_bytes: int = 0
    raw_letters: Counter[str] = field(default_factory=Counter)
    folded: Counter[str] = field(default_factory=Counter)
    refused_letters: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    labels_changed: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    pictures: list[Specimen] = field(default_factory=list)
    rejected_pictures: dict[str, list[Specimen]] = field(default_factory=dict)

    def add(self, other: "SourceScan") -> None:
        """Count what was found in the entries after these; not `seen`."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _UPDATED:
            getattr(self, name).update(getattr(other, name))
        for letters, others in zip(self.letters, other.letters, strict=True):
            letters.update(others)
        for name, counted in other.sizes.items():
            self.sizes[name] = _merge(self.sizes[name], counted) if name in self.sizes else counted
        for most, mine, others in (
            (MOST_EXAMPLES, self.examples, other.examples),
            (MOST_REJECTED_PICTURES, self.rejected_pictures, other.rejected_pictures),
        ):
            for reason, found in others.items():
                mine[reason] = (mine.get(reason, []) + found)[:most]

    def enough(self) -> frozenset[str]:
        """The reasons of which no more examples are wanted."""
        return frozenset(
            reason
            for reason, examples in self.examples.items()
            if len(examples) == MOST_EXAMPLES and len(self.rejected_pictures.get(reason, [])) == MOST_REJECTED_PICTURES
        )


def scan_entries(task: ScanTask) -> SourceScan:
    """Read and check the entries of a task as a build does."""
    sample_reader = open_sample_reader(task.rules)
    sample_reader.take_counts()
    sources = sample_reader.rules.sources
    found = SourceScan({})
    rows, positions, raw_labels = [], [], []
    texts: tuple[list[bytes], ...] = tuple([] for _ in SPLITS)
    if isinstance(task.numbers, range):
        entries = task.catalogue.read(task.numbers.start, task.numbers.stop)
    else:
        entries = task.catalogue.pick(task.numbers.tolist())
    for position, entry in enumerate(entries):
        source = sources[entry.source]
        reader = source.reader
        reader.image = reader.label = None
        try:
            sample = sample_reader.read(entry)
        except Rejected as why:
            _add_reject(found, task, entry, reader, why)
        else:
            positions.append(position)
            rows.append(sample[2:])
            texts[sample.split].append(sample.label)
            found.formats[reader.image[:2], sample.image is not reader.image] += 1
            if entry.number in task.kept and len(sample.image) <= _MOST_PICTURE_BYTES:
                text = (entry.label if sample_reader.rules.classes else sample.label).decode("utf-8", "replace")
                found.pictures.append(Specimen(entry.number, sample.image, text))
        if not entry.problem:
            raw_labels.append(reader.label if source.labels_apart else entry.label)
    found.folded, found.refused_letters = sample_reader.take_counts()
    _count_samples(found, len(task.numbers), positions, rows)
    if sample_reader.rules.classes:
        for split, numbers in enumerate(texts):
            found.classes.update((int(number), split) for number in numbers)
    else:
        for letters, of_split in zip(found.letters, texts, strict=True):
            letters.update(b"".join(of_split).decode())
        _count_labels(found, Counter(label for label in raw_labels if label), sample_reader)
    return found


def _merge(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Two counts of numbers, each (distinct numbers ascending, how often each), as one."""
    numbers, positions = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.zeros(len(numbers), np.int64)
    np.add.at(counts, positions, np.concatenate([one[1], other[1]]))
    return numbers, counts


def _add_reject(found: SourceScan, task: ScanTask, entry: Listed, reader: "_WatchedReader", why: Rejected) -> None:
    found.rejects[why.reason] += 1
    if why.reason in task.enough:
        return
    examples = found.examples.setdefault(why.reason, [])
    if len(examples) < MOST_EXAMPLES:
        examples.append((task.catalogue.shown(entry).decode("utf-8", "backslashreplace"), why.detail))
    pictures = found.rejected_pictures.setdefault(why.reason, [])
    if len(pictures) < MOST_REJECTED_PICTURES and not entry.problem:
        if reader.image is None:  # its label was refused first
            with suppress(Rejected):
                reader.read_image(entry.path, entry.image_at, entry.image_size)
        if reader.image and len(reader.image) <= _MOST_PICTURE_BYTES:
            pictures.append(Specimen(entry.number, reader.image, why.reason))


def _count_samples(found: SourceScan, entries: int, positions: list[int], rows: list[tuple]) -> None:
    """places: of the samples among the entries. rows: their values, as _COLUMNS names them."""
    values = np.array(rows, np.uint64).reshape(-1, len(_COLUMNS)).T
    columns = dict(zip(_COLUMNS, values, strict=True))
    columns["cell"] = np.searchsorted(ASPECT_GRID, columns["width"] / columns["height"])
    for name, kind in SEEN.items():
        found.seen[name] = np.full(entries, UNDECIDED if name == "split" else 0, kind)
        found.seen[name][positions] = columns[name].astype(kind)
    found.lengths.update(columns["length"].tolist())
    found.subsets.update(zip(columns["subset"].tolist(), columns["split"].tolist(), strict=True))
    found.sizes = {name: np.unique(columns[name], return_counts=True) for name in ("width", "height", "read_bytes")}
    found.read_bytes = int(columns["read_bytes"].sum())


def _count_labels(found: SourceScan, labels: Counter[bytes], sample_reader: SampleReader) -> None:
    """labels: as they were written -> how often."""
    profile: ScriptProfile = sample_reader.rules.profile
    simple = profile.simple_letters
    found.labels = labels.total()
    for label, count in labels.items():
        written = label.decode("utf-8", "surrogateescape")
        found.raw_letters.update(written * count)
        if simple.issuperset(written):
            continue
        found.labels_changed += count * (profile.normalise(written) != written)
