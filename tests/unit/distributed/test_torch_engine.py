"""torch.distributed without other ranks: what its errors become, and what is missing."""

import pytest
import torch.distributed as dist

from horovod_ocr.distributed import torch_engine
from horovod_ocr.distributed.launcher import Meeting
from horovod_ocr.distributed.torch_engine import TorchWorld, init_torch
from horovod_ocr.errors import ClusterError

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
