"""What an earlier run has left: a finished set, or a listing that is still right."""

import shutil
from dataclasses import dataclass
from typing import Any

from sharding.building.list_sources import Listing, list_sources
from sharding.building.rebuild import rebuild_shards
from sharding.building.resolve import options_of_bytes, profile_again, split_lists_of
from sharding.building.same_options import are_other_options, check_same_options
from sharding.building.state import (
    BuildFolder,
    BuildState,
    are_as_listed,
    holds_shards,
    images_seen,
    read_state,
    restore_index,
    write_state,
)
from sharding.errors import ShardError, SourceError
from sharding.format.index import ShardIndex, missing_shards
from sharding.layouts.entry import Source
from sharding.options import ShardOptions
from sharding.progress import Report
from sharding.reading.catalogue import Catalogue, open_catalogue
from sharding.system.workers import open_workers_for


@dataclass(frozen=True)
class FinishedSet:
    """A complete set that an earlier run has made."""

    index: ShardIndex
    """Restored from its copy if it was lost."""
    catalogue: Catalogue
    """That of the earlier run; the sources are still as it says."""
    decided: dict[str, Any]
    """As `options_of_bytes` gives them; those of the earlier run are the same."""
    rebuilt: int
    """Shards that were missing and were made again just now."""


def find_finished(
    options: ShardOptions, folder: BuildFolder, sources: list[Source], report: Report
) -> FinishedSet | None:
    """The set if an earlier run has finished it, with what is missing of its shards made again; else None.

    Under the lock of the build. ConfigError if the earlier run had other options, SourceError if it read another
    source.
    """
    state = read_state(folder)
    if state is None:
        return None
    profile = profile_again(options, sources, state.options)
    decided = options_of_bytes(options, sources, profile, split_lists_of(options))
    if not holds_shards(options.out) and are_other_options(state.options, decided):
        folder.forget_reading()
        return None
    check_same_options(options.out, state.options, decided)
    index = restore_index(folder)
    if index is None:
        return None
    folder.remove_spools()  # of a run that was killed in its last act
    catalogue = open_catalogue(folder.own)
    if not catalogue or not _is_unchanged(sources, state, catalogue):
        raise SourceError(
            f"{options.out} holds a complete set of another or an older source ({state.entries:,} images "
            "then); name another folder with --out, or delete this one"
        )
    missing = missing_shards(index)
    if missing:
        with open_workers_for(sum(index.counts.totals.values()), options.workers) as workers:
            failed = rebuild_shards(folder, index, missing, workers, report)
        if failed:
            more = f" ({len(failed) - 1:,} more like this)" if len(failed) > 1 else ""
            raise ShardError(f"{next(iter(failed.values()))}{more}")
    return FinishedSet(index, catalogue, decided, len(missing))


def resume_listing(options: ShardOptions, folder: BuildFolder, sources: list[Source], report: Report) -> Listing:
    """The listing of an earlier run if the sources are as they were; else the sources are listed again."""
    state, catalogue = read_state(folder), open_catalogue(folder.own)
    if state and catalogue and _is_unchanged(sources, state, catalogue):
        return Listing(catalogue, state.options)
    shutil.rmtree(folder.spool, ignore_errors=True)
    catalogue, decided = list_sources(folder.own, sources, options, report)
    marks = [source.listing() for source in sources]
    roots = [{"root": str(source.root), "layout": source.layout} for source in sources]
    seen = images_seen(sources, catalogue)
    write_state(folder, BuildState(decided, roots, marks, seen, catalogue.entries))
    return Listing(catalogue, decided)


def _is_unchanged(sources: list[Source], state: BuildState, catalogue: Catalogue) -> bool:
    """Are the sources, and the images and texts that are compared, as the earlier run saw them?"""
    return are_as_listed(sources, state) and images_seen(sources, catalogue) == state.images
