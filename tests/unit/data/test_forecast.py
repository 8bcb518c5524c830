"""What is foretold of an epoch is what its plan then does, counted step by step."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_ocr.data.forecast import (
    RENDERED_EDGES,
    RENDERED_SAMPLES,
    EpochForecast,
    forecast_epoch,
    reading,
    simulate_shards,
    steps_of_run,
)
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import EpochPlan, ShardSlice, Window
from sharding.index import ShardInfo, idx_bytes

GEOMETRY = Geometry(64, (1.0, 2.0, 4.0))


def shards_of(sizes: list[tuple[int, int]]) -> list[ShardInfo]:
    """sizes: (samples, aspect class) of each."""
    return [
        ShardInfo(f"train-{number:06d}", "train", aspect_class, samples, 1000 * samples + 1024, "")
        for number, (samples, aspect_class) in enumerate(sizes)
    ]


def plan_of(shards: list[ShardInfo], lanes: int, global_batch: int, window_shards: int = 2) -> EpochPlan:
    slices = [ShardSlice(shard.samples, shard.aspect_class) for shard in shards]
    return EpochPlan(slices, 3, 0, lanes, global_batch, True, window_shards)


def forecast(shards: list[ShardInfo], lanes: int, global_batch: int, world_size: int) -> EpochForecast:
    return forecast_epoch(shards, plan_of(shards, lanes, global_batch), GEOMETRY, world_size, 2)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=12),
    lanes=st.integers(1, 9),
    global_batch=st.integers(1, 20),
    data=st.data(),
)
def test_it_is_what_the_plan_does(sizes, lanes, global_batch, data):
    world_size = data.draw(st.integers(1, lanes))
    shards = shards_of(sizes)
    plan, foretold = plan_of(shards, lanes, global_batch), forecast(shards, lanes, global_batch, world_size)
    steps = [[plan.share(step, rank, world_size) for rank in range(world_size)] for step in range(plan.steps)]
    assert foretold.steps == len(steps) and foretold.samples == sum(count for count, _ in sizes)
    for each in foretold.classes:
        mine = [shares[0].global_samples for shares in steps if shares[0].aspect_class == each.aspect_class]
        assert (each.steps, each.samples, each.last_batch) == (len(mine), sum(mine), mine[-1])
        assert each.shards == sum(aspect_class == each.aspect_class for _, aspect_class in sizes)
    full = [shares for shares in steps if shares[0].global_samples == global_batch] or steps
    for rank, said in enumerate(foretold.ranks):
        parts = [shares[rank] for shares in steps]
        in_full = [len(shares[rank].rows) for shares in full]
        assert said.samples == sum(len(part.rows) for part in parts)
        assert (said.fewest_in_batch, said.most_in_batch) == (min(in_full), max(in_full))
        assert said.shards == len({shard for part in parts for shard in part.shards.tolist()})
        assert said.batch_bytes == max(len(p.rows) * 64 * GEOMETRY.width_px(p.aspect_class) for p in parts)
        assert said.open_bytes <= said.read_bytes
    assert foretold.read_bytes >= foretold.bytes == sum(s.bytes + idx_bytes(s.samples) for s in shards)


def test_a_shard_in_lanes_of_two_ranks_is_read_by_both():
    foretold = forecast(shards_of([(10, 0), (10, 0), (10, 0)]), 2, 6, 2)  # the lanes meet inside the middle shard
    assert [rank.shards for rank in foretold.ranks] == [2, 2]
    assert foretold.read_bytes == foretold.bytes * 4 // 3


def test_a_shard_is_read_again_only_where_it_was_closed_between():
    sizes = np.array([100, 1, 10])
    windows = [
        Window(0, 4, 0, 0, np.array([0])),
        Window(0, 2, 0, 1, np.array([2, 0])),
        Window(3, 6, 0, 1, np.array([0, 1])),  # the same lane goes on in the same shard
        Window(9, 9, 0, 3, np.array([0, 2])),
    ]
    assert reading(windows, sizes, 10) == (3, 100 + 1 + 10 + 100 + 10, 110)
    assert reading(windows[:3], sizes, 10) == (3, 111, 110)
    assert reading([], sizes, 10) == (0, 0, 0)


def test_orders_are_of_the_lanes_that_a_rank_owns():
    shards = shards_of([(100, 0)] * 40)
    plan, one = plan_of(shards, 4, 10), forecast(shards, 4, 10, 1).ranks[0]
    held = plan.owners.nbytes + plan.class_steps.nbytes
    assert one.order_bytes == held + 4 * 200 * 4  # lanes, window of two shards, bytes of an int32
    assert [rank.order_bytes for rank in forecast(shards, 4, 10, 4).ranks] == [held + 200 * 4] * 4


@pytest.mark.parametrize("samples", [1, 7, 30_000, 1_234_567])
def test_simulated_shards_hold_every_sample_in_the_classes_of_rendered_words(samples: int):
    shards = simulate_shards(samples)
    assert sum(shard.samples for shard in shards) == samples
    assert all(0 < shard.samples <= 10_000 and shard.bytes == 4_600 * shard.samples for shard in shards)
    assert len({shard.name for shard in shards}) == len(shards)
    per_class = np.bincount([s.aspect_class for s in shards], [s.samples for s in shards], len(RENDERED_EDGES))
    assert np.abs(per_class - samples * np.array(RENDERED_SAMPLES) / 30_000).max() < 1


def test_the_length_of_a_run():
    assert steps_of_run(700, 10.0, 1500, 40) == 700
    assert steps_of_run(0, 10.0, 1500, 40) == 1500
    assert steps_of_run(0, 2.51, 0, 40) == 101


def test_no_torch_is_imported():
    program = "import sys, horovod_ocr.reports.plan; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"
