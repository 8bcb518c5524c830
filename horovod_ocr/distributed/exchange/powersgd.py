"""Gradients travel as products of two thin matrices; what a product leaves out is added to the next gradient.

Vogels, Karimireddy, Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization", 2019. A
hook of torch's does the same, but begins messages in callbacks, whose order may differ between ranks. This one needs
only sums, so both engines have it, and a run resumes bit by bit.

Shapes: R the rank of a product; a gradient is a matrix [n, m], P is [n, R], Q is [m, R].
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer, gradient_of
from horovod_ocr.distributed.exchange.flat import flatten, views_like
from horovod_ocr.distributed.world import World

LEAST_GAIN = 2  # a matrix travels as it is unless its product is this many times smaller


class PowerSGD(Exchange):
    """One step of the power iteration for each update, begun with the Q of the update before. All ranks together give
    the weights of a rank alone. See `Exchange`."""

    def __init__(self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer, rank: int):
        """rank: of a product."""
        super().__init__(world, model, groups, make)
        self.matrices = [weight for weight in self.weights if is_compressed(weight, rank)]
        compressed = set(map(id, self.matrices))
        self.others = [weight for weight in self.weights if id(weight) not in compressed]
        self.errors = [torch.zeros_like(as_matrix(weight.detach())) for weight in self.matrices]
        """What the products have left out so far: this rank's own."""
        generator = torch.Generator().manual_seed(0)  # the same numbers on every rank
        self.qs = [
            torch.randn(error.shape[1], min(rank, *error.shape), generator=generator).to(error) for error in self.errors
        ]

    def wait(self) -> None:
        gradients = [as_matrix(gradient_of(weight)) for weight in self.matrices]
        for gradient, error in zip(gradients, self.errors, strict=True):
            gradient += error
        others = [gradient_of(weight) for weight in self.others]
        ps = [gradient @ q for gradient, q in zip(gradients, self.qs, strict=True)]
        sums = self.sum([*others, *ps])
        for gradient, summed in zip(others, sums, strict=False):
            gradient.copy_(summed)
        ps = [torch.linalg.qr(p)[0] for p in sums[len(others) :]]
        qs = self.sum([gradient.T @ p for gradient, p in zip(gradients, ps, strict=True)])
        for number, (gradient, p, q) in enumerate(zip(gradients, ps, qs, strict=True)):
            product = p @ q.T
            # not finite: the update is left out, and nothing of it is kept
            is_finite = product.isfinite().all()
            error = gradient - product / self.world.world_size
            self.errors[number] = torch.where(is_finite, error, self.errors[number])
            self.qs[number] = torch.where(is_finite, q, self.qs[number])
            gradient.copy_(product)

    def sum(self, tensors: list[Tensor]) -> list[Tensor]:
        """Sums over the ranks, in one message. Collective."""
        return views_like(self.world.sum(flatten(tensors)), tensors) if tensors else []

    def own_state(self) -> dict[str, Any]:
        return {"errors": self.errors, "qs": self.qs}

    def load_own_state(self, state: dict[str, Any]) -> None:
        for mine, saved in zip([*self.errors, *self.qs], [*state["errors"], *state["qs"]], strict=True):
            mine.copy_(saved)


def share_of_bytes(weights: Sequence[Tensor], rank: int) -> float:
    """Of the elements of all gradients, those that travel."""
    travelling = sum(
        min(rank, *as_matrix(each).shape) * sum(as_matrix(each).shape) if is_compressed(each, rank) else each.numel()
        for each in weights
    )
    return travelling / sum(each.numel() for each in weights)


def is_compressed(weight: Tensor, rank: int) -> bool:
    """Whether the product of its gradient is much smaller than the gradient."""
    if weight.ndim < 2:
        return False
    n, m = as_matrix(weight).shape
    return LEAST_GAIN * min(rank, n, m) * (n + m) <= n * m


def as_matrix(tensor: Tensor) -> Tensor:
    """A view: the first dimension by all others."""
    return tensor.view(len(tensor), -1)
