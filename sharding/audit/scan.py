"""Scan a part of the catalogue, reading each image once: what a build would find there, in numbers alone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharding.format.splits import SPLITS
from sharding.layouts.entry import Entry, Mark, Reader, Source
from sharding.reading.catalogue import Catalogue, Listed
from sharding.reading.sample_reader import Rules, Sample, SampleReader, open_sample_reader
from sharding.reading.split import UNDECIDED
from sharding.reading.spool import cells_of
from sharding.reasons import Rejected

MOST_EXAMPLES = 20  # of a reason
MOST_REJECTED_PICTURES = 12  # of a reason
_MOST_PICTURE_BYTES = 2 << 20  # a larger file is not a word; it is not kept for a contact sheet
FORMATS = {b"\x89P": "PNG", b"\xff\xd8": "JPEG", b"RI": "WebP", b"BM": "BMP", b"II": "TIFF", b"MM": "TIFF"}
# What is kept of each entry, in arrays as long as the catalogue: all that must be compared over the whole of it.
SEEN: dict[str, Any] = {"digest": np.uint64, "label_hash": np.uint64, "split": np.uint8, "cell": np.uint8}
_COLUMNS = Sample._fields[2:]
Counts = tuple[NDArray[Any], NDArray[Any]]  # distinct numbers ascending, and how often each occurs


class WatchedSource(Source):
    """A source whose readers keep what they read last, so that it is not read a second time. Equal to the same source
    watched elsewhere."""

    def __init__(self, source: Source) -> None:
        self.source, self.root, self.layout = source, source.root, source.layout
        self.kind, self.labels_apart = source.kind, source.labels_apart
        self.images_are_files = source.images_are_files
        self.reader: _WatchedReader | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WatchedSource) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def entries(self) -> Iterator[Entry]:
        return self.source.entries()

    def listing(self) -> list[Mark]:
        return self.source.listing()

    def is_as_listed(self, marks: list[Mark]) -> bool:
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
        self.image = b""  # a read was tried
        self.image = self._reader.read_image(path, at, size)
        return self.image

    def read_label(self, label: bytes) -> bytes | None:
        self.label = self._reader.read_label(label)
        return self.label

    def close(self) -> None:
        self._reader.close()


@dataclass(frozen=True)
class ScanTask:
    """Entries for one worker."""

    catalogue: Catalogue
    """Where the entries are read from, by their numbers."""
    rules: Rules
    """Their sources are watched."""
    numbers: range | NDArray[Any]
    """Of the entries; a range if they are neighbours."""
    kept: frozenset[int]
    """Entries whose images are wanted for a contact sheet."""
    enough: frozenset[str]
    """Reasons of which no more examples are wanted."""


class Specimen(NamedTuple):
    """An image of the source for a contact sheet."""

    entry: int
    """Its number in the catalogue."""
    image: bytes
    """Bytes of a file: of a sample as a build would store it, of a reject as the source has it."""
    text: str
    """Its label; of a reject the reason."""


@dataclass
class RawLabels:
    """What was counted over all labels that were read, as they were written."""

    letters: Counter[str] = field(default_factory=Counter)
    """Letter -> how often it occurs before normalising; empty for classes."""
    folded: Counter[str] = field(default_factory=Counter)
    """As in `LabelCounts`."""
    refused: Counter[str] = field(default_factory=Counter)
    """As in `LabelCounts`."""
    count: int = 0
    """Number of labels."""
    changed: int = 0
    """Labels of which normalising changes something."""

    def add(self, other: "RawLabels") -> None:
        self.letters.update(other.letters)
        self.folded.update(other.folded)
        self.refused.update(other.refused)
        self.count += other.count
        self.changed += other.changed


@dataclass
class SourceScan:
    """What was found in some entries of the catalogue."""

    seen: dict[str, NDArray[Any]]
    """An array for each of SEEN, over all entries (split UNDECIDED: not a sample)."""
    letters: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in SPLITS])
    """Of normalised labels of samples, one Counter for each split."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Of the labels of words."""
    sizes: dict[str, Counts] = field(default_factory=dict)
    """width, height and read_bytes of samples."""
    subsets: Counter[tuple[int, int]] = field(default_factory=Counter)
    """(number, split) -> samples."""
    formats: Counter[tuple[bytes, bool]] = field(default_factory=Counter)
    """(first bytes of the file, is it converted) -> samples."""
    read_bytes: int = 0
    """Of the source images of samples."""
    labels: RawLabels = field(default_factory=RawLabels)
    """Of all entries whose label was read, rejects included."""
    rejects: Counter[str] = field(default_factory=Counter)
    """Reason -> entries."""
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Reason -> (path, detail) of some entries."""
    pictures: list[Specimen] = field(default_factory=list)
    """Samples for a contact sheet."""
    rejected_pictures: dict[str, list[Specimen]] = field(default_factory=dict)
    """Reason -> some images that were rejected for it."""

    def add(self, other: "SourceScan") -> None:
        """Count what was found in the entries after these; not `seen`."""
        self.read_bytes += other.read_bytes
        self.pictures += other.pictures
        self.labels.add(other.labels)
        self.lengths.update(other.lengths)
        self.subsets.update(other.subsets)
        self.formats.update(other.formats)
        self.rejects.update(other.rejects)
        for letters, others in zip(self.letters, other.letters, strict=True):
            letters.update(others)
        for name, counted in other.sizes.items():
            self.sizes[name] = _merge(self.sizes[name], counted) if name in self.sizes else counted
        for reason, examples in other.examples.items():
            self.examples[reason] = (self.examples.get(reason, []) + examples)[:MOST_EXAMPLES]
        for reason, pictures in other.rejected_pictures.items():
            kept = self.rejected_pictures.get(reason, []) + pictures
            self.rejected_pictures[reason] = kept[:MOST_REJECTED_PICTURES]

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
    sources, classes = sample_reader.rules.sources, sample_reader.rules.classes
    found = SourceScan({})
    rows, positions, raw_labels = [], [], []
    texts: tuple[list[bytes], ...] = tuple([] for _ in SPLITS)
    for position, entry in enumerate(_entries_of(task)):
        source = sources[entry.source]
        assert isinstance(source, WatchedSource) and source.reader  # opened with the sample reader
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
            found.formats[(reader.image or b"")[:2], sample.image is not reader.image] += 1
            if entry.number in task.kept and len(sample.image) <= _MOST_PICTURE_BYTES:
                label = (entry.label or b"") if classes else sample.label
                found.pictures.append(Specimen(entry.number, sample.image, label.decode("utf-8", "replace")))
        if not entry.problem:
            raw_labels.append(reader.label if source.labels_apart else entry.label)
    found.labels.folded, found.labels.refused = sample_reader.take_counts()
    _count_samples(found, len(task.numbers), positions, rows)
    if not classes:
        for letters, of_split in zip(found.letters, texts, strict=True):
            letters.update(b"".join(of_split).decode())
        _count_labels(found.labels, Counter(label for label in raw_labels if label), sample_reader)
    return found


def _entries_of(task: ScanTask) -> Iterator[Listed]:
    if isinstance(task.numbers, range):
        return iter(task.catalogue.read(task.numbers.start, task.numbers.stop))
    return task.catalogue.pick(task.numbers.tolist())


def _merge(one: Counts, other: Counts) -> Counts:
    """Two counts of numbers as one."""
    numbers, positions = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.zeros(len(numbers), np.int64)
    np.add.at(counts, positions, np.concatenate([one[1], other[1]]))
    return numbers, counts


def _add_reject(found: SourceScan, task: ScanTask, entry: Listed, reader: _WatchedReader, why: Rejected) -> None:
    found.rejects[why.reason] += 1
    if why.reason in task.enough:
        return
    examples = found.examples.setdefault(why.reason, [])
    if len(examples) < MOST_EXAMPLES:
        examples.append((task.catalogue.shown(entry).decode("utf-8", "backslashreplace"), why.detail))
    pictures = found.rejected_pictures.setdefault(why.reason, [])
    if len(pictures) < MOST_REJECTED_PICTURES and not entry.problem:
        if reader.image is None:  # its label was refused before the image was read
            with suppress(Rejected):
                reader.read_image(entry.path, entry.image_at, entry.image_size)
        if reader.image and len(reader.image) <= _MOST_PICTURE_BYTES:
            pictures.append(Specimen(entry.number, reader.image, why.reason))


def _count_samples(found: SourceScan, entries: int, positions: list[int], rows: list[tuple[Any, ...]]) -> None:
    """positions: of the samples among the entries. rows: their values, as _COLUMNS names them."""
    values = np.array(rows, np.uint64).reshape(-1, len(_COLUMNS)).T
    columns: dict[str, NDArray[Any]] = dict(zip(_COLUMNS, values, strict=True))
    columns["cell"] = cells_of(columns["width"], columns["height"])
    for name, kind in SEEN.items():
        found.seen[name] = np.full(entries, UNDECIDED if name == "split" else 0, kind)
        found.seen[name][positions] = columns[name].astype(kind)
    found.lengths.update(columns["length"].tolist())
    found.subsets.update(zip(columns["subset"].tolist(), columns["split"].tolist(), strict=True))
    found.sizes = {name: np.unique(columns[name], return_counts=True) for name in ("width", "height", "read_bytes")}
    found.read_bytes = int(columns["read_bytes"].sum())


def _count_labels(found: RawLabels, labels: Counter[bytes], sample_reader: SampleReader) -> None:
    """labels: as they were written -> how often."""
    profile = sample_reader.rules.profile
    simple = profile.simple_letters
    found.count = labels.total()
    for label, count in labels.items():
        written = label.decode("utf-8", "surrogateescape")
        found.letters.update(written * count)
        if simple.issuperset(written):
            continue
        found.changed += count * (profile.normalise(written) != written)
