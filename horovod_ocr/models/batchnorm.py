"""BatchNorm whose statistics are taken over the global batch, so that 1 x 24 and 3 x 8 samples give the same update.

Horovod's own SyncBatchNorm needs a GPU; this one needs only a sum over the ranks, which is passed in. A rank waits for
the others once in each layer's forward, and once in its backward.
Ioffe and Szegedy, "Batch Normalization", 2015.

Shapes: N images, C channels, H height, W width, R ranks.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

SumOverRanks = Callable[[Tensor], Tensor]


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over all ranks in training, the plain one in evaluation. A rank's share may be empty."""

    sum_over_ranks: SumOverRanks
    rank: int
    world_size: int

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Collective in training."""
        if not self.training:
            return super().forward(x_NCHW)
        with torch.no_grad():
            rows_RS = x_NCHW.new_zeros(
                (self.world_size, 1 + 2 * self.num_features), dtype=torch.promote_types(x_NCHW.dtype, torch.float32)
            )
            rows_RS[self.rank] = statistics_of(x_NCHW)
            # to zeros, the others add their rows unchanged
            count, mean_C, variance_C = combine_statistics(self.sum_over_ranks(rows_RS))
            self.num_batches_tracked.add_(1)
            momentum = self.momentum * count.clamp(max=1)  # all shares may be empty, and then nothing is learnt
            self.running_mean.lerp_(mean_C, momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1).clamp(min=1)), momentum)
        return NormaliseOverRanks.apply(
            x_NCHW, self.weight, self.bias, mean_C, variance_C, count, self.eps, self.sum_over_ranks
        )


class NormaliseOverRanks(torch.autograd.Function):
    """BatchNorm by the mean and variance of all ranks' values, which depend on the inputs of all ranks.

    The gradients of weight and bias are this rank's own, as those of any parameter.
    """

    @staticmethod
    def forward(ctx, x_NCHW, weight_C, bias_C, mean_C, variance_C, count, eps: float, sum_over_ranks: SumOverRanks):
        ctx.save_for_backward(x_NCHW, weight_C, mean_C, torch.rsqrt(variance_C + eps), count)
        ctx.sum_over_ranks = sum_over_ranks
        return functional.batch_norm(x_NCHW, mean_C, variance_C, weight_C, bias_C, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient_NCHW: Tensor):
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
    """(1 + 2C): how many values a channel has, then each channel's mean, then its sum of squared deviations."""
    x = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
    count = x.shape[0] * x.shape[2] * x.shape[3]
    if not count:
        return x.new_zeros(1 + 2 * x.shape[1])
    mean_C = x.mean((0, 2, 3))  # and not torch.var_mean: four times as slow on CPUs
    squares_C = (x - mean_C[:, None, None]).square_().sum((0, 2, 3))
    return torch.cat([x.new_full((1,), count), mean_C, squares_C])


def combine_statistics(rows_RS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of `statistics_of` -> the count (0-dim), mean_C and variance_C of all values, as if they lay in one row.

    No digits are lost to a large mean: Chan, Golub, LeVeque, "Algorithms for Computing the Sample Variance", 1983.
    """
    channels = rows_RS.shape[1] // 2
    counts_R1, means_RC, squares_RC = rows_RS.split([1, channels, channels], dim=1)
    count = counts_R1.sum()
    counted = count.clamp(min=1)
    mean_C = (counts_R1 * means_RC).sum(0) / counted
    variance_C = (squares_RC + counts_R1 * (means_RC - mean_C).square()).sum(0) / counted
    return count, mean_C, variance_C


def synchronise_batchnorm(model: nn.Module, sum_over_ranks: SumOverRanks, rank: int, world_size: int) -> nn.Module:
    """Make every BatchNorm2d of `model` normalise over all ranks, in place; the state dict keeps its keys.

    sum_over_ranks: of a tensor, equal on all ranks; no gradient goes through it.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
            module.sum_over_ranks, module.rank, module.world_size = sum_over_ranks, rank, world_size
    return model


def average_statistics(model: nn.Module, sum_over_ranks: SumOverRanks, world_size: int) -> None:
    """Replace the running means and variances, which are local to a rank, by their mean over the ranks. Collective."""
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if world_size == 1 or not buffers:
        return
    flat = sum_over_ranks(torch.cat([buffer.flatten() for buffer in buffers])) / world_size
    for buffer, mean in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))
