"""One process for several GPUs, which are made up here."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from horovod_ocr.distributed import data_parallel
from horovod_ocr.distributed.data_parallel import DataParallelWorld, SplitOverGpus, WithAutocast, open_data_parallel
from horovod_ocr.distributed.gpus import Gpus
from horovod_ocr.errors import ConfigError


@pytest.mark.parametrize(
    "gpus, said",
    [
        (Gpus(), r"needs two GPUs or more in one process, which has none; leave --engine out"),
        (Gpus((0,), ("a",)), r"which has 1; leave"),
        (Gpus(remark="CUDA_VISIBLE_DEVICES="), r"which has none \(CUDA_VISIBLE_DEVICES=\); leave"),
        (Gpus(problem="the driver is too old"), r"which has none \(the driver is too old\); leave"),
    ],
)
def test_fewer_than_two_gpus_are_refused(monkeypatch, gpus, said):
    monkeypatch.setattr(data_parallel, "find_gpus", lambda: gpus)
    with pytest.raises(ConfigError, match=said):
        open_data_parallel(1)


@pytest.mark.parametrize("trains", [True, False])
def test_several_ranks_are_refused(trains):
    with pytest.raises(ConfigError, match="for one process, and there are 3; give --engine auto for a rank a GPU"):
        open_data_parallel(3, trains)


def test_what_does_not_train_needs_no_gpus(monkeypatch):
    monkeypatch.setattr(data_parallel, "find_gpus", lambda: pytest.fail("nothing is divided among GPUs"))
    assert open_data_parallel(1, trains=False).world_size == 1


def test_a_model_on_the_cpu_is_refused():
    model = nn.Linear(3, 2)
    with pytest.raises(ConfigError, match="computes on GPUs, not on the CPU; give --device cuda"):
        DataParallelWorld([0, 1]).sum_gradients(model, torch.optim.SGD(model.parameters()), [])


def test_forward_goes_through_all_gpus(monkeypatch):
    monkeypatch.setattr(data_parallel, "find_gpus", lambda: Gpus((1, 3), ("a", "b")))
    world = open_data_parallel(1)
    split = []
    monkeypatch.setattr(SplitOverGpus, "__init__", lambda self, model, gpus: split.append((model, gpus)))
    model, optimizer = MagicMock(), MagicMock()
    model.parameters.return_value = iter([MagicMock(is_cuda=True)])
    sums = world.sum_gradients(model, optimizer, [])
    ((within, gpus),) = split
    assert world.world_size == 1 and gpus == [1, 3] and within.model is model
    assert isinstance(sums.model, SplitOverGpus) and sums.optimizer is optimizer


@pytest.mark.parametrize("shape, dim", [((5, 2, 7), 1), ((2, 7), 0)])
def test_scores_of_all_images_come_back_in_their_order(monkeypatch, shape, dim):
    """(T, N, C) of words, (N, C) of classes; torch alone would put the frames of images end to end."""
    monkeypatch.setattr(data_parallel, "gather", lambda outputs, device, dim: torch.cat(list(outputs), dim))
    parts = [torch.full(shape, float(gpu)) for gpu in range(2)]
    scores = SplitOverGpus(WithAutocast(nn.Identity()), [0, 1]).gather(parts, 0)
    assert torch.equal(scores, torch.cat(parts, dim))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, None])
def test_every_thread_computes_in_the_types_of_the_one_that_called(monkeypatch, dtype):
    """As on GPUs: a thread for each, in which torch has turned on autocast, in another type."""
    model = SplitOverGpus(WithAutocast(nn.Linear(3, 2)), [0, 1])
    images = torch.ones(4, 3)

    def compute(part):
        with torch.autocast("cpu", torch.float16 if dtype == torch.bfloat16 else torch.bfloat16, enabled=bool(dtype)):
            return model.module(part)

    def in_threads(wrapped, images):
        with ThreadPoolExecutor(2) as threads:
            return torch.cat(list(threads.map(compute, images.split(2))))

    monkeypatch.setattr(nn.DataParallel, "forward", in_threads)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=bool(dtype)):
        assert model(images).dtype == (dtype or torch.float32)
