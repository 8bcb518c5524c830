"""BatchNorm whose statistics are taken over the global batch, so that 1 x 24 and 3 x 8 samples give the same update.

Horovod's own SyncBatchNorm needs a GPU; this one needs only a differentiable sum over the ranks, which is passed in.
Ioffe and Szegedy, "Batch Normalization", 2015.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

SumOverRanks = Callable[[Tensor], Tensor]


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over all ranks in training, the plain one in evaluation. A rank's share may be empty."""

    sum_over_ranks: SumOverRanks

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_NCHW)
        x = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
        count = x.new_full((1,), x.shape[0] * x.shape[2] * x.shape[3])
        # two sums, not one of squares: the variance about the true mean loses no digits
        total, count = self.sum_over_ranks(torch.cat([x.sum((0, 2, 3)), count])).split([self.num_features, 1])
        counted = count.clamp(min=1)  # all ranks' shares may be empty, and then nothing is learnt
        mean = total / counted
        centred = x - mean[:, None, None]
        variance = self.sum_over_ranks(centred.square().sum((0, 2, 3))) / counted
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            momentum = self.momentum * count.clamp(max=1)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (counted / (counted - 1).clamp(min=1)), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x_NCHW.dtype)


def synchronise_batchnorm(model: nn.Module, sum_over_ranks: SumOverRanks) -> nn.Module:
    """Make every BatchNorm2d of `model` normalise over all ranks, in place; the state dict keeps its keys."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
            module.sum_over_ranks = sum_over_ranks
    return model


def average_statistics(model: nn.Module, sum_over_ranks: SumOverRanks, world_size: int) -> None:
    """Replace the running means and variances, which are local to a rank, by their mean over the ranks. Collective."""
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if world_size == 1 or not buffers:
        return
    flat = sum_over_ranks(torch.cat([buffer.flatten() for buffer in buffers])) / world_size
    for buffer, mean in zip(buffers, flat.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))
