"""Which device each rank gets, for made-up hosts and GPUs."""

import re
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.data.shared_memory import count_cores
from horovod_ocr.distributed import device, horovod, torch_engine
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.device import (
    RankHardware,
    assign_gpus,
    choose_device,
    choose_precision,
    match_gpus,
    share_of_cores,
)
from horovod_ocr.distributed.gpus import Gpus
from horovod_ocr.errors import ConfigError


def ranks_on(host: str, ranks: int, gpus: int, **of_each) -> list[RankHardware]:
    """Each rank sees all GPUs of its host."""
    seen = Gpus(tuple(range(gpus)), tuple(f"{host}-{number}" for number in range(gpus)))
    return [RankHardware(host, seen, **of_each) for _ in range(ranks)]


def test_each_rank_has_a_gpu_of_its_own():
    ranks = ranks_on("node1", 2, 2) + ranks_on("node2", 1, 1) + ranks_on("node3", 2, 8)
    assert assign_gpus(ranks, "auto") == ([0, 1, 0, 0, 1], None)
    assert assign_gpus(ranks, "cuda") == assign_gpus(ranks, "auto")
    assert assign_gpus(ranks, "cpu") == ([], None)


def test_all_ranks_take_the_cpu_if_one_host_has_too_few_gpus():
    ranks = ranks_on("node1", 1, 1) + ranks_on("node2", 3, 2)
    assert assign_gpus(ranks, "auto") == ([], "ranks on node2: 3, GPUs: 2")
    with pytest.raises(ConfigError, match="needs a GPU for each rank .ranks on node2: 3, GPUs: 2"):
        assign_gpus(ranks, "cuda")


def test_a_launcher_may_show_each_rank_its_gpu_alone():
    """As srun --gpus-per-task does: each is number 0 there."""
    ranks = [RankHardware("node1", Gpus((0,), (f"gpu-{rank}",))) for rank in range(4)]
    assert assign_gpus(ranks, "auto") == ([0, 0, 0, 0], None)
    same = [RankHardware("node1", Gpus((0,), ("gpu-0",))) for rank in range(4)]
    assert assign_gpus(same, "auto") == ([], "ranks on node1: 4, GPUs: 1")


def test_containers_of_one_machine_share_no_gpu():
    ranks = [RankHardware(name, Gpus((0, 1), ("a", "b"))) for name in ("container1", "container2")]
    assert assign_gpus(ranks, "auto") == ([0, 1], None)


def test_a_launcher_may_show_each_rank_the_gpus_near_its_cores():
    """As srun --gpu-bind=closest does, with ranks dealt out over the sockets in turn."""
    near = [Gpus((0, 1, 2, 3), tuple("abcd")), Gpus((0, 1, 2, 3), tuple("efgh"))]
    assert assign_gpus([RankHardware("node1", near[rank % 2]) for rank in range(8)], "auto") == (
        [0, 0, 1, 1, 2, 2, 3, 3],
        None,
    )


@pytest.mark.slow
@given(st.lists(st.lists(st.sampled_from("abcde"), unique=True), max_size=5))
def test_as_many_ranks_have_a_gpu_of_their_own_as_can_have_one(visible):
    owner = match_gpus(visible)
    assert len(set(owner.values())) == len(owner) and all(uuid in visible[rank] for uuid, rank in owner.items())
    most = max(sum(uuid in seen for uuid, seen in zip(order, visible, strict=False)) for order in permutations("abcde"))
    assert len(owner) == most


def test_gpus_without_code_are_passed_over():
    seen = Gpus((1, 3), ("b", "d"))
    assert assign_gpus([RankHardware("node1", seen) for rank in range(2)], "auto") == ([1, 3], None)


def test_a_machine_without_gpus_needs_no_reason_for_the_cpu():
    assert assign_gpus(ranks_on("node1", 3, 0), "auto") == ([], None)
    assert assign_gpus([RankHardware("node1", Gpus(remark="CUDA_VISIBLE_DEVICES="))], "auto") == (
        [],
        "ranks on node1: 1, GPUs: 0 (CUDA_VISIBLE_DEVICES=)",
    )
    with pytest.raises(ConfigError, match="--device cuda needs a GPU for each rank .ranks on node1: 3, GPUs: 0"):
        assign_gpus(ranks_on("node1", 3, 0), "cuda")


