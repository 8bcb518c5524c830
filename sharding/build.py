"""The build: raw sources -> a shard set, with several workers, resumed after any interruption.

List every entry (catalogue), read and check each image once (intake, into the spool), decide over the set as a whole
(arrange), pack the shards from the spool, write the index last. What is decided depends on the sources and the options
alone, so the bytes are the same for any number of workers, any restart and any order of the source.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from sharding.arranging.arrange import arrange
from sharding.building.list_sources import Listing
from sharding.building.report import ShardReport, nothing_usable, report_of
from sharding.building.resolve import find_sources, rules_of
from sharding.building.resume import find_finished, resume_listing
from sharding.building.state import BuildFolder, keep_index, read_state, remove_left_overs, remove_other_shards
from sharding.errors import ConfigError, ShardError
from sharding.format.index import read_index
from sharding.layouts.entry import Source
from sharding.options import ShardOptions
from sharding.packing.left_out import write_left_out
from sharding.packing.pack import pack_shards
from sharding.packing.set_index import write_set_index
from sharding.progress import Report
from sharding.reading.intake import read_source
from sharding.reading.sample_reader import close_sample_reader
from sharding.system.lock import build_lock
from sharding.system.workers import Workers, killed_workers_named, open_workers_for, prepare_workers


def build_shards(
    options: ShardOptions, report: Report | None = None, tell: Callable[[str], None] | None = None
) -> ShardReport:
    """Read and check every image of `options.source.src`, pack the good ones into shards in `options.out`, and write
    the index last.

    report: called with a Progress now and then. tell: called with a sentence when another build's lock is waited for
    or taken over. Raises ConfigError, SourceError or ShardError with what to do; what is finished by then is kept, and
    the same call resumes from there.
    """
    folder = BuildFolder(options.out, options.scratch)
    sources = find_sources(options, read_state(folder))
    if any(options.out.exists() and source.root.samefile(options.out) for source in sources):
        raise ConfigError(f"{options.out} is a source as well; name another folder with --out")
    folder.make()
    if options.workers != 1:
        prepare_workers(["sharding.reading.intake", "sharding.packing.pack"])  # while the sources are listed
    with build_lock(folder.own / "lock", "horovod-ocr shard", tell) as lock:
        build = _Build(options, folder, sources, lock.check, report or (lambda progress: None))
        try:
            with killed_workers_named("horovod-ocr shard", " (what is finished is kept)"):
                return build.run()
        except OSError as error:
            path = os.fsdecode(error.filename or options.out)
            raise ShardError(
                f"{path}: {error.strerror}; what is finished is kept: fix that, then run the same horovod-ocr "
                "shard again"
            ) from error
        finally:
            close_sample_reader()


@dataclass(frozen=True)
class _Build:
    """One run of a build, under its lock."""

    options: ShardOptions
    """As a person gave them; what is None there is chosen on the way."""
    folder: BuildFolder
    """What it keeps for an interrupted or repeated run."""
    sources: list[Source]
    """At least one, each with the layout that was found or named."""
    check_lock: Callable[[], None]
    """Raises if the lock was lost."""
    report: Report
    """Called with a Progress now and then."""

    def run(self) -> ShardReport:
        if finished := find_finished(self.options, self.folder, self.sources, self.report):
            kept = len(finished.index.shards) - finished.rebuilt
            return report_of(
                finished.index,
                finished.catalogue,
                self.sources,
                kept,
                already_complete=not finished.rebuilt,
            )
        remove_left_overs(self.options.out)
        listing = resume_listing(self.options, self.folder, self.sources, self.report)
        with open_workers_for(listing.catalogue.entries, self.options.workers) as workers:
            return self._make(workers, listing)

    def _make(self, workers: Workers, listing: Listing) -> ShardReport:
        """Everything that follows from the catalogue."""
        (catalogue, decided), options, folder = listing, self.options, self.folder
        rules = rules_of(self.sources, catalogue, decided)
        read = read_source(workers, catalogue, rules, folder.spool, self.report, self.check_lock)
        arranged = arrange(
            read, options.dedup, options.samples_per_shard, folder.spool, folder.members, rules.class_hashes
        )
        left_out = write_left_out(options.out, read.spools, catalogue, arranged.duplicates)
        if arranged.assignment is None:
            folder.forget_reading()  # a file server may have been away, or an option wrong: the next run starts anew
            raise nothing_usable(
                options.out, catalogue, self.sources, rules.profile, left_out, read.letters, decided["asked"]
            )
        suffix = "cls" if rules.classes else "txt"
        packed = pack_shards(
            workers,
            options.out,
            arranged.assignment,
            folder.spool,
            catalogue.entries,
            suffix,
            self.report,
            self.check_lock,
        )
        self.check_lock()
        remove_other_shards(options.out, {shard.info.name for shard in packed})
        write_set_index(options.out, arranged.assignment, packed, catalogue, rules, left_out, read.letters, decided)
        keep_index(folder)
        kept = sum(shard.kept for shard in packed)
        return report_of(read_index(options.out), catalogue, self.sources, kept, read_bytes=read.read_bytes)
