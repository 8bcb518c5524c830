"""One audit over its catalogue: every entry read, and what follows from all of them."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharding.arranging.assign import by_split, choose_edges, count_classes
from sharding.arranging.copies import Copies, find_copies
from sharding.audit.confusables import find_confusables
from sharding.audit.result import Audit, AuditCopies, AuditLabels, Twin
from sharding.audit.scan import (
    MOST_EXAMPLES,
    SEEN,
    ScanTask,
    SourceScan,
    Specimen,
    scan_entries,
)
from sharding.building.report import notes_of
from sharding.format.script.profile import ScriptProfile
from sharding.format.splits import SPLITS
from sharding.layouts.entry import Source
from sharding.progress import Progress, Report
from sharding.reading.catalogue import Catalogue
from sharding.reading.intake import range_size
from sharding.reading.sample_reader import Rules
from sharding.reading.split import UNDECIDED
from sharding.reading.spool import ASPECT_GRID
from sharding.reasons import Rejected
from sharding.system.workers import Workers

MOST_PICTURES = 100
FEWEST_SAMPLED = 100
_DRAWN = 140  # entries, so that with some rejects among them MOST_PICTURES are left
_OFTEN = 20  # labels that are named


@dataclass(frozen=True)
class AuditRun:
    """One audit over its catalogue."""

    catalogue: Catalogue
    """All entries of the sources, even if only a sample of them is read."""
    sources: Sequence[Source]
    """As they were found, not watched: a watched source hands its readers to the scan."""
    rules: Rules
    """Their sources are watched."""
    decided: dict[str, Any]
    """The options as a build would write them."""

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
        packed = seen["split"] != UNDECIDED
        for rows in (copies.conflicts, *([copies.copies] if dedup else [])):
            np.subtract.at(counts, (seen["split"][rows], seen["cell"][rows]), 1)
            packed[rows] = False
        words = not rules.classes
        edges, buckets = _samples_by_bucket(counts, of_classes=not words)
        one_way = copies.conflicts < copies.conflicts_with  # each conflict is there from both sides
        raw = {letter: count for letter, count in found.labels.letters.items() if not "\ud800" <= letter <= "\udfff"}
        distinct, single, often = self._labels_by_count(numbers, seen) if words else (0, 0, [])
        found.pictures = self._in_order(found.pictures)[:MOST_PICTURES]
        return Audit(
            sources=tuple((source.root, source.layout) for source in rules.sources),
            profile=rules.profile,
            notes=notes_of(catalogue, found.rejects, rules.sources, self.decided["asked"]),
            options=self.decided,
            given_splits=catalogue.count_given_splits(),
            entries=catalogue.entries,
            looked_at=len(numbers),
            found=found,
            bucket_edges=edges,
            buckets=buckets,
            subsets=catalogue.subsets,
            classes=catalogue.classes,
            class_samples=by_split(
                count_classes(seen["split"][packed], seen["label_hash"][packed], rules.class_hashes)
            ),
            copies=AuditCopies(
                _count_copies(copies, seen["split"], dedup),
                self._twins(numbers, seen, copies.copies, copies.copies_of),
                self._twins(numbers, seen, copies.conflicts[one_way], copies.conflicts_with[one_way]),
            ),
            labels=AuditLabels(
                _changed_letters(raw, rules.profile),
                find_confusables(raw, rules.profile) if words else [],
                distinct,
                single,
                often,
            ),
        )

    def _read(self, numbers: NDArray[Any], workers: Workers, report: Report) -> tuple[SourceScan, NDArray[Any]]:
        """Read and check every entry of `numbers`. Returns what was found and int64 [splits, cells] samples."""
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

    def _tasks(self, numbers: NDArray[Any], size: int, total: SourceScan) -> Iterator[ScanTask]:
        """total: what was found so far; a reason that has its examples gets no more."""
        drawn = self._first_in_order(_DRAWN)
        whole = len(numbers) == self.catalogue.entries
        for start in range(0, len(numbers), size):
            part = range(start, min(start + size, len(numbers))) if whole else numbers[start : start + size]
            wanted = drawn[(drawn >= part[0]) & (drawn <= part[-1])]
            yield ScanTask(self.catalogue, self.rules, part, frozenset(wanted.tolist()), total.enough())

    def _first_in_order(self, count: int) -> NDArray[Any]:
        """The numbers of about `count` entries, ascending."""
        return np.fromiter((entry.number for entry in self.catalogue.first_in_order(count)), np.uint32)

    def _in_order(self, pictures: list[Specimen]) -> list[Specimen]:
        return sorted(pictures, key=lambda picture: int(self.catalogue.order(picture.entry, picture.entry + 1)[0]))

    def _labels_by_count(
        self, numbers: NDArray[Any], seen: dict[str, NDArray[Any]]
    ) -> tuple[int, int, list[tuple[str, int]]]:
        """How many different labels samples have, how many labels occur once, and those that occur most often."""
        is_sample = seen["split"] != UNDECIDED
        hashes, counts = np.unique(seen["label_hash"][is_sample], return_counts=True)
        most = np.lexsort((hashes, -counts))[:_OFTEN]
        most = most[counts[most] > 1]
        positions = [int(np.argmax((seen["label_hash"] == label) & is_sample)) for label in hashes[most]]
        named = [label for _, label in self._named(numbers[positions])]
        return len(hashes), int((counts == 1).sum()), list(zip(named, counts[most].tolist(), strict=True))

    def _twins(
        self, numbers: NDArray[Any], seen: dict[str, NDArray[Any]], positions: NDArray[Any], others: NDArray[Any]
    ) -> list[Twin]:
        """Examples from two arrays of positions in `numbers`, those across splits first."""
        splits = seen["split"][positions], seen["split"][others]
        first = np.argsort(splits[0] == splits[1], kind="stable")[:MOST_EXAMPLES]
        named = [self._named(numbers[row[first]]) for row in (positions, others)]
        of_split = [[SPLITS[split] for split in row[first]] for row in splits]
        return [
            Twin(*one, split, *other, other_split)
            for one, split, other, other_split in zip(named[0], of_split[0], named[1], of_split[1], strict=True)
        ]

    def _named(self, numbers: NDArray[Any]) -> list[tuple[str, str]]:
        """(path, normalised label) of each entry; the label is "" if it is gone by now."""
        named = []
        with ExitStack() as stack:
            readers = [stack.enter_context(closing(source.open())) for source in self.sources]
            for entry in self.catalogue.pick(numbers.tolist()):
                label = entry.label
                if label is not None and self.sources[entry.source].labels_apart:
                    with suppress(Rejected):
                        label = readers[entry.source].read_label(label)
                text = (label or b"").decode("utf-8", "backslashreplace")
                path = self.catalogue.shown(entry).decode("utf-8", "backslashreplace")
                named.append((path, text if self.rules.classes else self.rules.profile.normalise(text)))
        return named


def _samples_by_bucket(counts: NDArray[Any], of_classes: bool) -> tuple[tuple[float, ...], NDArray[Any]]:
    """The edges of the buckets and int64 [splits, buckets], from [splits, cells] samples."""
    if not counts.any():
        return (), np.zeros((len(SPLITS), 0), np.int64)
    cells = choose_edges(counts.sum(axis=0), of_classes)
    ends = np.cumsum(counts, axis=1)[:, cells]
    return tuple(ASPECT_GRID[cells].tolist()), np.diff(ends, axis=1, prepend=0)


def _count_copies(copies: Copies, splits: NDArray[Any], dedup: bool) -> dict[str, int]:
    across = int((splits[copies.copies] != splits[copies.copies_of]).sum())
    count = len(copies.copies)
    return {"same split": count - across, "across splits": across, "left out": count if dedup else 0}


def _changed_letters(letters: dict[str, int], profile: ScriptProfile) -> list[tuple[str, str, int]]:
    """The letters that normalising changes, each alone: (letter, what becomes of it, how often), the most frequent
    first."""
    changed = []
    for letter, count in letters.items():
        text = " " if letter.isspace() else profile.normalise(letter)
        if text != letter:
            changed.append((letter, text, count))
    return sorted(changed, key=lambda row: (-row[2], row[0]))
