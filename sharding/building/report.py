"""What there is to say of a finished build, or of one that found nothing to pack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharding.building.groups import notes_on_groups
from sharding.building.origins import origins_of
from sharding.counts import by_count
from sharding.errors import SourceError
from sharding.format.idx import read_idx, read_sample, record_of
from sharding.format.index import ShardIndex
from sharding.format.script.letters import name_letters, profile_advice
from sharding.format.script.profile import ScriptProfile
from sharding.layouts.entry import Source
from sharding.layouts.find import NAMES_IMAGES
from sharding.packing.left_out import REJECTS_NAME, LeftOut
from sharding.reading.catalogue import Catalogue
from sharding.reading.labels import LabelCounts

_EXAMPLES = 5
_MOST_NAMED = 5  # refused letters


@dataclass(frozen=True)
class ShardReport:
    """What came of a build."""

    index: ShardIndex
    """Of the finished set."""
    entries: int
    """Rows, texts and pictures that the sources hold."""
    subsets: dict[str, int]
    """Entries of each subset, "" for those in none; empty if there are no subsets."""
    given_splits: tuple[int, int]
    """How many usable entries were given a split by the source (or by lists), and how many usable entries there are."""
    kept_shards: int
    """Shards that an earlier run had finished."""
    already_complete: bool
    """The earlier run had finished all of them."""
    notes: tuple[str, ...] = ()
    """What a person should know of how the sources were read."""
    examples: tuple[tuple[str, str], ...] = ()
    """(path, label) of some samples, to compare."""
    read_bytes: int = field(default=0, compare=False)
    """Of source images."""

    @property
    def bytes(self) -> int:
        """Size of all tars."""
        return sum(shard.bytes for shard in self.index.shards)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `shard --json` prints them."""
        index = self.index
        return {
            "root": index.root,
            "kind": index.kind,
            "layout": index.options["layout"],
            "profile": index.profile.name,
            "entries": self.entries,
            "samples": index.counts.totals,
            "rejects": index.counts.rejects,
            "duplicates": index.counts.duplicates,
            "shards": len(index.shards),
            "kept_shards": self.kept_shards,
            "bytes": self.bytes,
            "bucket_edges": index.bucket_edges,
            "alphabet": index.alphabet,
            "classes": index.classes,
            "class_samples": index.counts.class_samples,
            "already_complete": self.already_complete,
            "subsets": self.subsets,
            "notes": self.notes,
            "examples": self.examples,
            "direction": index.profile.direction,
            "profile_why": index.options["profile_why"],
            "folded": index.counts.folded,
            "refused_letters": index.counts.refused_letters,
            "split_by": index.options["split"],
            "group_from": index.options["asked"]["group_from"],
            "given_splits": self.given_splits,
            "read_bytes": self.read_bytes,
        }


def report_of(
    index: ShardIndex,
    catalogue: Catalogue,
    sources: Sequence[Source],
    kept_shards: int,
    already_complete: bool = False,
    read_bytes: int = 0,
) -> ShardReport:
    """The report of a finished set."""
    return ShardReport(
        index=index,
        entries=catalogue.entries,
        subsets=catalogue.count_subsets(),
        given_splits=catalogue.count_given_splits(),
        kept_shards=kept_shards,
        already_complete=already_complete,
        notes=notes_of(catalogue, index.counts.rejects, sources, index.options["asked"]),
        examples=tuple(_examples_of(index)),
        read_bytes=read_bytes,
    )


def nothing_usable(
    out: Path,
    catalogue: Catalogue,
    sources: Sequence[Source],
    profile: ScriptProfile,
    left_out: LeftOut,
    letters: LabelCounts,
    asked: Mapping[str, Any],
) -> SourceError:
    """The error of a build that cannot use any image. asked: see `notes_of`."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.rejects.items())
    roots = ", ".join(str(source.root) for source in sources)
    notes = "".join(f"; {note}" for note in notes_of(catalogue, left_out.rejects, sources, asked))
    if refused := list(by_count(letters.refused))[:_MOST_NAMED]:
        notes += f"; the profile {profile.name} refuses {name_letters(refused)}{profile_advice(refused)}"
    return SourceError(f"no image of {roots} can be used: {reasons}{notes}; {out / REJECTS_NAME} says why for each")


def notes_of(
    catalogue: Catalogue, rejects: Mapping[str, int], sources: Sequence[Source], asked: Mapping[str, Any]
) -> tuple[str, ...]:
    """What a person should know of how the sources were read, of groups, and of the folder in which missing images were
    looked for. asked: options by name, as the index has them."""
    notes, images, pattern = catalogue.notes, asked["images"], asked["group_from"]
    if pattern is not None:
        notes += notes_on_groups(catalogue, pattern)
    missing = rejects.get("missing image", 0)
    if not missing or not all(source.images_are_files for source in sources):
        return notes
    folders = " or ".join(images or str(source.root) for source in sources)
    names_paths = len(sources) == 1 and sources[0].layout in NAMES_IMAGES
    hint = "; --images FOLDER says what the paths of label files are relative to" if names_paths and not images else ""
    were, are = ("1 image was", "is") if missing == 1 else (f"{missing:,} images were", "are")
    return (*notes, f"{were} looked for below {folders}, and {are} not there{hint}")


def _examples_of(index: ShardIndex) -> Iterator[tuple[str, str]]:
    """(path in the source, label in the shard) of the first samples of the set, for a person to compare."""
    records = read_idx(index.idx_path(index.shards[0]))[:_EXAMPLES]
    paths = origins_of(index, [(index.shards[0].name, row) for row in range(len(records))]) or []
    with index.tar_path(index.shards[0]).open("rb") as tar:
        for row, path in enumerate(paths):
            label = read_sample(tar, record_of(records, row))[1].decode()
            yield path, index.classes[int(label)] if index.classes else label
