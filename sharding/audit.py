"""The look before a build: what would be packed, what would be refused and why, and what stands in the labels.

Lists and reads the source as build.py does, each image once, and writes nothing but a catalogue in a temporary folder.
Of each entry 22 bytes stay in memory (arrays); everything else is counted as it passes.
"""

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sharding.assign import choose_edges
from sharding.catalogue import Catalogue, write_catalogue
from sharding.confusables import Confusable, find_confusables
from sharding.copies import Copies, find_copies
from sharding.errors import ConfigError, ShardError
from sharding.inspection import Rules, close_inspector
from sharding.intake import range_size
from sharding.layouts.entry import Source
from sharding.look import MOST_EXAMPLES, MOST_REJECTED_PICTURES, SEEN, Look, LookTask, Picture, Watched, look_at
from sharding.options import (
    ShardOptions,
    find_sources,
    keeps_given_splits,
    options_of_bytes,
    profile_of,
    rules_of,
    split_lists_of,
)
from sharding.progress import Progress, Report
from sharding.reasons import Rejected
from sharding.script import ScriptProfile
from sharding.spool import ASPECT_GRID
from sharding.split import SPLITS, UNDECIDED
from sharding.workers import Workers, open_workers, usable_cores

MOST_PICTURES, MOST_REJECTED = 100, 12  # of the contact sheets
FEWEST_SAMPLED = 100
_DRAWN = 140  # entries, so that with some rejects among them MOST_PICTURES are left
_OFTEN = 20  # labels that are named


@dataclass(frozen=True)
class Audit:
    """What a build with the same options would do, and what it would find.

    sources: (root, layout) of each. kind: "words" or "classes". profile_why: a sentence. entries: as listed; looked_at:
    how many of them were read (all, unless a sample was asked for). samples: that would be packed, of each split.
    rejects: reason -> entries; examples: reason -> (path, detail). copies: further copies of an image in the "same
    split", "across splits", and how many are "left out"; copy_examples: (path, split, the one that stays, its split);
    conflict_examples: (path, label, another path with the same image, its label). found: what was counted entry by
    entry, conflicts and copies with it. aspects: int64 [splits, aspect classes]. changed_letters: (letter, what
    becomes of it, how often in raw labels). distinct_labels, single_labels: different ones, and those that stand once.
    often: the labels that stand most often. pictures: the first in the order of the set.
    """

    sources: tuple[tuple[Path, str], ...]
    kind: str
    profile: ScriptProfile
    profile_why: str
    options: dict
    entries: int
    looked_at: int
    samples: dict[str, int]
    rejects: dict[str, int]
    examples: dict[str, list[tuple[str, str]]]
    copies: dict[str, int]
    copy_examples: list[tuple[str, str, str, str]]
    conflict_examples: list[tuple[str, str, str, str]]
    found: Look
    aspect_edges: tuple[float, ...]
    aspects: np.ndarray
    subsets: tuple[str, ...]
    classes: tuple[str, ...]
    changed_letters: list[tuple[str, str, int]]
    confusables: list[Confusable]
    distinct_labels: int
    single_labels: int
    often: list[tuple[str, int]]
    pictures: list[Picture]
    rejected_pictures: list[Picture]

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
        lists = split_lists_of(options)
        catalogue = write_catalogue(
            Path(folder).absolute(), sources, options.seed, report, lists, keeps_given_splits(options)
        )
        decided = options_of_bytes(options, sources, profile_of(options, sources, catalogue), lists)
        try:
            return _Look(catalogue, rules_of([*map(Watched, sources)], catalogue, decided), decided).run(
                options.profile is not None, sample, workers, report
            )
        except BrokenProcessPool as error:
            raise ShardError(
                "a worker was killed, mostly for want of memory; run the same horovod-ocr audit again with fewer "
                "--workers"
            ) from error
        finally:
            close_inspector()


@dataclass(frozen=True)
class _Look:
    """One audit over its catalogue."""

    catalogue: Catalogue
    rules: Rules
    decided: dict

    def run(self, profile_asked: bool, sample: int | None, workers: Workers, report: Report) -> Audit:
        catalogue, rules = self.catalogue, self.rules
        numbers = np.arange(catalogue.entries, dtype=np.uint32)
        if sample is not None and sample < catalogue.entries:
            numbers = self._first_in_order(max(sample, FEWEST_SAMPLED))
        drawn = self._first_in_order(_DRAWN)
        found, counts = self._read(numbers, drawn, workers, report)
        seen = found.seen
        copies = find_copies(seen)
        conflicts = len(copies.conflicts)
        for rows in (copies.conflicts, *([copies.copies] if self.decided["dedup"] else [])):
            np.subtract.at(counts, (seen["split"][rows], seen["cell"][rows]), 1)
        edges, aspects = _aspect_classes(counts)
        words = not rules.classes
        distinct, single, often = self._labels_by_count(numbers, seen) if words else (0, 0, [])
        conflict_examples, copy_examples = self._name_copies(numbers, seen, copies)
        found.seen = {}
        raw = {letter: count for letter, count in found.raw_letters.items() if not "\ud800" <= letter <= "\udfff"}
        return Audit(
            sources=tuple((source.root, source.layout) for source in rules.sources),
            kind=rules.sources[0].kind,
            profile=rules.profile,
            profile_why=_why_profile(words, profile_asked, rules.profile.name),
            options=self.decided,
            entries=catalogue.entries,
            looked_at=len(numbers),
            samples=dict(zip(SPLITS, counts.sum(axis=1).tolist(), strict=True)),
            rejects=dict(sorted((found.rejects + ({"conflicting labels": conflicts} if conflicts else {})).items())),
            examples=found.examples,
            copies=copies.counts(seen["split"], self.decided["dedup"]),
            copy_examples=copy_examples,
            conflict_examples=conflict_examples,
            found=found,
            aspect_edges=edges,
            aspects=aspects,
            subsets=catalogue.subsets,
            classes=catalogue.classes,
            changed_letters=_changed_letters(raw, rules.profile),
            confusables=find_confusables(raw, rules.profile) if words else [],
            distinct_labels=distinct,
            single_labels=single,
            often=often,
            pictures=self._in_order(found.pictures)[:MOST_PICTURES],
            rejected_pictures=_in_turns(found.rejected_pictures)[:MOST_REJECTED],
        )
