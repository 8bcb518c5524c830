"""Local AdamW steps, then an outer step of Nesterov momentum on how far the ranks have come on average.

Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models", 2023. The moments of a rank's
AdamW are its own, so a checkpoint holds those of every rank.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from horovod_ocr.distributed.exchange.base import Groups, MakeOptimizer, load_moments
from horovod_ocr.distributed.exchange.flat import flatten, unflatten_into
from horovod_ocr.distributed.exchange.weight_average import LocalSteps
from horovod_ocr.distributed.world import World

OUTER_LR, OUTER_MOMENTUM = 0.7, 0.9  # the paper's best


class DiLoCo(LocalSteps):
    """See `Exchange`."""

    def __init__(
        self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer, local_steps: int, total_steps: int
    ):
        super().__init__(world, model, groups, make, local_steps, total_steps)
        self.met = torch.zeros_like(flatten(self.parameters))
        """The weights at the last meeting; flat."""
        self.momentum = torch.zeros_like(self.met)
        """Of the outer step; equal on all ranks."""

    @torch.no_grad()
    def begin(self) -> None:
        self.met.copy_(flatten(self.parameters))

    def meet(self) -> None:
        outer_gradient = self.met - self.average(list(self.parameters))
        self.momentum.mul_(OUTER_MOMENTUM).add_(outer_gradient)
        self.met.sub_(outer_gradient.add(self.momentum, alpha=OUTER_MOMENTUM), alpha=OUTER_LR)
        unflatten_into(self.met, self.parameters)

    def own_state(self) -> dict[str, Any]:
        shared = {"momentum": self.momentum} if self.world.is_root else {}
        return {**shared, "optimizer": self.optimizer.state_dict()}

    def load_own_states(self, states: Iterator[dict[str, Any]], count: int) -> None:
        for number, state in enumerate(states):
            if number == 0:
                self.momentum.copy_(state["momentum"])
            if number == self.world.rank % count:
                load_moments(self.optimizer, state["optimizer"])
