"""BatchNorm with the statistics of the global batch, so that 1 x 24 and 3 x 8 samples give the same update.

Horovod's own SyncBatchNorm needs a GPU; this one needs only a sum over the ranks, which is passed in. A rank waits for
the others once in each layer's forward pass, and once in its backward pass.
Ioffe and Szegedy, "Batch Normalization", 2015.

Shapes: N images, C channels, H height, W width, R ranks.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

SumOverRanks = Callable[[Tensor], Tensor]

ModelT = TypeVar("ModelT", bound=nn.Module)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over all ranks in training, and over one rank's batch in evaluation. A rank's share may be empty."""

    sum_over_ranks: SumOverRanks
    """Of a tensor: its sum over all ranks, equal on all of them. Every rank must call it."""
    rank: int
    world_size: int
    momentum: float
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """In training, every rank must call this."""
        if not self.training:
            return super().forward(x_NCHW)
        with torch.no_grad():
            rows_RS = x_NCHW.new_zeros(
                (self.world_size, 1 + 2 * self.num_features), dtype=torch.promote_types(x_NCHW.dtype, torch.float32)
            )
            rows_RS[self.rank] = statistics_of(x_NCHW)
            # the other rows are zeros here, so the sum holds each rank's row unchanged
            count, mean_C, variance_C = combine_statistics(self.sum_over_ranks(rows_RS))
            self.num_batches_tracked.add_(1)
            momentum = self.momentum * count.clamp(max=1)  # 0 if all shares are empty: nothing is learnt then
            self.running_mean.lerp_(mean_C, momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1).clamp(min=1)), momentum)
        normalised = NormaliseOverRanks.apply(  # type: ignore[no-untyped-call]
            x_NCHW, self.weight, self.bias, mean_C, variance_C, count, self.eps, self.sum_over_ranks
        )
        return cast(Tensor, normalised)


class NormaliseOverRanks(torch.autograd.Function):
    """BatchNorm by the mean and variance of all ranks' values. The gradient of x accounts for that dependency.

    The gradients of weight and bias are this rank's own, like those of any parameter.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_NCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        mean_C: Tensor,
        variance_C: Tensor,
        count: Tensor,
        eps: float,
        sum_over_ranks: SumOverRanks,
    ) -> Tensor:
        ctx.save_for_backward(x_NCHW, weight_C, mean_C, torch.rsqrt(variance_C + eps), count)
        ctx.sum_over_ranks = sum_over_ranks
        return functional.batch_norm(x_NCHW, mean_C, variance_C, weight_C, bias_C, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_NCHW: Tensor) -> tuple[Tensor | None, ...]:
        x_NCHW, weight_C, mean_C, scale_C, count = ctx.saved_tensors
        gradient = gradient_NCHW.to(mean_C.dtype)
        centred = x_NCHW - mean_C[:, None, None]
        of_bias_C, of_weight_C = gradient.sum((0, 2, 3)), (gradient * centred).sum((0, 2, 3)) * scale_C
        sums_2C = ctx.sum_over_ranks(torch.cat([of_bias_C, of_weight_C])) / count.clamp(min=1)
        by_mean_C, by_variance_C = sums_2C.chunk(2)
        by_statistics = torch.addcmul(by_mean_C[:, None, None], centred, (by_variance_C * scale_C)[:, None, None])
        of_x = gradient.sub(by_statistics).mul_((weight_C * scale_C)[:, None, None])
        return of_x.to(x_NCHW.dtype), of_weight_C, of_bias_C, None, None, None, None, None


def statistics_of(x_NCHW: Tensor) -> Tensor:
    """(1 + 2C): the number of values in a channel, then each channel's mean, then its sum of squared deviations."""
    x = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
    count = x.shape[0] * x.shape[2] * x.shape[3]
    if not count:
        return x.new_zeros(1 + 2 * x.shape[1])
    mean_C = x.mean((0, 2, 3))  # torch.var_mean would take four times as long on CPUs
    squares_C = (x - mean_C[:, None, None]).square_().sum((0, 2, 3))
    return torch.cat([x.new_full((1,), count), mean_C, squares_C])


def combine_statistics(rows_RS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of `statistics_of` to the count (0-dim), mean_C and variance_C of the values of all ranks.

    A large mean costs no digits: Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance", 1983.
    """
    channels = rows_RS.shape[1] // 2
    counts_R1, means_RC, squares_RC = torch.split(rows_RS, [1, channels, channels], dim=1)
    count = counts_R1.sum()
    counted = count.clamp(min=1)
    mean_C = (counts_R1 * means_RC).sum(0) / counted
    variance_C = (squares_RC + counts_R1 * (means_RC - mean_C).square()).sum(0) / counted
    return count, mean_C, variance_C


def synchronise_batchnorm(model: ModelT, sum_over_ranks: SumOverRanks, rank: int, world_size: int) -> ModelT:
    """Make every BatchNorm2d of `model` normalise over all ranks, in place; the state dict keeps its keys.

    sum_over_ranks: see `SyncBatchNorm2d`; no gradient flows through it.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
            synchronised = cast(SyncBatchNorm2d, module)
            synchronised.sum_over_ranks = sum_over_ranks
            synchronised.rank, synchronised.world_size = rank, world_size
    return model


def average_statistics(model: nn.Module, sum_over_ranks: SumOverRanks, world_size: int) -> None:
    """Replace the running means and variances, which are local to a rank, by their mean over the ranks.

    Every rank must call this.
    """
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if world_size == 1 or not buffers:
        return
    flat = sum_over_ranks(torch.cat([buffer.flatten() for buffer in buffers])) / world_size
    means = torch.split(flat, [buffer.numel() for buffer in buffers])
    for buffer, mean in zip(buffers, means, strict=True):
        buffer.copy_(mean.view_as(buffer))
