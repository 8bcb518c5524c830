"""The plan: exactly once, the same batches for every world size and number of workers, resume as arithmetic."""

from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.plan import EpochPlan, Orders, ShardSlice
from horovod_ocr.data.stream import PlannedSteps

SHARDS = [ShardSlice(n, c) for n, c in [(100, 0), (100, 0), (37, 0), (100, 1), (1, 1), (5, 2), (0, 2), (250, 3)]]
SIZES = [1, 2, 3, 5, 48]


def addresses(share) -> list[tuple[int, int]]:
    return list(zip(share.shards.tolist(), share.rows.tolist(), strict=True))


def everything(shards) -> set[tuple[int, int]]:
    return {(number, row) for number, shard in enumerate(shards) for row in range(shard.samples)}


class PlannedEpochs:
    """What a pipeline's source needs to know of a stream."""

    def __init__(self, shards: list[ShardSlice], options: StreamOptions):
        self.shards, self.options = shards, options
        self.steps = self.plan(0).steps

    def plan(self, epoch: int) -> EpochPlan:
        o = self.options
        return EpochPlan(self.shards, o.seed, epoch, o.lanes, o.global_batch, o.shuffle, o.window)


def shares_of(shards, options, rank, world_size, workers=0, first_step=0, epochs=1) -> list:
    """A rank's shares in the order in which a DataLoader hands out what `workers` processes read."""
    stream = PlannedEpochs(shards, replace(options, rank=rank, world_size=world_size))
    steps = PlannedSteps(stream, first_step, epochs * stream.steps)
    rows = []
    for number in range(max(1, workers)):
        info = SimpleNamespace(id=number, num_workers=workers) if workers else None
        with mock.patch("torch.utils.data.get_worker_info", lambda info=info: info):
            rows.append(list(steps))
    return [row[turn] for turn in range(len(rows[0])) for row in rows if turn < len(row)]


WORDS = StreamOptions("train", seed=7, global_batch=32, window=70)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("world_size", SIZES)
def test_disjoint_and_complete_for_any_world_size_and_workers(world_size, workers):
    seen = []
    for rank in range(world_size):
        shares = shares_of(SHARDS, WORDS, rank, world_size, workers)
        assert [share.step for share in shares] == list(range(EpochPlan(SHARDS, global_batch=32).steps))
        seen += [address for share in shares for address in addresses(share)]
    assert len(seen) == 593
    assert set(seen) == everything(SHARDS)


@pytest.mark.parametrize("world_size", SIZES)
def test_a_batch_holds_the_same_samples_for_every_world_size(world_size):
    alone = EpochPlan(SHARDS, seed=7, global_batch=32)
    for step in range(alone.steps):
        shares = [alone.share(step, rank, world_size) for rank in range(world_size)]
        together = sorted(address for share in shares for address in addresses(share))
        assert together == sorted(addresses(alone.share(step)))
        assert {share.global_samples for share in shares} == {len(together)}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_resume_at_every_step_equals_the_tail(workers):
    """Also in the second epoch, and across its beginning."""
    whole = [addresses(share) for share in shares_of(SHARDS, WORDS, 1, 3, epochs=2)]
    for first_step in range(len(whole) + 1):
        tail = shares_of(SHARDS, WORDS, 1, 3, workers, first_step, epochs=2)
        assert [share.step for share in tail] == list(range(first_step, len(whole)))
        assert [addresses(share) for share in tail] == whole[first_step:]


@st.composite
def runs(draw) -> tuple[list[ShardSlice], StreamOptions]:
    """Shards of none, one or many samples, some larger than a batch; lanes and batches of any size."""
    shard = st.builds(ShardSlice, st.one_of(st.just(1), st.integers(0, 40)), st.integers(0, 3))
    shards = draw(st.lists(shard, min_size=1, max_size=12).filter(lambda all: any(each.samples for each in all)))
    return shards, StreamOptions(
        "train",
        seed=draw(st.integers(0, 2**40)),
        lanes=draw(st.integers(1, 60)),
        global_batch=draw(st.integers(1, 200)),
        window=draw(st.integers(1, 90)),
        shuffle=draw(st.booleans()),
    )


@pytest.mark.slow
@settings(max_examples=60)
@given(run=runs(), data=st.data())
def test_every_sample_once_in_the_same_batches_whatever_the_numbers(run, data):
    """Two epochs; broken off at any step, and gone on with on another number of ranks and workers."""
    shards, options = run
    sizes = st.one_of(st.integers(1, min(6, options.lanes)), st.just(options.lanes))
    worlds = [data.draw(sizes) for _ in range(2)]
    workers = [data.draw(st.integers(0, 8)) for _ in range(2)]
    alone = shares_of(shards, options, 0, 1, epochs=2)
    steps = len(alone) // 2
    broken_at = data.draw(st.integers(0, 2 * steps))
    batches: list[list] = [[] for _ in alone]
    for world_size, count, first_step, last_step in zip(
        worlds, workers, (0, broken_at), (broken_at, 2 * steps), strict=True
    ):
        for rank in range(world_size):
            for share in shares_of(shards, options, rank, world_size, count, first_step, epochs=2):
                if share.step < last_step:
                    assert share.global_samples == len(alone[share.step].rows)
                    assert {shards[number].bucket for number in share.shards} <= {share.bucket}
                    batches[share.step] += addresses(share)
    assert [sorted(batch) for batch in batches] == [sorted(addresses(share)) for share in alone]
    for epoch in (batches[:steps], batches[steps:]):
        seen = [address for batch in epoch for address in batch]
        assert len(seen) == len(set(seen)) and set(seen) == everything(shards)


