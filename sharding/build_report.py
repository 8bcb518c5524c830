"""What there is to say of a finished build: its numbers, what became of letters, and some samples to compare."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sharding.format.index import ShardIndex, read_idx
from sharding.layouts.entry import Source
from sharding.layouts.find_label_files import LISTED_LAYOUTS
from sharding.reading.catalogue import Catalogue
from sharding.state import BuildFolder

_EXAMPLES = 5
_PATHS_IN_LABEL_FILES = (*LISTED_LAYOUTS, "huggingface", "doctr")  # layouts that --images is for


@dataclass(frozen=True)
class ShardReport:
    """What came of a build.

    entries: rows, texts and pictures that the sources hold. samples: of each split. rejects: reason -> samples.
    duplicates: copies of an image "same split", "across splits", and how many of them were "left out". kept_shards:
    finished by an earlier run. read_bytes: of source images. already_complete: nothing was to do. subsets: entries of
    each, "" for those in none; empty where there is only that. notes: what a person should know of how the sources were
    read. examples: (path, label) of some samples. direction: of the profile. profile_why: why it is this one. folded:
    "ي → ی" -> how often a letter of a label became another, falling. refused_letters: those that the profile does not
    allow, and how often they were met. split_by: the rule of `SplitRule`; group_from: its pattern. given_splits: how
    many entries the source (or lists) gave a split, and out of how many.
    """

    root: Path
    kind: str
    layout: str
    profile: str
    entries: int
    samples: dict[str, int]
    rejects: dict[str, int]
    duplicates: dict[str, int]
    shards: int
    kept_shards: int
    bytes: int
    bucket_edges: tuple[float, ...]
    alphabet: dict[str, int]
    classes: tuple[str, ...]
    already_complete: bool
    subsets: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    direction: str = ""
    profile_why: str = ""
    folded: dict[str, int] = field(default_factory=dict)
    refused_letters: dict[str, int] = field(default_factory=dict)
    split_by: str = "label"
    group_from: str | None = None
    given_splits: tuple[int, int] = (0, 0)
    read_bytes: int = field(default=0, compare=False)


def report_of(
    index: ShardIndex,
    catalogue: Catalogue,
    folder: BuildFolder,
    notes: tuple[str, ...],
    kept_shards: int,
    already_complete: bool,
    read_bytes: int = 0,
) -> ShardReport:
    """What there is to say of a finished set."""
    return ShardReport(
        root=index.root,
        kind=index.kind,
        layout=index.options["layout"],
        profile=index.profile.name,
        entries=catalogue.entries,
        samples=index.totals,
        rejects=index.rejects,
        duplicates=index.duplicates,
        shards=len(index.shards),
        kept_shards=kept_shards,
        bytes=sum(shard.bytes for shard in index.shards),
        bucket_edges=index.bucket_edges,
        alphabet=index.alphabet,
        classes=index.classes,
        already_complete=already_complete,
        subsets=catalogue.count_subsets(),
        notes=notes,
        examples=tuple(_examples_of(index, catalogue, folder)),
        direction=index.profile.direction,
        profile_why=index.options["profile_why"],
        folded=index.folded,
        refused_letters=index.refused_letters,
        split_by=index.options["split"],
        group_from=index.options["group_from"],
        given_splits=catalogue.count_given_splits(),
        read_bytes=read_bytes,
    )


def notes_of(
    catalogue: Catalogue, rejects: Mapping[str, int], sources: Sequence[Source], images: str | None
) -> tuple[str, ...]:
    """What a person should know of how the sources were read; and where images were looked for in vain. images: as in
    `ShardOptions`."""
    missing = rejects.get("missing image", 0)
    if not missing or not all(source.images_are_files for source in sources):
        return catalogue.notes
    positions = " or ".join(images or str(source.root) for source in sources)
    names_paths = len(sources) == 1 and sources[0].layout in _PATHS_IN_LABEL_FILES
    hint = "; --images FOLDER says what the paths of label files are relative to" if names_paths and not images else ""
    were, are = ("1 image was", "is") if missing == 1 else (f"{missing:,} images were", "are")
    return (*catalogue.notes, f"{were} looked for below {positions}, and {are} not there{hint}")


def _examples_of(index: ShardIndex, catalogue: Catalogue, folder: BuildFolder) -> Iterator[tuple[str, str]]:
    """(path in the source, label in the shard) of the first samples of the set: for a person to compare."""
    records = read_idx(index.idx_path(index.shards[0]))[:_EXAMPLES]
    entries = catalogue.pick(np.fromfile(folder.members, "<u4", len(records)).tolist())
    with index.tar_path(index.shards[0]).open("rb") as tar:
        for record, entry in zip(records, entries, strict=True):
            label = os.pread(tar.fileno(), int(record["label_size"]), int(record["label_offset"])).decode()
            path = catalogue.shown(entry).decode("utf-8", "backslashreplace")
            yield path, index.classes[int(label)] if index.classes else label
