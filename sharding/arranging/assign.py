"""Buckets, the one shuffle, and the sequence of shards: which sample goes into which shard. Arithmetic on arrays, a
part of the set at a time.

placed.bin in the spool folder holds the FACTS of all samples of the set, shard after shard, in the order of their tars.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharding.arranging.duplicates import Duplicates
from sharding.format.splits import SPLITS, shard_name
from sharding.reading.spool import ASPECT_GRID, FACTS, read_spool

_MIN_BUCKET_SAMPLES = 64
_MIN_BUCKET_SHARE = 0.01
_PILE_SAMPLES = 1 << 20  # that are sorted together
_PILE_BYTES = 1 << 20  # of a pile that are held in memory while it fills


@dataclass(frozen=True)
class ShardPlan:
    """One shard to be written."""

    name: str
    """Without suffix, such as `train-000042`."""
    split: str
    """One of SPLITS."""
    bucket: int
    """Position in `Assignment.bucket_edges`."""
    first: int
    """Number of its first sample in the whole set, and in placed.bin."""
    samples: int
    """How many it holds, at least 1."""


@dataclass(frozen=True)
class Assignment:
    """Which samples go into which shards."""

    bucket_edges: tuple[float, ...]
    """Upper width / height of each bucket."""
    bucket_samples: tuple[int, ...]
    """Samples of each bucket, over all splits."""
    totals: dict[str, int]
    """Samples of each split."""
    label_lengths: dict[int, int]
    """Length -> samples."""
    class_samples: dict[str, tuple[int, ...]]
    """Split -> samples of each class; empty for words."""
    samples_per_shard: int
    """Of every shard but the last one of each split and bucket, which may hold fewer."""
    shards: tuple[ShardPlan, ...]
    """By split, then by bucket: the order of their samples in placed.bin."""

    @property
    def samples(self) -> int:
        return sum(self.totals.values())


def assign(
    spools: list[Path],
    counts: NDArray[np.int64],
    duplicates: Duplicates,
    samples_per_shard: int | None,
    placed: Path,
    members: Path,
    class_hashes: Sequence[int] = (),
) -> Assignment:
    """Decide over all spooled samples; fills `placed` (FACTS) and `members` (uint32, the entry of each sample).

    counts: [splits, cells] samples that stay in the set, at least one. class_hashes: `label_hash` of each class; empty
    for words.
    """
    edge_cells = choose_edges(counts.sum(axis=0), of_classes=bool(class_hashes))
    buckets = np.searchsorted(edge_cells, np.arange(counts.shape[1]))  # of each cell
    per_bucket = np.zeros((len(SPLITS), len(edge_cells)), np.int64)
    last = int(edge_cells[-1]) + 1
    for split in range(len(SPLITS)):
        np.add.at(per_bucket[split], buckets[:last], counts[split, :last])
    lengths = np.zeros(0, np.int64)
    of_class = np.zeros((len(SPLITS), len(class_hashes)), np.int64)
    with placed.open("wb") as rows_file, members.open("wb") as members_file:
        for rows in _in_order(spools, buckets, per_bucket, duplicates, placed.parent):
            rows_file.write(rows.tobytes())  # tofile does not report a full disk
            members_file.write(rows["entry"].tobytes())
            seen = np.bincount(rows["length"])
            lengths = np.pad(lengths, (0, max(0, len(seen) - len(lengths))))
            lengths[: len(seen)] += seen
            of_class += count_classes(rows["split"], rows["label_hash"], class_hashes)
    samples_per_shard = samples_per_shard or default_samples_per_shard(int(counts.sum()))
    return Assignment(
        bucket_edges=tuple(ASPECT_GRID[edge_cells].tolist()),
        bucket_samples=tuple(per_bucket.sum(axis=0).tolist()),
        totals=dict(zip(SPLITS, per_bucket.sum(axis=1).tolist(), strict=True)),
        label_lengths={length: count for length, count in enumerate(lengths.tolist()) if count},
        class_samples=by_split(of_class),
        samples_per_shard=samples_per_shard,
        shards=tuple(_plan_shards(per_bucket, samples_per_shard)),
    )


def count_classes(splits: NDArray[Any], label_hashes: NDArray[Any], class_hashes: Sequence[int]) -> NDArray[np.int64]:
    """[splits, classes] samples, from the split and the `label_hash` of each sample; [splits, 0] for words."""
    counts = np.zeros((len(SPLITS), len(class_hashes)), np.int64)
    if class_hashes:
        hashes = np.array(class_hashes, np.uint64)
        ascending = np.argsort(hashes)
        classes = ascending[np.searchsorted(hashes, label_hashes, sorter=ascending)]
        np.add.at(counts, (splits, classes), 1)
    return counts


def by_split(classes: NDArray[np.int64]) -> dict[str, tuple[int, ...]]:
    """[splits, classes] samples as `SetCounts.class_samples` holds them."""
    return dict(zip(SPLITS, map(tuple, classes.tolist()), strict=True)) if classes.size else {}


def choose_edges(cells: NDArray[np.int64], of_classes: bool) -> NDArray[np.int64]:
    """The last cell of the aspect grid in each bucket, ascending, from the [cells] samples of all splits.

    Classes get one bucket: in training, images of any shape are stretched to one. Words get steps of 1.25 on a fixed
    grid, so that bounds mean the same in every set. From narrow to wide, a bucket of fewer than 1 % of all samples (or
    64) is merged into the next wider one.
    """
    last = int(np.flatnonzero(cells)[-1])
    if of_classes:
        return np.array([last])
    needed = max(_MIN_BUCKET_SHARE * int(cells.sum()), _MIN_BUCKET_SAMPLES)
    edges, held = [], 0
    for cell in range(last + 1):
        held += int(cells[cell])
        if held >= needed or cell == last:
            edges.append(cell)
            held = 0
    return np.array(edges)


def default_samples_per_shard(samples: int) -> int:
    """10,000 for large sets; small ones get about 64 shards, of at least 100 samples."""
    return min(max(samples // 64, 100), 10_000)


def _plan_shards(per_bucket: NDArray[np.int64], samples_per_shard: int) -> Iterator[ShardPlan]:
    """A shard holds one split and one bucket; every one but the last of a split and bucket has exactly
    samples_per_shard. Its name says only the split and a number."""
    first = 0
    for split, counts in zip(SPLITS, per_bucket.tolist(), strict=True):
        number = 0
        for bucket, count in enumerate(counts):
            for start in range(0, count, samples_per_shard):
                samples = min(samples_per_shard, count - start)
                yield ShardPlan(shard_name(split, number), split, bucket, first, samples)
                number += 1
                first += samples


def _in_order(
    spools: Iterable[Path],
    buckets: NDArray[np.intp],
    per_bucket: NDArray[np.int64],
    duplicates: Duplicates,
    folder: Path,
) -> Iterator[NDArray[np.void]]:
    """The FACTS of all samples that stay, by split, bucket and order. They are first dealt into piles on disk, each
    small enough to be sorted in memory, so that memory does not grow with the set."""
    piles_of_group = np.maximum(1, -(-per_bucket // _PILE_SAMPLES)).ravel()  # piles of each split and bucket
    firsts = np.cumsum(piles_of_group) - piles_of_group
    with ExitStack() as stack:
        piles = [
            stack.enter_context(SpooledTemporaryFile(_PILE_BYTES, dir=os.fspath(folder)))
            for _ in range(int(piles_of_group.sum()))
        ]
        for spool in spools:
            rows = duplicates.without(read_spool(spool).facts)
            if not len(rows):
                continue
            group = rows["split"].astype(np.int64) * per_bucket.shape[1] + buckets[rows["cell"]]
            # the upper half of the order, as a fraction of 1, times the number of piles
            within = (rows["order"] >> np.uint64(32)) * piles_of_group[group].astype(np.uint64) >> np.uint64(32)
            pile = firsts[group] + within.astype(np.int64)
            by_pile = np.argsort(pile, kind="stable")
            rows, pile = rows[by_pile], pile[by_pile]
            starts = np.flatnonzero(np.diff(pile, prepend=-1))
            for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
                piles[pile[start]].write(rows[start:end].tobytes())
        for file in piles:
            file.seek(0)
            rows = np.frombuffer(file.read(), FACTS)
            file.close()
            yield rows[np.lexsort((rows["digest"], rows["order"]))]
