"""A model that sleeps instead of computing, so that the network decides how long a step takes and not the cores.

Its gradients are as large as those of a real model, and come one after the other while its backward runs.
"""

import math
import time
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.training.update import Update

LAYER = 1_000_000  # parameters of a layer, about
FORWARD = 1 / 3  # of a step; backward computes two products where forward computes one


class Sleep(torch.autograd.Function):
    """A layer: forward and backward sleep."""

    @staticmethod
    def forward(context: Any, values: Tensor, weight: Tensor, gradient: Tensor, step_s: float) -> Tensor:
        context.gradient, context.step_s = gradient, step_s
        time.sleep(FORWARD * step_s)
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        time.sleep((1 - FORWARD) * context.step_s)
        return gradients[0], context.gradient.clone(), None, None


class SleepingModel(nn.Module):
    """Square matrices in a row."""

    def __init__(self, parameters: int, step_s: float):
        """parameters: their number, about. step_s: of forward and backward together."""
        super().__init__()
        layers = max(1, round(parameters / LAYER))
        side = max(1, round(math.sqrt(parameters / layers)))
        self.weights = nn.ParameterList([nn.Parameter(torch.zeros(side, side)) for _ in range(layers)])
        # noise: products of constants would become denormal, with which cores take a hundred times as long
        self.register_buffer("gradient", torch.randn(side, side) / side, persistent=False)
        self.step_s = step_s / layers

    def forward(self, values: Tensor) -> Tensor:
        for weight in self.weights:
            values = Sleep.apply(values, weight, self.gradient, self.step_s)  # type: ignore[no-untyped-call]
        return values.sum()


class SleepingGradients:
    """Computes nothing, in the time that it is told; as `Gradients` does it."""

    def __init__(self, model: SleepingModel, update: Update):
        self.model, self.update = model, update
        self.values = torch.zeros(1, device=model.weights[0].device, requires_grad=True)

    def compute(self) -> None:
        self.update.begin()
        around: AbstractContextManager[None] = self.update.exchange.backward_pass(is_last=True)
        with around:
            self.update.exchange.model(self.values).backward()
