"""A synchronous parameter server: gradients go to rank 0, which sums them, updates, and sends the weights back.

Li et al., "Scaling Distributed Machine Learning with the Parameter Server", 2014; synchronous as in Chen et al.,
"Revisiting Distributed Synchronous SGD", 2016. With N ranks and S bytes of weights, (N - 1) S go into rank 0 and
(N - 1) S out of it in each step, while a ring moves 2 (N - 1) / N S in and out of every rank.
"""

from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer, gradient_of
from horovod_ocr.distributed.exchange.flat import flatten, unflatten_into, views_like
from horovod_ocr.distributed.world import World


class ParameterServer(Exchange):
    """Rank 0 is the server, and computes as well. Only it has the optimizer's state. See `Exchange`."""

    def __init__(self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer):
        super().__init__(world, model, groups, make)
        self.size = sum(weight.numel() for weight in self.weights)
        self.others = [0, *[self.size] * (world.world_size - 1)]  # elements for, or of, each rank but the server
        if not world.is_root:
            self.parameters = []

    def wait(self) -> None:
        gradients = [gradient_of(weight) for weight in self.weights]
        received = self.send(flatten(gradients), to_server=True)
        if self.world.is_root:
            for theirs in received.view(-1, self.size):
                torch._foreach_add_(gradients, views_like(theirs, gradients))

    def waits_again(self, step: int) -> bool:
        return True

    def norm_of_all(self, norm: Tensor) -> Tensor:
        return self.world.sum(norm)  # it is 0 on the other ranks

    @torch.no_grad()
    def share(self, step: int, samples: int) -> None:
        copies = [flatten(self.weights)] * (self.world.world_size - 1) if self.world.is_root else []
        received = self.send(torch.cat(copies) if copies else self.weights[0].new_empty(0), to_server=False)
        if not self.world.is_root:
            unflatten_into(received, self.weights)

    def send(self, flat: Tensor, to_server: bool) -> Tensor:
        """From the other ranks to the server, or back. Collective."""
        nothing = [0] * self.world.world_size
        server, others = (nothing, self.others) if self.world.is_root else ([self.size, *nothing[1:]], nothing)
        sent, received = (server, others) if to_server else (others, server)
        return self.world.all_to_all(flat[: sum(sent)], sent, received)

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        if self.world.is_root:
            super().load_optimizer_state(state)
