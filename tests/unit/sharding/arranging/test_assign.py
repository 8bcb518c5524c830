"""Which sample goes into which shard: buckets, the one shuffle, the row of shards."""

import tempfile
from collections import Counter
from itertools import groupby
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.arranging import assign as assign_module
from sharding.arranging.assign import assign, choose_edges, default_samples_per_shard
from sharding.arranging.duplicates import PAIR, Duplicates
from sharding.format.splits import SPLITS
from sharding.reading.spool import ASPECT_GRID, FACTS, read_spool


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40).filter(any))
def test_every_class_has_its_share_but_the_widest_and_none_is_lost(cells):
    counts = np.array(cells)
    assert choose_edges(counts, of_classes=True).tolist() == [np.flatnonzero(counts)[-1]]
    edges = choose_edges(counts, of_classes=False)
    assert (np.diff(edges) > 0).all()
    assert counts[edges[-1] + 1 :].sum() == 0
    held = [part.sum() for part in np.split(counts[: edges[-1] + 1], edges[:-1] + 1)]
    assert sum(held) == counts.sum()
    assert all(count >= max(0.01 * counts.sum(), 64) for count in held[:-1])


def test_small_sets_get_small_shards():
    assert [default_samples_per_shard(n) for n in (1, 500, 30_000, 35_000_000)] == [100, 100, 468, 10_000]


@pytest.mark.slow
@given(
    entries=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([8, 50, 64, 200]), st.booleans()), min_size=1).filter(
        lambda entries: any(stays for _, _, stays in entries)
    ),
    range_size=st.integers(1, 30),
    bucket_samples=st.sampled_from([1, 2, 7, 1 << 20]),
    samples_per_shard=st.sampled_from([None, 1, 3, 50]),
    seed=st.integers(0, 9),
)
@settings(max_examples=80)
def test_every_sample_that_stays_is_placed_once_and_in_order(
    write_spool, entries, range_size, bucket_samples, samples_per_shard, seed
):
    order = np.random.default_rng(seed).integers(0, 2**64, len(entries), np.uint64, endpoint=False)
    gone = np.array([entry for entry, (_, _, stays) in enumerate(entries) if not stays], np.uint32)
    none = np.zeros(0, PAIR)
    with (
        tempfile.TemporaryDirectory() as name,
        patch.object(assign_module, "_PILE_SAMPLES", bucket_samples),
        patch.object(assign_module, "_MIN_BUCKET_SAMPLES", 2),
    ):
        folder = Path(name)
        spools = [
            write_spool(
                folder / f"{first}.spool",
                [{"entry": entry, "split": entries[entry][0], "width": entries[entry][1]} for entry in part],
                order[first : first + range_size],
                first,
            )
            for first in range(0, len(entries), range_size)
            if (part := range(len(entries))[first : first + range_size])
        ]
        facts = np.concatenate([read_spool(spool).facts for spool in spools])
        facts = facts[~np.isin(facts["entry"], gone)]
        counts = np.zeros((3, len(ASPECT_GRID) + 1), np.int64)
        np.add.at(counts, (facts["split"], facts["cell"]), 1)
        plan = assign(
            spools, counts, Duplicates(none, none, gone), samples_per_shard, folder / "placed", folder / "members"
        )
        placed = np.fromfile(folder / "placed", FACTS)
        members = np.fromfile(folder / "members", "<u4")
        assert not list(folder.glob("bucket*"))
    buckets = np.searchsorted(plan.bucket_edges, facts["width"] / facts["height"])
    wanted = facts[np.lexsort((facts["order"], buckets, facts["split"]))]
    assert placed.tobytes() == wanted.tobytes()
    assert members.tolist() == wanted["entry"].tolist()
    assert plan.samples == len(facts) == sum(shard.samples for shard in plan.shards)
    assert plan.totals == {split: int((facts["split"] == position).sum()) for position, split in enumerate(SPLITS)}
    assert plan.bucket_samples == tuple(np.bincount(buckets, minlength=len(plan.bucket_edges)))
    assert plan.label_lengths == Counter(facts["length"].tolist())
    assert plan.samples_per_shard == (samples_per_shard or 100)
    first, numbers = 0, Counter()
    for shard in plan.shards:
        assert shard.first == first
        rows = placed[first : first + shard.samples]
        assert {SPLITS[split] for split in rows["split"]} == {shard.split}
        aspects = rows["width"] / rows["height"]
        assert set(np.searchsorted(plan.bucket_edges, aspects)) == {shard.bucket}
        assert shard.name == f"{shard.split}-{numbers[shard.split]:06d}"
        numbers[shard.split] += 1
        first += shard.samples
    for _, shards in groupby(plan.shards, key=lambda shard: (shard.split, shard.bucket)):
        *full, last = (shard.samples for shard in shards)
        assert set(full) <= {plan.samples_per_shard}
        assert 0 < last <= plan.samples_per_shard
