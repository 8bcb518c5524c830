"""Gradients travel as products of two thin matrices; what a product leaves out is added to the next gradient.

Vogels, Karimireddy, Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization", 2019. A
hook of torch's does the same, but begins messages in callbacks, whose order may differ between ranks. This one needs
only sums and a broadcast, in one order on all ranks, so both engines have it, and a run resumes bit by bit.

All ranks must come to the same bits, on hosts whose CPUs and numbers of threads differ: what a library may compute in
another order there (a factorization, a product of matrices) is root's, or is computed element by element.

Shapes: R the rank of a product; a gradient is a matrix [n, m], P is [n, R], Q is [m, R].
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer, gradient_of
from horovod_ocr.distributed.exchange.flat import flatten, views_like
from horovod_ocr.distributed.world import World

LEAST_GAIN = 2  # a matrix travels as it is unless its product is this many times smaller
# Elements of a product that a CPU computes at a time: they stay in its cache, and need no second thread
BLOCK = 1 << 15


class PowerSGD(Exchange):
    """One step of the power iteration for each update, begun with the Q of the update before. N ranks take the step
    that one rank would take with the whole batch. See `Exchange`."""

    def __init__(self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer, rank: int):
        """rank: of a product."""
        super().__init__(world, model, groups, make)
        self.numbers = [number for number, weight in enumerate(self.weights) if is_compressed(weight, rank)]
        """Of the weights whose gradients travel as products."""
        self.matrices = [self.weights[number] for number in self.numbers]
        self.others = [weight for weight in self.weights if not is_compressed(weight, rank)]
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
        ps = self.orthonormal(sums[len(others) :])
        qs = self.sum([gradient.T @ p for gradient, p in zip(gradients, ps, strict=True)])
        is_finite = torch.stack([each.isfinite().all() for each in (*sums, *qs)]).all()
        if not is_finite:  # the update is left out, on all ranks, and nothing of it is kept
            for gradient in gradients:
                gradient.fill_(math.nan)
            return
        self.qs = qs
        for gradient, error, p, q in zip(gradients, self.errors, ps, qs, strict=True):
            put_product(gradient, error, p, q, self.world.world_size)

    def sum(self, tensors: list[Tensor]) -> list[Tensor]:
        """Sums over the ranks, in one message. Collective."""
        return views_like(self.world.sum(flatten(tensors)), tensors) if tensors else []

    def orthonormal(self, ps: list[Tensor]) -> list[Tensor]:
        """[n, R] each: an orthonormal basis of the columns, as root computes it. Collective."""
        if not ps:
            return []
        flat = flatten([torch.linalg.qr(p)[0] for p in ps] if self.world.is_root else ps)
        self.world.broadcast_tensor(flat)
        return views_like(flat, ps)

    def own_state(self) -> dict[str, Any]:
        qs = {"qs": dict(zip(self.numbers, self.qs, strict=True))} if self.world.is_root else {}
        return {"errors": dict(zip(self.numbers, self.errors, strict=True)), **qs}

    def load_own_states(self, states: Iterator[dict[str, Any]], count: int) -> None:
        """With another number of ranks, each has an equal part of what all had left out. With another rank of the
        products, the iteration begins anew."""
        ranks = self.world.world_size
        for of_rank, state in enumerate(states):
            share = 1 / ranks if count != ranks else float(of_rank == self.world.rank)
            for number, error, q in zip(self.numbers, self.errors, self.qs, strict=True):
                if share and number in state["errors"]:  # else it travelled as it is
                    error.add_(state["errors"][number].to(error).view_as(error), alpha=share)
                saved = state.get("qs", {}).get(number)
                if saved is not None and saved.shape == q.shape:
                    q.copy_(saved)


def put_product(gradient_nm: Tensor, left_out_nm: Tensor, p_nR: Tensor, q_mR: Tensor, ranks: int) -> None:
    """This rank's gradient becomes p times the transposed q, the sum of all ranks. What an equal share of that lacks of
    its own gradient goes to `left_out_nm`.

    Each product and each sum is rounded on its own, so the bits are the same with any number of threads and on any CPU.
    """
    rows = len(p_nR) if p_nR.is_cuda else max(1, BLOCK // len(q_mR))
    for gradient, left_out, p in zip(
        *(torch.split(each, rows) for each in (gradient_nm, left_out_nm, p_nR)), strict=True
    ):
        product = p[:, :1] * q_mR[:, 0]
        for column in range(1, q_mR.shape[1]):
            product += p[:, column, None] * q_mR[:, column]
        torch.sub(gradient, product, alpha=1 / ranks, out=left_out)
        gradient.copy_(product)


def shares_of_bytes(weights: Sequence[Tensor], rank: int) -> tuple[float, float]:
    """Shares of the elements of all gradients: (those that the ranks sum, those of root's bases)."""
    whole = sum(each.numel() for each in weights)
    shapes = [as_matrix(each).shape for each in weights if is_compressed(each, rank)]
    bases = sum(min(rank, n, m) * n for n, m in shapes)
    products = bases + sum(min(rank, n, m) * m for n, m in shapes)
    return (whole - sum(n * m for n, m in shapes) + products) / whole, bases / whole


def is_compressed(weight: Tensor, rank: int) -> bool:
    """Whether the product of its gradient is much smaller than the gradient."""
    if weight.ndim < 2:
        return False
    n, m = as_matrix(weight).shape
    return LEAST_GAIN * min(rank, n, m) * (n + m) <= n * m


def as_matrix(tensor: Tensor) -> Tensor:
    """A view: the first dimension by all others."""
    return tensor.view(len(tensor), -1)
