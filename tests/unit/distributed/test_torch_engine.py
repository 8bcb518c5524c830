"""torch.distributed without other ranks: what its errors become, and what is missing."""

from contextlib import suppress

import pytest
import torch
import torch.distributed as dist

from horovod_ocr.distributed import torch_engine
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.launcher import Meeting
from horovod_ocr.distributed.torch_engine import TorchWorld, init_torch
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ClusterError, ConfigError

GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] "
GONE = [
    RuntimeError(f"{GLOO}Connection closed by peer [10.0.0.2]:4711"),
    RuntimeError(f"{GLOO}Read error [10.0.0.2]:4711: Connection reset by peer"),
    RuntimeError(f"{GLOO}writev [10.0.0.2]:1: Broken pipe"),
    dist.DistBackendError("NCCL error: remote process exited or there was a network error, NCCL version 2.27"),
]
OWN_REASONS = [
    RuntimeError(f"{GLOO}Timed out waiting 30000ms for recv operation to complete"),
    dist.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:1234, unhandled cuda error"),
]


@pytest.fixture
def world() -> TorchWorld:
    """A rank whose process group is not there."""
    return TorchWorld.__new__(TorchWorld)


@pytest.mark.parametrize("error", GONE)
def test_where_another_rank_is_gone_a_sentence_says_so(world, error):
    with pytest.raises(ClusterError, match="training stopped because another rank ended.* own message says why"):
        with world.guard("training"):
            raise error


@pytest.mark.parametrize("error", OWN_REASONS)
def test_an_error_of_a_rank_keeps_its_reason(world, error):
    with pytest.raises(ClusterError) as raised, world.guard("training"):
        raise error
    assert str(error) in str(raised.value) and "another rank" not in str(raised.value)


def test_other_errors_pass_as_they_are(world):
    with pytest.raises(RuntimeError, match="^shapes differ$"), world.guard("training"):
        raise RuntimeError("shapes differ")


def test_a_torch_without_its_engine_is_a_sentence_that_names_the_other(monkeypatch):
    monkeypatch.setattr(dist, "is_available", lambda: False)
    with pytest.raises(ClusterError, match=r"is built without torch.distributed; start the ranks with horovodrun"):
        init_torch(Meeting(0, 2, "node1", 4711))


def test_an_address_of_ipv6_is_written_as_in_a_url(monkeypatch):
    met = []

    def refuse(url, rank, world_size):
        met.append(url)
        raise dist.DistNetworkError("nobody there")

    monkeypatch.setattr(torch_engine, "meet", refuse)
    with pytest.raises(ClusterError, match=r"rank 1 of 2 on \S+ did not meet the others at \[fd00::1\], port 4711"):
        init_torch(Meeting(1, 2, "fd00::1", 4711))
    assert met == ["tcp://[fd00::1]:4711"]


@pytest.mark.parametrize(
    "gpus, nccl, backends",
    [(True, True, "cpu:gloo,cuda:nccl"), (True, False, "gloo"), (False, True, "gloo"), (False, False, "gloo")],
)
def test_nccl_is_asked_for_only_where_it_is_there(monkeypatch, gpus, nccl, backends):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setattr(dist, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(
        torch_engine, "rendezvous", lambda url, rank, world_size, timeout: iter([(dist.HashStore(), rank, 2)])
    )
    monkeypatch.setattr(dist, "init_process_group", lambda backends, **of_group: asked.append(backends))
    monkeypatch.setattr(torch_engine.atexit, "register", lambda function: None)
    torch_engine.meet("tcp://node1:4711", 0, 2)
    assert asked == [backends]


@pytest.mark.parametrize(
    ("failure", "gpus", "ends"),
    [
        (None, True, "leaves"),
        (None, False, "leaves"),
        (ClusterError("gone"), False, "leaves"),
        (ClusterError("gone"), True, 4),
        (ConfigError("out of memory"), True, 2),
        (ZeroDivisionError(), True, 1),
        (KeyboardInterrupt(), True, 130),
    ],
)
def test_a_rank_that_has_failed_does_not_wait_for_those_that_wait_for_it(monkeypatch, failure, gpus, ends):
    """NCCL's farewell returns when the ranks of the host say theirs."""
    ended = []
    monkeypatch.setattr(torch_engine, "has_nccl", lambda: gpus)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: ended.append("leaves"))
    monkeypatch.setattr(torch_engine.os, "_exit", ended.append)
    monkeypatch.setattr(World, "failure", None)
    with suppress(type(failure) if failure else ()), AloneWorld().guard("training"):
        if failure:
            raise failure
    torch_engine.leave()
    assert ended == [ends]


def test_ranks_wait_for_each_other_for_minutes_at_the_start_and_then_until_the_watchdog_ends_them(monkeypatch):
    limits = []
    monkeypatch.setattr(
        torch_engine, "rendezvous", lambda url, rank, world_size, timeout: iter([(dist.HashStore(), rank, 2)])
    )
    monkeypatch.setattr(dist, "init_process_group", lambda backends, **of_group: limits.append(of_group["timeout"]))
    monkeypatch.setattr(torch_engine.atexit, "register", lambda function: None)
    monkeypatch.setattr(torch_engine, "TorchWorld", lambda: limits.append("the first word"))
    monkeypatch.setattr(torch_engine, "set_timeout", limits.append)
    init_torch(Meeting(0, 2, "node1", 4711))
    assert limits == [torch_engine.START_TIMEOUT, "the first word", torch_engine.COLLECTIVE_TIMEOUT]


@pytest.mark.parametrize("nccl", [True, False])
def test_a_rank_says_why_its_engine_cannot_sum_on_gpus(monkeypatch, nccl):
    ranks = {"get_rank": 0, "get_world_size": 2, "is_nccl_available": nccl, "all_gather_object": None}
    for name, value in ranks.items():
        monkeypatch.setattr(dist, name, lambda *arguments, value=value: value)
    assert TorchWorld().gpu_problem == (None if nccl else torch_engine.WITHOUT_NCCL)


def test_a_rank_that_ends_before_the_first_word_is_a_sentence(monkeypatch):
    """It has come to the meeting, and is gone when the others first ask it something."""

    def gone(*arguments):
        raise GONE[0]

    monkeypatch.setattr(torch_engine, "meet", lambda url, rank, world_size: None)
    for name, answer in {"get_rank": lambda: 0, "get_world_size": lambda: 2, "all_gather_object": gone}.items():
        monkeypatch.setattr(dist, name, answer)
    with pytest.raises(ClusterError, match=r"rank 0 of 2 on \S+ did not meet the others .*Connection closed by peer"):
        init_torch(Meeting(0, 2, "node1", 4711))
