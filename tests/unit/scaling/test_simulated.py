"""A model that sleeps: its gradients are as large as asked, and come one after the other."""

import time

import pytest
import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.scaling.simulated import SleepingModel
from horovod_ocr.scaling.steps import Steps
from horovod_ocr.scaling.subject import Asleep
from horovod_ocr.scaling.ways import WAYS


@pytest.mark.parametrize("parameters", [1, 1000, 2_500_000])
def test_it_has_as_many_parameters_as_asked(parameters):
    assert sum(p.numel() for p in SleepingModel(parameters, 0.0).parameters()) == pytest.approx(parameters, rel=0.03)


def test_a_step_takes_the_time_that_it_is_told():
    steps = Steps(Asleep(2_000_000, 0.05, 8, torch.device("cpu")), AloneWorld(), WAYS["allreduce"], 4)
    steps.take()
    assert min(steps.take() for _ in range(3)) == pytest.approx(0.06, abs=0.04)
    assert all(weight.grad is not None and weight.grad.norm() > 0 for weight in steps.update.parameters)


def test_gradients_come_while_backward_still_sleeps():
    model, arrived = SleepingModel(3_000_000, 0.06), []
    for weight in model.weights:
        weight.register_post_accumulate_grad_hook(lambda weight: arrived.append(time.perf_counter()))
    model(torch.zeros(1, requires_grad=True)).backward()
    gaps = [later - earlier for earlier, later in zip(arrived, arrived[1:], strict=False)]
    assert len(gaps) == 2 and min(gaps) > 0.012  # each layer sleeps 13 ms of backward
