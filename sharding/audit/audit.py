"""The look before a build: what would be packed, what would be refused and why, and what stands in the labels.

Lists and reads the source as build.py does, each image once, and writes nothing but a catalogue in a temporary folder.
Of each entry 22 bytes stay in memory (arrays); everything else is counted as it passes.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.arranging.assign import choose_edges
from sharding.arranging.copies import Copies, find_copies
from sharding.audit.confusables import Confusable, find_confusables
from sharding.audit.scan import (
    MOST_EXAMPLES,
    MOST_REJECTED_PICTURES,
    SEEN,
    ScanTask,
    SourceScan,
    Specimen,
    WatchedSource,
    scan_entries,
)
from sharding.build_report import notes_of
from sharding.errors import ConfigError, ShardError
from sharding.format.script.profile import ScriptProfile
from sharding.format.splits import SPLITS
from sharding.list_sources import list_sources
from sharding.options import ShardOptions
from sharding.progress import Progress, Report
from sharding.reading.catalogue import Catalogue
from sharding.reading.intake import range_size
from sharding.reading.sample_reader import Rules, close_sample_reader
from sharding.reading.split import UNDECIDED
from sharding.reading.spool import ASPECT_GRID
from sharding.reasons import Rejected
from sharding.resolve import find_sources, rules_of
from sharding.system.workers import Workers, open_workers, usable_cores

MOST_PICTURES = 100
FEWEST_SAMPLED = 100
_DRAWN = 140  # entries, so that with some rejects among them MOST_PICTURES are left
_OFTEN = 20  # labels that are named


class Twin(NamedTuple):
    """Two samples with the same image. labels: normalised, or names of classes."""

    path: str
    label: str
    split: str
    other_path: str
    other_label: str
    other_split: str


@dataclass(frozen=True)
class Audit:
    """What a build with the same options would do, and what it would find.

    sources: (root, layout) of each. kind: "words" or "classes". options: as a build would write them into its index.
    given_splits: as in `ShardReport`.
    entries: as listed; looked_at: how many of them were read (all, unless a sample was asked for). samples: that would
    be packed, of each split. copies: further copies of an image in the "same split", "across splits", and how many are
    "left out"; conflict_examples: the same image with two labels. found: what was counted entry by entry, conflicts and
    copies with the rest. buckets: int64 [splits, buckets]. changed_letters: (letter, what becomes of it, how
    often in raw labels). distinct_labels, single_labels: different ones, and those that stand once. often: the labels
    that stand most often. notes: as in `ShardReport`. pictures: the first samples in the order of the set.
    """

    sources: tuple[tuple[Path, str], ...]
    kind: str
    profile: ScriptProfile
    profile_why: str
    notes: tuple[str, ...]
    options: dict
    given_splits: tuple[int, int]
    entries: int
    looked_at: int
    samples: dict[str, int]
    copies: dict[str, int]
    copy_examples: list[Twin]
    conflict_examples: list[Twin]
    found: SourceScan
    bucket_edges: tuple[float, ...]
    buckets: np.ndarray
    subsets: tuple[str, ...]
    classes: tuple[str, ...]
    changed_letters: list[tuple[str, str, int]]
    confusables: list[Confusable]
    distinct_labels: int
    single_labels: int
    often: list[tuple[str, int]]
    pictures: list[Specimen]
    rejected_pictures: list[Specimen]

    @property
    def packed(self) -> int:
        """How many of `looked_at` would go into shards."""
        return sum(self.samples.values())


def audit_source(options: ShardOptions, sample: int | None = None, report: Report | None = None) -> Audit:
    """Read and check every image of `options.src` as `build_shards` would, and write nothing.

    sample: look at about so many entries only (at least 100), drawn by the hash of their path. report: called with a
    Progress now and then. Raises ConfigError or SourceError as `build_shards`, but not where no image can be used.
    """
    if sample is not None and sample < 1:
        raise ConfigError(f"a sample of {sample} entries; at least 1 is needed")
    report = report or (lambda progress: None)
    sources = find_sources(options)
    if options.scratch:
        options.scratch.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="horovod-ocr-audit-", dir=options.scratch) as folder,
        open_workers(options.workers or usable_cores()) as workers,
    ):
        catalogue, decided = list_sources(Path(folder).absolute(), sources, options, report)
        rules = rules_of([*map(WatchedSource, sources)], catalogue, decided)
        try:
            return _AuditRun(catalogue, rules, decided).run(sample, workers, report)
        except BrokenProcessPool as error:
            raise ShardError(
                "a worker was killed, mostly for want of memory; run the same horovod-ocr audit again with fewer "
                "--workers"
            ) from error
        finally:
            close_sample_reader()


@dataclass(frozen=True)
class _AuditRun:
    """One audit over its catalogue. decided: the options as a build would write them."""

    catalogue: Catalogue
    rules: Rules
    decided: dict

    def run(self, sample: int | None, workers: Workers, report: Report) -> Audit:
        catalogue, rules = self.catalogue, self.rules
        numbers = np.arange(catalogue.entries, dtype=np.uint32)
        if sample is not None and sample < catalogue.entries:
            numbers = self._first_in_order(max(sample, FEWEST_SAMPLED))
        found, counts = self._read(numbers, workers, report)
        seen, found.seen = found.seen, {}
        copies = find_copies(seen)
        if len(copies.conflicts):
            found.rejects["conflicting labels"] = len(copies.conflicts)
        dedup = self.decided["asked"]["dedup"]
        for rows in (copies.conflicts, *([copies.copies] if dedup else [])):
            np.subtract.at(counts, (seen["split"][rows], seen["cell"][rows]), 1)
        edges, buckets = _samples_by_bucket(counts)
        words = not rules.classes
        one_way = copies.conflicts < copies.conflicts_with  # each conflict stands there from both sides
        raw = {letter: count for letter, count in found.raw_letters.items() if not "\ud800" <= letter <= "\udfff"}
        distinct, single, often = self._labels_by_count(numbers, seen) if words else (0, 0, [])
        return Audit(
            sources=tuple((source.root, source.layout) for source in rules.sources),
            kind="words" if words else "classes",
            profile=rules.profile,
            profile_why=self.decided["profile_why"],
            notes=notes_of(catalogue, found.rejects, rules.sources, self.decided["asked"]["images"]),
            options=self.decided,
            given_splits=catalogue.count_given_splits(),
            entries=catalogue.entries,
            looked_at=len(numbers),
            samples=dict(zip(SPLITS, counts.sum(axis=1).tolist(), strict=True)),
            copies=_count_copies(copies, seen["split"], dedup),
            copy_examples=self._twins(numbers, seen, copies.copies, copies.copies_of),
            conflict_examples=self._twins(numbers, seen, copies.conflicts[one_way], copies.conflicts_with[one_way]),
            found=found,
            bucket_edges=edges,
            buckets=buckets,
            subsets=catalogue.subsets,
            classes=catalogue.classes,
            changed_letters=_changed_letters(raw, rules.profile),
            confusables=find_confusables(raw, rules.profile) if words else [],
            distinct_labels=distinct,
            single_labels=single,
            often=often,
            pictures=self._in_order(found.pictures)[:MOST_PICTURES],
            rejected_pictures=_in_turns(found.rejected_pictures)[:MOST_REJECTED_PICTURES],
        )

    def _read(self, numbers: np.ndarray, workers: Workers, report: Report) -> tuple[SourceScan, np.ndarray]:
        """Every entry of `numbers` read and checked. Returns what was found and int64 [splits, cells] samples."""
        seen = {name: np.empty(len(numbers), kind) for name, kind in SEEN.items()}
        counts = np.zeros((len(SPLITS), len(ASPECT_GRID) + 1), np.int64)
        total, size, done = SourceScan(seen), range_size(self.catalogue.entries), 0
        for found in workers.run(scan_entries, self._tasks(numbers, size, total)):
            split, cell = found.seen["split"], found.seen["cell"]
            is_sample = split != UNDECIDED
            np.add.at(counts, (split[is_sample], cell[is_sample]), 1)
            for name, values in seen.items():
                values[done : done + len(split)] = found.seen[name]
            total.add(found)
            done += len(split)
            report(Progress("reading", done, len(numbers), total.read_bytes, dict(total.rejects)))
        return total, counts

    def _tasks(self, numbers: np.ndarray, size: int, total: SourceScan) -> Iterator[ScanTask]:
        """total: what was found so far; of a reason that has its examples, no more are asked for."""
        drawn = self._first_in_order(_DRAWN)
        whole = len(numbers) == self.catalogue.entries
        for start in range(0, len(numbers), size):
            part = range(start, min(start + size, len(numbers))) if whole else numbers[start : start + size]
            wanted = drawn[(drawn >= part[0]) & (drawn <= part[-1])]
            yield ScanTask(self.catalogue, self.rules, part, frozenset(wanted.tolist()), total.enough())

    def _first_in_order(self, count: int) -> np.ndarray:
        """The numbers of about `count` entries, ascending."""
        return np.fromiter((entry.number for entry in self.catalogue.first_in_order(count)), np.uint32)

    def _in_order(self, pictures: list[Specimen]) -> list[Specimen]:
        return sorted(pictures, key=lambda picture: int(self.catalogue.order(picture.entry, picture.entry + 1)[0]))

    def _labels_by_count(self, numbers: np.ndarray, seen: dict) -> tuple[int, int, list[tuple[str, int]]]:
        """How many different labels stand in samples, how many once, and those that stand most often."""
        is_sample = seen["split"] != UNDECIDED
        hashes, counts = np.unique(seen["label_hash"][is_sample], return_counts=True)
        most = np.lexsort((hashes, -counts))[:_OFTEN]
        most = most[counts[most] > 1]
        positions = [int(np.argmax((seen["label_hash"] == label) & is_sample)) for label in hashes[most]]
        named = [label for _, label in self._named(numbers[positions])]
        return len(hashes), int((counts == 1).sum()), list(zip(named, counts[most].tolist(), strict=True))

    def _twins(self, numbers: np.ndarray, seen: dict, positions: np.ndarray, others: np.ndarray) -> list[Twin]:
        """Examples of two rows of places in `numbers`, those across splits first."""
        splits = seen["split"][positions], seen["split"][others]
        first = np.argsort(splits[0] == splits[1], kind="stable")[:MOST_EXAMPLES]
        named = [self._named(numbers[row[first]]) for row in (positions, others)]
        of_split = [[SPLITS[split] for split in row[first]] for row in splits]
        return [
            Twin(*one, split, *other, other_split)
            for one, split, other, other_split in zip(named[0], of_split[0], named[1], of_split[1], strict=True)
        ]

    def _named(self, numbers: np.ndarray) -> list[tuple[str, str]]:
        """(path, normalised label) of each entry; the label "" where it is gone by now."""
        readers = [source.source.open() for source in self.rules.sources]
        named = []
        for entry in self.catalogue.pick(numbers.tolist()):
            label = entry.label
            if label is not None and self.rules.sources[entry.source].labels_apart:
                with suppress(Rejected):
                    label = readers[entry.source].read_label(label)
            text = (label or b"").decode("utf-8", "backslashreplace")
            path = self.catalogue.shown(entry).decode("utf-8", "backslashreplace")
            named.append((path, text if self.rules.classes else self.rules.profile.normalise(text)))
        for reader in readers:
            reader.close()
        return named


def _samples_by_bucket(counts: np.ndarray) -> tuple[tuple[float, ...], np.ndarray]:
    """The edges of the classes and int64 [splits, classes], of [splits, cells] samples."""
    if not counts.any():
        return (), np.zeros((len(SPLITS), 0), np.int64)
    cells = choose_edges(counts.sum(axis=0))
    ends = np.cumsum(counts, axis=1)[:, cells]
    return tuple(ASPECT_GRID[cells].tolist()), np.diff(ends, axis=1, prepend=0)


def _count_copies(copies: Copies, splits: np.ndarray, dedup: bool) -> dict[str, int]:
    across = int((splits[copies.copies] != splits[copies.copies_of]).sum())
    count = len(copies.copies)
    return {"same split": count - across, "across splits": across, "left out": count if dedup else 0}


def _changed_letters(letters: dict[str, int], profile: ScriptProfile) -> list[tuple[str, str, int]]:
    """The letters that normalising changes, each for itself: (letter, what becomes of it, how often), falling."""
    changed = []
    for letter, count in letters.items():
        text = " " if letter.isspace() else profile.normalise(letter)
        if text != letter:
            changed.append((letter, text, count))
    return sorted(changed, key=lambda row: (-row[2], row[0]))


def _in_turns(pictures: dict[str, list[Specimen]]) -> list[Specimen]:
    """One of each reason, then a second one of each, and so on."""
    rows = zip_longest(*(pictures[reason] for reason in sorted(pictures)))
    return [picture for row in rows for picture in row if picture]
