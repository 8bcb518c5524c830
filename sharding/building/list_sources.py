"""Before anything is read: list the sources into a catalogue, and decide what follows from the options."""

from pathlib import Path
from typing import Any, NamedTuple

from sharding.building.resolve import choose_profile, keeps_given_splits, options_of_bytes, split_lists_of
from sharding.layouts.entry import Source
from sharding.options import ShardOptions
from sharding.progress import Report
from sharding.reading.catalogue import Catalogue
from sharding.reading.listing import write_catalogue
from sharding.system.workers import resting_collector


class Listing(NamedTuple):
    """What the sources hold, and what was decided with it."""

    catalogue: Catalogue
    """Every entry, on disk in the build folder."""
    decided: dict[str, Any]
    """The options that shape the bytes (`options_of_bytes`), and why it is this profile."""


def list_sources(folder: Path, sources: list[Source], options: ShardOptions, report: Report) -> Listing:
    """List every entry of the sources into a catalogue in `folder`, and choose the profile by its labels. ConfigError
    or SourceError if that is not possible."""
    lists = split_lists_of(options)
    with resting_collector():
        catalogue = write_catalogue(folder, sources, options.seed, report, lists, keeps_given_splits(options))
    profile, why = choose_profile(options, sources, catalogue)
    return Listing(catalogue, options_of_bytes(options, sources, profile, lists) | {"profile_why": why})
