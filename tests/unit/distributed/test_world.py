"""A world of one; and what errors of Horovod, NCCL and CUDA become."""

import io
import sys
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from horovod_ocr.distributed import data_parallel
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.gpus import Gpus
from horovod_ocr.distributed.horovod import HorovodWorld
from horovod_ocr.distributed.open import check_launcher, open_world
from horovod_ocr.errors import ClusterError, ConfigError, OcrError


class HorovodInternalError(RuntimeError):
    """As Horovod's own, which is known by its name: a world of one does not import it."""


OWN_REASONS = [
    HorovodInternalError("ncclCommInitRank failed: unhandled system error (run with NCCL_DEBUG=INFO for details)"),
    HorovodInternalError("cudaEventSynchronize failed: an illegal memory access was encountered"),
    HorovodInternalError("[/src/gloo/unbound_buffer.cc:133] Timed out waiting 30000ms for recv operation"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors might be asynchronous"),
]
OTHERS_REASONS = [
    HorovodInternalError("Horovod has been shut down. This was caused by an exception on one of the ranks or an"),
    HorovodInternalError("[/src/gloo/transport/tcp/pair.cc:598] Connection closed by peer [10.0.0.2]:4711"),
    HorovodInternalError("[/src/gloo/transport/tcp/pair.cc:598] Read error [10.0.0.2]:1: Connection reset by peer"),
    HorovodInternalError("[/src/gloo/transport/tcp/pair.cc:600] writev [10.0.0.2]:1: Broken pipe"),
]


def horovod_world() -> HorovodWorld:
    """One rank whose Horovod is not loaded."""
    return HorovodWorld(MagicMock(**{f"{name}.return_value": 1 for name in ("size", "local_size")}))


def sentence_of(error: Exception) -> str:
    with pytest.raises(OcrError) as raised, horovod_world().guard("training"):
        raise error
    assert raised.value.__cause__ is error
    return str(raised.value)


@pytest.mark.parametrize("error", OWN_REASONS)
def test_an_error_of_a_rank_keeps_its_reason(error):
    sentence = sentence_of(error)
    assert str(error).splitlines()[0] in sentence and "another rank" not in sentence and "\n" not in sentence


@pytest.mark.parametrize("error", OTHERS_REASONS)
def test_where_another_rank_is_gone_its_own_message_says_why(error):
    assert sentence_of(error).endswith("training stopped because another rank ended; its own message says why")


def test_what_nccl_cannot_tell_is_said_with_both_reasons():
    sentence = sentence_of(HorovodInternalError("NCCL async error: remote process exited or there was a network error"))
    assert "stopped because another rank ended" in sentence and "NCCL async error" in sentence


def test_too_little_memory_on_the_gpu_is_a_sentence_with_a_remedy():
    said = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB"
    with pytest.raises(ConfigError) as raised, horovod_world().guard("training"):  # which launch does not start again
        raise torch.OutOfMemoryError(said)
    sentence = str(raised.value)
    assert "CUDA out of memory; give --accumulate 2, or begin a new run with a smaller --global-batch" in sentence


def test_other_errors_pass_as_they_are():
    with pytest.raises(ZeroDivisionError), horovod_world().guard("training"):
        raise ZeroDivisionError


@pytest.mark.parametrize("variable", ["SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_processes_that_were_started_together_and_are_alone_are_refused(monkeypatch, variable):
    for name in ("HOROVOD_RANK", "SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv(variable, "1")
    check_launcher(1)
    monkeypatch.setenv(variable, "4")
    check_launcher(4)
    with pytest.raises(ClusterError, match="4 processes were started, but each of them is alone"):
        check_launcher(1)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    check_launcher(1)  # of a person, in a shell that srun started
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    monkeypatch.setenv("HOROVOD_RANK", "0")  # horovodrun -np 1
    check_launcher(1)


@pytest.mark.parametrize("engine", ["auto", "horovod", "torch", "data-parallel"])
def test_pods_that_were_started_together_and_are_alone_are_refused(monkeypatch, engine):
    """With any engine: three trainings in one folder."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(data_parallel, "find_gpus", lambda: Gpus((0, 1), ("a", "b")))
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "3"), ("MASTER_ADDR", "node1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ClusterError, match="3 processes were started .* each of them is alone.* torchrun --nnodes"):
        open_world(engine)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert open_world(engine).world_size == 1


def test_ranks_of_horovodrun_without_horovod_are_told_what_to_do(monkeypatch):
    monkeypatch.setenv("HOROVOD_RANK", "0")
    monkeypatch.setitem(sys.modules, "horovod.torch", None)  # as if it were not installed
    with pytest.raises(ClusterError, match="Horovod is not in this environment .* make setup; or .* with torchrun"):
        open_world()


def test_an_engine_that_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match="engine is auto, horovod, torch or data-parallel, not 'mpi'"):
        open_world("mpi")


def test_a_process_that_was_started_alone_is_a_world_of_one_whatever_the_engine():
    """horovod-ocr.toml may name one that a team trains with, and `eval` is one process."""
    for engine in ("auto", "horovod", "torch"):
        assert isinstance(open_world(engine), AloneWorld)


class Ranks(AloneWorld):
    """Counts as one of several ranks."""

    def __init__(self, rank: int, world_size: int):
        super().__init__()
        self.rank, self.world_size = rank, world_size


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8, 13])
def test_all_ranks_send_as_many_bytes_as_all_receive(size):
    counts = [[(7 * source + target) % 5 for target in range(size)] for source in range(size)]
    worlds = [Ranks(rank, size) for rank in range(size)]
    for rank, world in enumerate(worlds):
        world.count_sum(12)
        world.count_gather(12)
        world.count_broadcast(12)
        world.count_parts(torch.ones(1), counts[rank], [row[rank] for row in counts])
    sent, received = (sum(getattr(world.traffic, name) for world in worlds) for name in ("sent", "received"))
    parts = sum(sum(row) - row[rank] for rank, row in enumerate(counts))
    assert sent == pytest.approx(received)
    assert sent == pytest.approx(2 * (size - 1) * 12 + size * (size - 1) * 12 + (size - 1) * 12 + 4 * parts)


def test_a_world_of_one_sends_nothing():
    world, values = AloneWorld(), torch.arange(4.0)
    assert torch.equal(world.all_to_all(values, [4], [4]), values) and torch.equal(world.all_gather(values), values)
    world.broadcast_tensor(values)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    sums = world.sum_gradients(model, optimizer, [list(model.parameters())])
    with sums.backward_pass(is_last=True):
        sums.model(torch.ones(1, 3)).sum().backward()
    before = model.bias.detach().clone()
    sums.wait()
    sums.step()
    assert torch.equal(before - 1, model.bias) and sums.optimizer is optimizer
    assert (world.traffic.sent, world.traffic.received) == (0, 0)
