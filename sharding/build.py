"""The build: raw sources -> a shard set, with several workers, taken up again after any interruption.

List every entry (catalogue), read and check each image once (intake, into the spool), decide over the set as a whole
(duplicates, assign), pack the shards out of the spool, write the index last. What is decided depends on the sources and
the options alone, so the bytes are the same for any number of workers, any restart and any order of the source.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sharding.arranging.assign import PLACED_NAME, Assignment, assign
from sharding.arranging.duplicates import count_samples, find_duplicates
from sharding.build_report import ShardReport, notes_of, report_of
from sharding.errors import ConfigError, ShardError, SourceError
from sharding.format.index import ShardIndex, missing_shards, read_index, write_index
from sharding.layouts.entry import Source
from sharding.options import (
    ShardOptions,
    choose_profile,
    find_sources,
    keeps_given_splits,
    options_of_bytes,
    profile_again,
    rules_of,
    split_lists_of,
)
from sharding.packing.left_out import REJECTS_NAME, write_duplicates, write_rejects
from sharding.packing.pack import Packed, PackTask, pack_shard
from sharding.progress import Progress, Report
from sharding.reading.catalogue import Catalogue, open_catalogue
from sharding.reading.check import named, remedy
from sharding.reading.inspection import LabelCounts, Rules, close_inspector, falling
from sharding.reading.intake import IntakeTask, range_size, read_range, spool_path
from sharding.reading.listing import write_catalogue
from sharding.reading.split import SPLITS
from sharding.repair import rebuild_shards
from sharding.same_options import are_other_options, check_same_options
from sharding.state import (
    BuildFolder,
    BuildState,
    are_as_listed,
    holds_shards,
    images_seen,
    keep_index,
    read_state,
    remove_left_overs,
    remove_other_shards,
    restore_index,
    write_state,
)
from sharding.system.lock import build_lock
from sharding.system.workers import Workers, open_workers, prepare_workers, resting_collector, usable_cores

_MOST_NAMED = 5  # refused letters


def build_shards(
    options: ShardOptions, report: Report | None = None, tell: Callable[[str], None] | None = None
) -> ShardReport:
    """Read and check every image of `options.src`, pack the good ones into shards in `options.out`, the index last.

    report: called with a Progress now and then. tell: called with a sentence where another build's lock is waited for
    or taken over. Raises ConfigError, SourceError or ShardError with what to do; what is finished by then is kept, and
    the same call goes on from there.
    """
    folder = BuildFolder(options.out, options.scratch)
    sources = find_sources(options, read_state(folder))
    if any(options.out.exists() and source.root.samefile(options.out) for source in sources):
        raise ConfigError(f"{options.out} is a source as well; name another folder with --out")
    folder.make()
    if options.workers != 1:
        prepare_workers(["sharding.reading.intake", "sharding.packing.pack"])  # meanwhile the sources are listed
    with build_lock(folder.own / "lock", "horovod-ocr shard", tell) as lock:
        build = _Build(options, folder, sources, lock.check, report or (lambda progress: None))
        try:
            return build.run()
        except BrokenProcessPool as error:
            raise ShardError(
                "a worker was killed, mostly for want of memory; run the same horovod-ocr shard again with fewer "
                "--workers (what is finished is kept)"
            ) from error
        except OSError as error:
            position = os.fsdecode(error.filename or options.out)
            raise ShardError(
                f"{position}: {error.strerror}; what is finished is kept: mend it, then run the same horovod-ocr shard "
                "again"
            ) from error
        finally:
            close_inspector()


@dataclass(frozen=True)
class _Build:
    """One run of a build, under its lock. still_ours: raises where the lock was lost."""

    options: ShardOptions
    folder: BuildFolder
    sources: list[Source]
    still_ours: Callable[[], None]
    report: Report

    def run(self) -> ShardReport:
        if complete := self._complete():
            return complete
        remove_left_overs(self.options.out)
        catalogue, decided = self._list()
        rules = rules_of(self.sources, catalogue, decided)
        with self._open_workers(catalogue.entries) as workers:
            return self._make(workers, catalogue, rules, decided)

    def _make(self, workers: Workers, catalogue: Catalogue, rules: Rules, decided: dict) -> ShardReport:
        """All that follows from the catalogue."""
        out, dedup = self.options.out, self.options.dedup
        spools, samples, read_bytes, letters = self._read(workers, catalogue, rules)
        counts, repeated = count_samples(spools, samples)
        duplicates = find_duplicates(spools, repeated, dedup)
        rejects = write_rejects(out, spools, catalogue, duplicates)
        copies = write_duplicates(out, catalogue, duplicates)
        for pairs in (duplicates.conflicts, *([duplicates.copies] if dedup else [])):
            np.subtract.at(counts, (pairs["split"], pairs["cell"]), 1)
        if not counts.any():
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejects.items())
            positions = ", ".join(str(source.root) for source in self.sources)
            # a file server may have been away, or an option wrong: the next run looks again, under any options
            shutil.rmtree(self.folder.spool)
            self.folder.state.unlink()
            notes = "".join(f"; {note}" for note in notes_of(catalogue, rejects, self.sources, decided["images"]))
            if refused := list(falling(letters.refused))[:_MOST_NAMED]:
                notes += f"; the profile {rules.profile.name} refuses {named(refused)}{remedy(refused)}"
            raise SourceError(
                f"no image of {positions} can be used: {reasons}{notes}; {out / REJECTS_NAME} says why for each"
            )
        placed = self.folder.spool / PLACED_NAME
        plan = assign(spools, counts, duplicates, self.options.samples_per_shard, placed, self.folder.members)
        packed = self._pack(workers, plan, catalogue, bool(rules.classes))
        self.still_ours()
        remove_other_shards(out, {shard.info.name for shard in packed})
        index = _index_of(out, self.options, plan, packed, catalogue, rules, rejects, copies, decided)
        write_index(replace(index, folded=falling(letters.folded), refused_letters=falling(letters.refused)))
        keep_index(self.folder)
        kept = sum(shard.kept for shard in packed)
        notes = notes_of(catalogue, rejects, self.sources, decided["images"])
        return report_of(read_index(out), catalogue, self.folder, notes, kept, False, read_bytes)

    def _open_workers(self, entries: int) -> AbstractContextManager[Workers]:
        """As many as asked for; else one a core, but not for a set that is done before a process has started."""
        return open_workers(self.options.workers or min(usable_cores(), 1 + entries // 1000))

    def _complete(self) -> ShardReport | None:
        """The set where an earlier run has finished it; what is missing of its shards is made again."""
        state = read_state(self.folder)
        if state is None:
            return None
        profile = profile_again(self.options, self.sources, state.options)
        decided = options_of_bytes(self.options, self.sources, profile, split_lists_of(self.options))
        if not holds_shards(self.options.out) and are_other_options(state.options, decided):
            shutil.rmtree(self.folder.spool, ignore_errors=True)
            self.folder.state.unlink()
            return None
        check_same_options(self.options.out, state.options, decided)
        index = restore_index(self.folder)
        if index is None:
            return None
        self.folder.remove_spools()  # of a run that was killed in its last act
        catalogue = open_catalogue(self.folder.own)
        if not catalogue or not self._is_source_of(state, catalogue):
            raise SourceError(
                f"{self.options.out} holds a complete set of another or an older source ({state.entries:,} images "
                "then); name another folder with --out, or delete this one"
            )
        if missing := missing_shards(index):
            with self._open_workers(sum(index.totals.values())) as workers:
                failed = rebuild_shards(self.folder, index, missing, workers, self.report)
            if failed:
                more = f" ({len(failed) - 1:,} more like this)" if len(failed) > 1 else ""
                raise ShardError(f"{next(iter(failed.values()))}{more}")
        kept = len(index.shards) - len(missing)
        notes = notes_of(catalogue, index.rejects, self.sources, decided["images"])
        return report_of(index, catalogue, self.folder, notes, kept, not missing)

    def _is_source_of(self, state: BuildState, catalogue: Catalogue) -> bool:
        """Are the sources, and the images and texts that are looked at, as the earlier run saw them?"""
        return are_as_listed(self.sources, state) and images_seen(self.sources, catalogue) == state.images

    def _list(self) -> tuple[Catalogue, dict]:
        """The catalogue, an earlier run's where the sources are as they were, and the options that shape the bytes."""
        lists = split_lists_of(self.options)
        state, catalogue = read_state(self.folder), open_catalogue(self.folder.own)
        if state and catalogue and self._is_source_of(state, catalogue):
            return catalogue, state.options
        shutil.rmtree(self.folder.spool, ignore_errors=True)
        keep = keeps_given_splits(self.options)
        with resting_collector():
            catalogue = write_catalogue(self.folder.own, self.sources, self.options.seed, self.report, lists, keep)
        profile, why = choose_profile(self.options, self.sources, catalogue)
        decided = options_of_bytes(self.options, self.sources, profile, lists) | {"profile_why": why}
        listing = [source.listing() for source in self.sources]
        roots = [{"root": str(source.root), "layout": source.layout} for source in self.sources]
        seen = images_seen(self.sources, catalogue)
        write_state(self.folder, BuildState(decided, roots, listing, seen, catalogue.entries))
        return catalogue, decided

    def _read(self, workers: Workers, catalogue: Catalogue, rules: Rules) -> tuple[list[Path], int, int, LabelCounts]:
        """Every entry read and checked. Returns the spool files, the samples in them, the bytes read, and what was
        counted of letters."""
        self.folder.spool.mkdir(parents=True, exist_ok=True)
        for left in self.folder.spool.glob(".*.tmp-*"):  # half read by a worker that was killed
            left.unlink()
        size, total = range_size(catalogue.entries), catalogue.entries
        firsts = range(0, total, size)
        spool = self.folder.spool.absolute()
        catalogue = replace(catalogue, folder=catalogue.folder.absolute())
        tasks = (IntakeTask(catalogue, rules, spool, first, min(first + size, total)) for first in firsts)
        done = samples = read_bytes = 0
        reasons: Counter[str] = Counter()
        letters = LabelCounts(Counter(), Counter())
        for result in workers.run(read_range, tasks):
            done, samples, read_bytes = done + result.entries, samples + result.samples, read_bytes + result.read_bytes
            reasons.update(result.rejects)
            letters.folded.update(result.counts.folded)
            letters.refused.update(result.counts.refused)
            self.report(Progress("reading", done, total, read_bytes, dict(reasons)))
            self.still_ours()
        return [Path(spool_path(spool, first)) for first in firsts], samples, read_bytes, letters

    def _pack(self, workers: Workers, plan: Assignment, catalogue: Catalogue, classes: bool) -> list[Packed]:
        out, spool = self.options.out.absolute(), self.folder.spool.absolute()
        size, suffix = range_size(catalogue.entries), "cls" if classes else "txt"
        tasks = (PackTask(out, shard, spool / PLACED_NAME, spool, size, suffix) for shard in plan.shards)
        packed, done, written = [], 0, 0
        for shard in workers.run(pack_shard, tasks):
            packed.append(shard)
            done, written = done + shard.info.samples, written + shard.info.bytes
            self.report(Progress("writing", done, plan.samples, written))
            self.still_ours()
        return packed


def _index_of(
    out: Path,
    options: ShardOptions,
    plan: Assignment,
    packed: list[Packed],
    catalogue: Catalogue,
    rules: Rules,
    rejects: dict[str, int],
    duplicates: dict[str, int],
    decided: dict,
) -> ShardIndex:
    letters: Counter[str] = Counter()
    for shard in packed if not rules.classes else []:
        in_train = shard.info.split == SPLITS[0]
        letters.update(shard.letters if in_train else dict.fromkeys(shard.letters, 0))
    return ShardIndex(
        root=out,
        kind="classes" if rules.classes else "words",
        seed=options.seed,
        profile=rules.profile,
        alphabet={letter: letters[letter] for letter in sorted(letters)},
        classes=rules.classes,
        bucket_edges=plan.bucket_edges,
        shards=tuple(shard.info for shard in packed),
        subsets=catalogue.subsets,
        totals=plan.totals,
        label_lengths={} if rules.classes else plan.label_lengths,
        bucket_samples=plan.bucket_samples,
        rejects=rejects,
        duplicates=duplicates,
        options={**decided, "samples_per_shard": plan.samples_per_shard, "given_splits": catalogue.given_splits},
    )