@pytest.mark.slow
@settings(max_examples=50)
@given(run=runs(), data=st.data())
def test_windows_name_what_each_step_reads(run, data):
    """What a rank reads at a step is in windows of its lanes that are open at that step."""
    shards, o = run
    plan = EpochPlan(shards, o.seed, 1, o.lanes, o.global_batch, o.shuffle, o.window)
    world_size = data.draw(st.integers(1, o.lanes))
    rank = data.draw(st.integers(0, world_size - 1))
    windows = plan.windows(rank, world_size)
    assert [window.first_step for window in windows] == sorted(window.first_step for window in windows)
    for step in range(plan.steps):
        share = plan.share(step, rank, world_size)
        open_now = [w for w in windows if w.first_step <= step <= w.last_step and w.bucket == share.bucket]
        rows = {(shard, row) for w in open_now for shard, first, stop in w.parts for row in range(first, stop)}
        assert set(addresses(share)) <= rows
    mine = [address for step in range(plan.steps) for address in addresses(plan.share(step, rank, world_size))]
    named = [(shard, row) for w in windows for shard, first, stop in w.parts for row in range(first, stop)]
    assert sorted(named) == sorted(mine)
    assert all(window.lane % world_size == rank for window in windows)
    assert all(window.first_step <= window.last_step for window in windows)


def test_shares_differ_by_at_most_one_where_the_ranks_divide_the_lanes():
    plan = EpochPlan([ShardSlice(1000, 0)], global_batch=50, lanes=48)
    for step in range(plan.steps):
        sizes = [len(plan.share(step, rank, 3).rows) for rank in range(3)]
        assert max(sizes) - min(sizes) <= 1


def test_epochs_and_seeds_give_other_orders_and_no_shuffle_keeps_the_order():
    def order(seed, epoch, shuffle=True):
        plan = EpochPlan(SHARDS, seed, epoch, global_batch=32, shuffle=shuffle)
        return [address for step in range(plan.steps) for address in addresses(plan.share(step))]

    assert order(0, 0) != order(0, 1) != order(1, 0)
    assert order(0, 0) == order(0, 0)
    assert order(0, 0, shuffle=False) == order(5, 5, shuffle=False)
    lane_by_lane = EpochPlan([ShardSlice(96, 0)], lanes=48, global_batch=96, shuffle=False).share(0)
    assert sorted(lane_by_lane.rows) == list(range(96))


@pytest.mark.slow
def test_a_window_is_read_in_sequence():
    """Within a lane, samples come from a window of a few shards before the next window begins."""
    plan = EpochPlan([ShardSlice(100, 0)] * 40, lanes=2, global_batch=2, window=400)
    orders = Orders(2, 400)
    offsets = [int(plan.buckets[0].offsets(step, 0, 2, orders)[0]) for step in range(2000)]
    first = int(plan.buckets[0].first_window(np.array(0)))
    assert first == 200  # half a window: the two lanes do not turn to new shards at once
    windows = [-(-(offset + 1 - first) // 400) for offset in offsets]
    assert windows == sorted(windows)
    assert not np.array_equal(offsets, sorted(offsets))


@pytest.mark.slow
@pytest.mark.parametrize("buckets", [1, 9])
def test_an_epochs_order_has_nothing_of_the_shard_sets_order(buckets):
    """Spearman's rank correlation of the position in the set and the place in the epoch."""
    shards = [ShardSlice(40, number * buckets // 3500) for number in range(3500)]
    for seed in range(3):
        plan = EpochPlan(shards, seed, global_batch=256)
        shares = [plan.share(step) for step in range(plan.steps)]
        positions = np.concatenate([40 * share.shards + share.rows for share in shares])
        assert abs(np.corrcoef(positions, np.arange(len(positions)))[0, 1]) < 0.02


def test_every_stretch_of_an_epoch_holds_the_classes_in_their_shares():
    plan = EpochPlan([ShardSlice(6400, 0), ShardSlice(3200, 1), ShardSlice(640, 2)], seed=1, global_batch=64)
    assert list(plan.owners) != sorted(plan.owners) and plan.steps == 160
    for stretch in np.split(plan.owners, 10):
        assert np.abs(np.bincount(stretch, minlength=3) - [10, 5, 1]).max() <= 2


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        EpochPlan([ShardSlice(0, 0)])
    with pytest.raises(ValueError, match="at least 1"):
        EpochPlan(SHARDS, global_batch=0)
    with pytest.raises(ValueError, match="does not fit 2 lanes"):
        EpochPlan(SHARDS, lanes=2).share(0, 2, 3)
