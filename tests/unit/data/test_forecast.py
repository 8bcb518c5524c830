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
    ShardSizes,
    forecast_epoch,
    forecast_reads,
    simulate_shards,
    steps_of_run,
)
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import EpochPlan, ShardSlice, Window
from sharding.format.idx import idx_bytes
from sharding.format.index import ShardInfo

GEOMETRY = Geometry(64, (1.0, 2.0, 4.0))


def shards_of(sizes: list[tuple[int, int]]) -> list[ShardInfo]:
    """sizes: (samples, bucket) of each."""
    return [
        ShardInfo(f"train-{number:06d}", "train", bucket, samples, 1000 * samples + 1024, "")
        for number, (samples, bucket) in enumerate(sizes)
    ]


def plan_of(shards: list[ShardInfo], lanes: int, global_batch: int, window: int = 25) -> EpochPlan:
    slices = [ShardSlice(shard.samples, shard.bucket) for shard in shards]
    return EpochPlan(slices, 3, 0, lanes, global_batch, True, window)


def forecast(shards: list[ShardInfo], plan: EpochPlan, world_size: int) -> EpochForecast:
    return forecast_epoch(shards, plan, GEOMETRY, world_size)


def part_bytes(shard: ShardInfo, first_row: int, stop_row: int) -> int:
    return shard.bytes * stop_row // shard.samples - shard.bytes * first_row // shard.samples


@pytest.mark.slow
@settings(max_examples=60)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=12),
    lanes=st.integers(1, 9),
    global_batch=st.integers(1, 20),
    window=st.integers(1, 40),
    data=st.data(),
)
def test_it_is_what_the_plan_does(sizes, lanes, global_batch, window, data):
    world_size = data.draw(st.integers(1, lanes))
    shards = shards_of(sizes)
    plan = plan_of(shards, lanes, global_batch, window)
    foretold = forecast(shards, plan, world_size)
    steps = [[plan.share(step, rank, world_size) for rank in range(world_size)] for step in range(plan.steps)]
    assert foretold.steps == len(steps) and foretold.samples == sum(count for count, _ in sizes)
    for each in foretold.buckets:
        mine = [shares[0].global_samples for shares in steps if shares[0].bucket == each.bucket]
        assert (each.steps, each.samples, each.last_batch) == (len(mine), sum(mine), mine[-1])
        assert each.shards == sum(bucket == each.bucket for _, bucket in sizes)
    full = [shares for shares in steps if shares[0].global_samples == global_batch] or steps
    opened: list[int] = []  # shards, by each rank
    for rank, said in enumerate(foretold.ranks):
        parts = [shares[rank] for shares in steps]
        in_full = [len(shares[rank].rows) for shares in full]
        assert said.samples == sum(len(part.rows) for part in parts)
        assert (said.fewest_in_batch, said.most_in_batch) == (min(in_full), max(in_full))
        assert said.batch_bytes == max(len(p.rows) * 64 * GEOMETRY.width_px(p.bucket) for p in parts)
        numbers = {shard for part in parts for shard in part.shards.tolist()}
        opened += numbers
        seen = [shards[number] for number in numbers]
        idx = sum(idx_bytes(shard.samples) for shard in seen)
        assert said.shards == len(seen) and said.copied_bytes == idx + sum(shard.bytes for shard in seen)
        of_windows = [
            (window, sum(part_bytes(shards[number], *rows) for number, *rows in window.parts))
            for window in plan.windows(rank, world_size)
        ]
        assert said.read_bytes == idx + sum(size for _, size in of_windows)
        assert said.open_bytes == max(
            sum(size for window, size in of_windows if window.first_step <= step <= window.last_step)
            for step in range(plan.steps)
        )
    tars = sum(shard.bytes for shard in shards)
    assert foretold.bytes == tars + sum(idx_bytes(shard.samples) for shard in shards) <= foretold.read_bytes
    assert foretold.read_bytes - sum(idx_bytes(shards[number].samples) for number in opened) == tars


def test_a_shard_in_lanes_of_two_ranks_is_read_once_and_copied_by_both():
    shards = shards_of([(10, 0), (10, 0), (10, 0)])
    foretold = forecast(shards, plan_of(shards, 2, 6), 2)  # the lanes meet inside the middle shard
    assert [rank.shards for rank in foretold.ranks] == [2, 2]
    assert foretold.read_bytes == foretold.bytes + idx_bytes(10)
    assert foretold.copied_bytes == foretold.bytes * 4 // 3


def test_a_window_is_open_from_its_first_step_to_its_last():
    sizes = ShardSizes.of(shards_of([(10, 0), (10, 0), (10, 1)]))
    sizes = sizes._replace(tar_bytes=np.array([100, 55, 10]))
    windows = [
        Window(0, 4, 0, 0, [(0, 0, 5), (1, 9, 10)]),
        Window(0, 2, 1, 0, [(2, 0, 10)]),
        Window(4, 6, 0, 1, [(0, 5, 10)]),
    ]
    read, idx = forecast_reads(windows, sizes, 7), idx_bytes(10)
    part = 55 - 55 * 9 // 10
    assert read.shards == 3 and read.open_bytes == 50 + part + 50
    assert read.read_bytes == 100 + part + 10 + 3 * idx and read.copied_bytes == 165 + 3 * idx
    assert forecast_reads([], sizes, 7) == (0, 0, 0, 0)


def test_orders_are_of_the_lanes_that_a_rank_owns():
    shards = shards_of([(100, 0)] * 40)
    plan = plan_of(shards, 4, 10, window=200)
    held = plan.owners.nbytes + plan.bucket_steps.nbytes
    assert forecast(shards, plan, 1).ranks[0].order_bytes == held + 4 * 200 * 4  # lanes, window, bytes of an int32
    assert [rank.order_bytes for rank in forecast(shards, plan, 4).ranks] == [held + 200 * 4] * 4


@pytest.mark.parametrize("samples", [1, 7, 30_000, 1_234_567])
def test_simulated_shards_hold_every_sample_in_the_classes_of_rendered_words(samples: int):
    shards = simulate_shards(samples)
    assert sum(shard.samples for shard in shards) == samples
    assert all(0 < shard.samples <= 10_000 and shard.bytes == 4_600 * shard.samples for shard in shards)
    assert len({shard.name for shard in shards}) == len(shards)
    per_class = np.bincount([s.bucket for s in shards], [s.samples for s in shards], len(RENDERED_EDGES))
    assert np.abs(per_class - samples * np.array(RENDERED_SAMPLES) / 30_000).max() < 1


def test_the_length_of_a_run():
    assert steps_of_run(700, 10.0, 1500, 40) == 700
    assert steps_of_run(0, 10.0, 1500, 40) == 1500
    assert steps_of_run(0, 2.51, 0, 40) == 101


@pytest.mark.slow
def test_no_torch_is_imported():
    program = "import sys, horovod_ocr.reports.plan; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"