@pytest.mark.parametrize("wanted", ["auto", "cuda"])
def test_gpus_that_do_not_work_are_refused_on_every_rank(wanted):
    ranks = [*ranks_on("node1", 1, 1), RankHardware("node2", Gpus(problem="the driver is too old"))]
    with pytest.raises(ConfigError, match="node2: the driver is too old; or train on the CPUs: --device cpu") as raised:
        assign_gpus(ranks, wanted)
    assert raised.value.shown_by == 0
    assert assign_gpus(ranks, "cpu") == ([], None)


@pytest.mark.parametrize("engine", [horovod, torch_engine])
def test_an_engine_without_nccl_is_refused_before_it_waits_for_ever(engine):
    ranks = ranks_on("node1", 1, 1) + ranks_on("node2", 1, 1, gpu_problem=engine.WITHOUT_NCCL)
    expected = f"node2: {engine.WITHOUT_NCCL}; or train on the CPUs: --device cpu"
    with pytest.raises(ConfigError, match=re.escape(expected)) as raised:
        assign_gpus(ranks, "auto")
    assert raised.value.shown_by == 0
    assert assign_gpus(ranks[1:], "auto") == ([0], None), "a rank alone sums nothing"
    few = ranks_on("node1", 2, 1, gpu_problem=engine.WITHOUT_NCCL)
    assert assign_gpus(few, "auto") == ([], "ranks on node1: 2, GPUs: 1")


def test_how_to_repair_an_engine_is_that_engines():
    assert "scripts/build_horovod.sh --nccl" in horovod.WITHOUT_NCCL
    assert "orovod" not in torch_engine.WITHOUT_NCCL


def test_a_world_of_one_takes_its_gpu(monkeypatch):
    taken = []
    monkeypatch.setattr(device, "find_gpus", lambda: Gpus((2,), ("a",)))
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    chosen = choose_device(AloneWorld(), "auto")
    assert (chosen.device, chosen.why_cpu, taken) == (torch.device("cuda", 2), None, [2])


def test_asked_for_the_cpu_no_gpu_is_looked_at(monkeypatch):
    monkeypatch.setattr(device, "find_gpus", lambda: pytest.fail("CUDA takes memory of the GPU"))
    threads = torch.get_num_threads()
    try:
        chosen = choose_device(AloneWorld(), "cpu")
        assert chosen == (torch.device("cpu"), count_cores(), None)
        assert torch.get_num_threads() == count_cores()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("cores", "quota", "shares"),
    [
        ([range(16)] * 4, 16, [4, 4, 4, 4]),
        ([range(0, 8), range(8, 16)], 16, [8, 8]),  # bound by the launcher
        ([range(0, 8), range(4, 12)], 12, [6, 6]),
        ([range(2)] * 3, 2, [1, 1, 1]),
        ([range(64)] * 2, 6, [3, 3]),  # a container's limit
    ],
)
def test_the_cores_of_a_host_are_shared_among_its_ranks(cores, quota, shares):
    ranks = [RankHardware("node1", Gpus(), frozenset(each)) for each in cores]
    ranks.append(RankHardware("node2", Gpus(), frozenset(range(64))))
    assert [share_of_cores(ranks, rank, quota) for rank in range(len(cores))] == shares


def test_all_ranks_compute_in_bf16_or_none(monkeypatch):
    class Two(AloneWorld):
        def gather(self, value):
            return [value, False]

    monkeypatch.setattr(device, "multiplies_bf16", lambda _: True)
    assert choose_precision("auto", torch.device("cpu"), AloneWorld()) == "bf16"
    assert choose_precision("auto", torch.device("cpu"), Two()) == "fp32"
    assert choose_precision("fp64", torch.device("cpu"), Two()) == "fp64"


def test_a_device_that_there_is_not():
    with pytest.raises(ConfigError, match="device is auto, cpu or cuda, not 'gpu'"):
        choose_device(AloneWorld(), "gpu")
