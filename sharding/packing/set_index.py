"""The index of a set whose shards are packed: the last thing that is written."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sharding.arranging.assign import Assignment
from sharding.counts import by_count
from sharding.format.index import SetCounts, ShardIndex, write_index
from sharding.format.splits import SPLITS
from sharding.packing.left_out import LeftOut
from sharding.packing.pack import Packed
from sharding.reading.catalogue import Catalogue
from sharding.reading.labels import LabelCounts
from sharding.reading.sample_reader import Rules


def write_set_index(
    root: Path,
    assignment: Assignment,
    packed: list[Packed],
    catalogue: Catalogue,
    rules: Rules,
    left_out: LeftOut,
    letters: LabelCounts,
    options: dict[str, Any],
) -> None:
    """Write the index of these shards. options: those that shape the bytes."""
    index = ShardIndex(
        root=root,
        kind="classes" if rules.classes else "words",
        seed=options["asked"]["seed"],
        profile=rules.profile,
        alphabet={} if rules.classes else _alphabet_of(packed),
        classes=rules.classes,
        bucket_edges=assignment.bucket_edges,
        shards=tuple(shard.info for shard in packed),
        subsets=catalogue.subsets,
        counts=SetCounts(
            totals=assignment.totals,
            label_lengths={} if rules.classes else assignment.label_lengths,
            bucket_samples=assignment.bucket_samples,
            class_samples=assignment.class_samples,
            rejects=left_out.rejects,
            duplicates=left_out.duplicates,
            folded=by_count(letters.folded),
            refused_letters=by_count(letters.refused),
        ),
        frames=rules.limits.frames,
        options={
            **options,
            "samples_per_shard": assignment.samples_per_shard,
            "given_splits": catalogue.given_splits,
        },
    )
    write_index(index)


def _alphabet_of(packed: Iterable[Packed]) -> dict[str, int]:
    letters: Counter[str] = Counter()
    for shard in packed:
        in_train = shard.info.split == SPLITS[0]
        letters.update(shard.letters if in_train else dict.fromkeys(shard.letters, 0))
    return {letter: letters[letter] for letter in sorted(letters)}
