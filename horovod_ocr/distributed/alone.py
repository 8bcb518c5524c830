"""A world of one. It needs no engine, so every command runs on a laptop."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from horovod_ocr.distributed.world import World


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

    def reduce_gradients(
        self,
        optimizer: torch.optim.Optimizer,
        named_parameters: Iterator[tuple[str, Tensor]],
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> torch.optim.Optimizer:
        return optimizer

    def explain(self, error: Exception) -> None:
        return None
