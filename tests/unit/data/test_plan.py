"""The plan: exactly once, the same batches for every world size and number of workers, resume as arithmetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_ocr.data.plan import EpochPlan, ShardSlice
from horovod_ocr.data.stream import PlannedSteps

SHARDS = [ShardSlice(n, c) for n, c in [(100, 0), (100, 0), (37, 0), (100, 1), (1, 1), (5, 2), (0, 2), (250, 3)]]
SIZES = [1, 2, 3, 5, 48]


def addresses(share) -> list[tuple[int, int]]:
    return list(zip(share.shards.tolist(), share.rows.tolist(), strict=True))


def everything(shards) -> set[tuple[int, int]]:
    return {(number, row) for number, shard in enumerate(shards) for row in range(shard.samples)}


def as_workers_yield(plan, first_step, rank, world_size, workers, monkeypatch) -> list:
    """A rank's shares in the order in which a DataLoader hands out what `workers` processes read."""
    if not workers:
        return list(PlannedSteps(plan, first_step, rank, world_size))
    rows = []
    for number in range(workers):
        info = type("Info", (), {"id": number, "num_workers": workers})
        monkeypatch.setattr("torch.utils.data.get_worker_info", lambda info=info: info)
        rows.append(list(PlannedSteps(plan, first_step, rank, world_size)))
    return [row[turn] for turn in range(len(rows[0])) for row in rows if turn < len(row)]


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("world_size", SIZES)
def test_disjoint_and_complete_for_any_world_size_and_workers(world_size, workers, monkeypatch):
    plan = EpochPlan(SHARDS, seed=7, epoch=2, global_batch=32, window_shards=2)
    seen = []
    for rank in range(world_size):
        shares = as_workers_yield(plan, 0, rank, world_size, workers, monkeypatch)
        assert [share.step for share in shares] == list(range(plan.steps))
        seen += [address for share in shares for address in addresses(share)]
    assert len(seen) == plan.samples == 593
    assert set(seen) == everything(SHARDS)


@pytest.mark.parametrize("world_size", SIZES)
def test_a_batch_holds_the_same_samples_for_every_world_size(world_size):
    alone = EpochPlan(SHARDS, seed=7, global_batch=32)
    for step in range(alone.steps):
        shares = [alone.share(step, rank, world_size) for rank in range(world_size)]
        together = sorted(address for share in shares for address in addresses(share))
        assert together == sorted(addresses(alone.share(step)))
        assert {share.global_samples for share in shares} == {len(together)}


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_resume_at_every_step_equals_the_tail(workers, monkeypatch):
    plan = EpochPlan(SHARDS, seed=3, epoch=1, global_batch=32)
    whole = [addresses(share) for share in as_workers_yield(plan, 0, 1, 3, 0, monkeypatch)]
    for first_step in range(plan.steps + 1):
        tail = as_workers_yield(plan, first_step, 1, 3, workers, monkeypatch)
        assert [addresses(share) for share in tail] == whole[first_step:]


@settings(deadline=None, max_examples=150)
@given(
    shards=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=12).filter(
        lambda shards: any(samples for samples, _ in shards)
    ),
    lanes=st.integers(1, 60),
    global_batch=st.integers(1, 70),
    window_shards=st.integers(1, 5),
    shuffle=st.booleans(),
    data=st.data(),
)
def test_every_sample_once_whatever_the_numbers(shards, lanes, global_batch, window_shards, shuffle, data):
    world_size = data.draw(st.integers(1, lanes))
    shards = [ShardSlice(samples, aspect_class) for samples, aspect_class in shards]
    plan = EpochPlan(shards, 1, 1, lanes, global_batch, shuffle, window_shards)
    seen = []
    for rank in range(world_size):
        cache: dict = {}
        for step in range(plan.steps):
            share = plan.share(step, rank, world_size, cache)
            assert {shards[number].aspect_class for number in share.shards} <= {share.aspect_class}
            seen += addresses(share)
    assert len(seen) == len(set(seen)) and set(seen) == everything(shards)


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


def test_a_window_is_read_in_sequence():
    """Within a lane, samples come from a window of a few shards before the next window begins."""
    plan = EpochPlan([ShardSlice(100, 0)] * 40, lanes=2, global_batch=2, window_shards=4)
    positions = [int(plan.classes[0].positions(step, 0, 2, {})[0]) for step in range(2000)]
    windows = [position // 400 for position in positions]
    assert windows == sorted(windows)
    assert not np.array_equal(positions, sorted(positions))


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match="no samples"):
        EpochPlan([ShardSlice(0, 0)])
    with pytest.raises(ValueError, match="at least 1"):
        EpochPlan(SHARDS, global_batch=0)
    with pytest.raises(ValueError, match="does not fit 2 lanes"):
        EpochPlan(SHARDS, lanes=2).share(0, 2, 3)
