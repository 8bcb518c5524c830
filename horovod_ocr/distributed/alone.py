"""A world of one. It needs no engine, so every command runs on a laptop."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.world import GradientSum, World, zero_loss_of


class AloneWorld(World):
    """One rank: every sum is its own values."""

    def sum(self, values: Tensor) -> Tensor:
        return values

    def begin_sum(self, values: Tensor) -> Callable[[], Tensor]:
        return lambda: values

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> None:
        pass

    def broadcast_tensor(self, values: Tensor) -> None:
        pass

    def all_gather(self, values: Tensor) -> Tensor:
        return values

    def all_to_all(self, values: Tensor, counts: Sequence[int], received: Sequence[int]) -> Tensor:
        return values

    def sum_gradients(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> GradientSum:
        return OwnGradients(model, optimizer)

    def explain(self, error: Exception) -> None:
        return None


class OwnGradients:
    """The gradients of a rank alone. See `GradientSum`."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        self.model, self.optimizer = model, optimizer

    def backward_pass(self, is_last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def zero_loss(self) -> Tensor:
        return zero_loss_of(self.model)

    def wait(self) -> None:
        pass

    def step(self) -> None:
        self.optimizer.step()
