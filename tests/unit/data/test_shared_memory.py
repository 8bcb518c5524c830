"""What loader workers need of /dev/shm: never less than what their batches take, counted batch by batch."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.data import shared_memory
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import EpochPlan, ShardSlice
from horovod_ocr.data.shared_memory import (
    MOST_WORKERS,
    PAGE_BYTES,
    choose_workers,
    count_cores,
    free_shared_bytes,
    largest_batch_bytes,
    quota_of_cores,
    shared_bytes_needed,
    shortage,
    workers_with_room,
)
from sharding.format.index import ShardInfo

MB = 1_000_000
GEOMETRY = Geometry(32, (1.0, 2.0, 8.0))
shard_lists = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2)), min_size=1, max_size=6).filter(
    lambda shards: any(samples for samples, _ in shards)
)


@pytest.mark.slow
@given(shard_lists, st.integers(1, 9), st.integers(1, 70), st.integers(1, 3))
def test_no_batch_of_any_rank_is_larger(listed, lanes, global_batch, world_size):
    world_size = min(world_size, lanes)
    shards = [ShardInfo(f"s{n}", "train", number, samples, 0, "") for n, (samples, number) in enumerate(listed)]
    plan = EpochPlan([ShardSlice(samples, number) for samples, number in listed], 3, 0, lanes, global_batch)
    shares = [plan.share(step, rank, world_size) for step in range(plan.steps) for rank in range(world_size)]
    pages = [
        -(-len(share.rows) * 32 * GEOMETRY.width_px(share.bucket) // PAGE_BYTES) + -(-len(share.rows) * 8 // PAGE_BYTES)
        for share in shares
    ]
    assert largest_batch_bytes(shards, GEOMETRY, lanes, global_batch, world_size) == PAGE_BYTES * max(pages)


def test_each_worker_makes_two_batches_ahead_and_the_rank_holds_two():
    assert shared_bytes_needed(10 * MB, workers=2, ranks=1) == 60 * MB
    assert shared_bytes_needed(10 * MB, workers=4, ranks=3) == 300 * MB
    assert shared_bytes_needed(10 * MB, workers=0, ranks=3) == 0


def test_a_shortage_is_a_sentence_with_its_numbers():
    assert shortage(10 * MB, 2, 1, 60 * MB) is None
    assert shortage(10 * MB, 2, 1, None) is None  # no /dev/shm: not this system's way
    assert shortage(10 * MB, 2, 1, 60 * MB - 1) == (
        "/dev/shm has 60.0 MB free, and 2 loader workers need up to 60.0 MB of it (6 batches of 10.0 MB); give the "
        "container more (docker run --shm-size=128m), or as root: mount -o remount,size=128m /dev/shm; or do without "
        "workers: --set workers=0"
    )
    assert "4 loader workers of each of 3 ranks need up to 300.0 MB of it (30 batches" in shortage(10 * MB, 4, 3, MB)


@pytest.mark.parametrize(("cores", "workers"), [(0, 1), (1, 1), (2, 1), (4, 3), (16, MOST_WORKERS), (28, MOST_WORKERS)])
def test_without_a_number_workers_take_the_cores_that_are_left_beside_a_gpu(cores, workers):
    assert choose_workers(-1, True, cores) == workers
    assert choose_workers(-1, False, cores) == 0, "without a GPU the model computes on these cores"
    assert choose_workers(0, True, cores) == 0
    assert choose_workers(30, False, cores) == choose_workers(30, True, cores, 2, 10 * MB, MB) == 30


@pytest.mark.parametrize(("text", "cores"), [("200000 100000", 2), ("50000 100000", 1), ("250000 100000", 2)])
def test_a_container_may_have_less_time_than_cores(tmp_path, monkeypatch, text, cores):
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    monkeypatch.setattr(shared_memory, "QUOTA", tmp_path / "cpu.max")
    assert quota_of_cores() == cores and count_cores() == min(cores, len(os.sched_getaffinity(0)))
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert quota_of_cores() == os.cpu_count()
    (tmp_path / "cpu.max").unlink()
    assert quota_of_cores() == os.cpu_count()


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 20 * MB), st.integers(0, 2000 * MB))
def test_no_more_workers_are_chosen_than_half_of_the_shared_memory_has_room_for(cores, ranks, batch_bytes, free_bytes):
    chosen = choose_workers(-1, True, cores, ranks, batch_bytes, free_bytes)
    most = choose_workers(-1, True, cores, ranks)
    assert 1 <= chosen <= most
    assert chosen == 1 or shared_bytes_needed(batch_bytes, chosen, ranks) <= free_bytes / 2
    assert chosen == most or shared_bytes_needed(batch_bytes, chosen + 1, ranks) > free_bytes / 2


def test_room_without_limits():
    assert workers_with_room(MB, 2, None) == workers_with_room(0, 2, 10) == MOST_WORKERS
    assert workers_with_room(MB, 2, -10) == 0


def test_what_is_free_is_asked_of_the_system(tmp_path, monkeypatch):
    usage = os.statvfs("/dev/shm")
    assert free_shared_bytes() <= usage.f_blocks * usage.f_frsize
    monkeypatch.setattr(shared_memory, "SHARED", tmp_path / "none")
    assert free_shared_bytes() is None


@pytest.mark.parametrize("kind", ["images", "numbers"])
def test_a_tensor_takes_whole_pages(kind):
    shards = [ShardInfo("s", "train", 0, 1, 0, "")]
    size = largest_batch_bytes(shards, Geometry(8, (1.0,)), 1, 1, 1)
    assert size == 2 * PAGE_BYTES  # one for an image of 64 bytes, one for its number
