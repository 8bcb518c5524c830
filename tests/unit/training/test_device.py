"""Which device each rank gets, for made-up hosts and GPUs."""

import os
import re

import pytest
import torch

from horovod_ocr.errors import ConfigError
from horovod_ocr.training import device
from horovod_ocr.training.device import Place, assign_gpus, choose_device
from horovod_ocr.training.gpus import Gpus
from horovod_ocr.world import World


def places_on(host: str, ranks: int, gpus: int, **of_place) -> list[Place]:
    """Each rank sees all GPUs of its host."""
    seen = Gpus(tuple(range(gpus)), tuple(f"{host}-{number}" for number in range(gpus)))
    return [Place(host, rank, seen, **of_place) for rank in range(ranks)]


def test_each_rank_has_a_gpu_of_its_own():
    places = places_on("node1", 2, 2) + places_on("node2", 1, 1) + places_on("node3", 2, 8)
    assert assign_gpus(places, "auto") == ([0, 1, 0, 0, 1], "")
    assert assign_gpus(places, "cuda") == assign_gpus(places, "auto")
    assert assign_gpus(places, "cpu") == ([], "")


def test_all_ranks_take_the_cpu_if_one_host_has_too_few_gpus():
    places = places_on("node1", 1, 1) + places_on("node2", 3, 2)
    assert assign_gpus(places, "auto") == ([], "ranks on node2: 3, GPUs: 2")
    with pytest.raises(ConfigError, match="ranks on node2: 3, GPUs: 2; give each rank a GPU"):
        assign_gpus(places, "cuda")


def test_a_launcher_may_show_each_rank_its_gpu_alone():
    """As srun --gpus-per-task does: each is number 0 there."""
    places = [Place("node1", rank, Gpus((0,), (f"gpu-{rank}",))) for rank in range(4)]
    assert assign_gpus(places, "auto") == ([0, 0, 0, 0], "")
    same = [Place("node1", rank, Gpus((0,), ("gpu-0",))) for rank in range(4)]
    assert assign_gpus(same, "auto") == ([], "ranks on node1: 4, GPUs: 1")
    pairs = [Place("node1", rank, Gpus((0, 1), (f"{rank}a", f"{rank}b"))) for rank in range(2)]
    assert assign_gpus(pairs, "auto") == ([0, 1], "")


def test_gpus_without_code_are_passed_over():
    seen = Gpus((1, 3), ("b", "d"))
    assert assign_gpus([Place("node1", rank, seen) for rank in range(2)], "auto") == ([1, 3], "")


def test_a_machine_without_gpus_needs_no_reason_for_the_cpu():
    assert assign_gpus(places_on("node1", 3, 0), "auto") == ([], "")
    assert assign_gpus([Place("node1", 0, Gpus(remark="CUDA_VISIBLE_DEVICES="))], "auto") == (
        [], "ranks on node1: 1, GPUs: 0 (CUDA_VISIBLE_DEVICES=)",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="--device cuda, but ranks on node1: 3, GPUs: 0"):
        assign_gpus(places_on("node1", 3, 0), "cuda")


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_gpus_that_do_not_work_are_refused_on_every_rank(wanted):
    places = [*places_on("node1", 1, 1), Place("node2", 0, Gpus(problem="the driver is too old"))]
    with pytest.raises(ConfigError, match="node2: the driver is too old; or train on the CPUs: --device cpu") as raised:
        assign_gpus(places, wanted)
    assert raised.value.shown_by == 0
    assert assign_gpus(places, "cpu") == ([], "")


def test_a_horovod_without_nccl_is_refused_before_it_waits_for_ever():
    places = places_on("node1", 1, 1) + places_on("node2", 1, 1, can_exchange=False)
    with pytest.raises(ConfigError, match=re.escape("scripts/build_horovod.sh --nccl; or train on the CPUs")):
        assign_gpus(places, "auto")
    assert assign_gpus(places[1:], "auto") == ([0], ""), "a rank alone sums nothing"
    assert assign_gpus(places_on("node1", 2, 1, can_exchange=False), "auto") == ([], "ranks on node1: 2, GPUs: 1")


def test_a_world_of_one_takes_its_gpu(monkeypatch):
    taken = []
    monkeypatch.setattr(device, "find_gpus", lambda: Gpus((2,), ("a",)))
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    assert choose_device(World(), "auto") == (torch.device("cuda", 2), "") and taken == [2]


def test_asked_for_the_cpu_no_gpu_is_looked_at(monkeypatch):
    monkeypatch.setattr(device, "find_gpus", lambda: pytest.fail("CUDA takes memory of the GPU"))
    threads = torch.get_num_threads()
    try:
        assert choose_device(World(), "cpu") == (torch.device("cpu"), "")
        assert torch.get_num_threads() == len(os.sched_getaffinity(0))
    finally:
        torch.set_num_threads(threads)


def test_a_device_that_there_is_not():
    with pytest.raises(ConfigError, match="device is auto, cpu or cuda, not 'gpu'"):
        choose_device(World(), "gpu")
