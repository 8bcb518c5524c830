"""The convolutions of all models.

Shapes: N images, C channels, H height, W width.
"""

from typing import cast

import torch
from torch import Tensor, nn


class ChannelsLastConv2d(nn.Conv2d):
    """A convolution computed with channels last, which is 1.3 times faster on CPUs.

    Its weight and gradient stay contiguous: Horovod refuses to sum tensors that are not.
    """

    def forward(self, x_NCHW: Tensor) -> Tensor:
        weight = self.weight.to(memory_format=torch.channels_last)
        return cast(Tensor, self._conv_forward(x_NCHW, weight, self.bias))


def conv_block(
    inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, stride: int = 1, padding: int = 1
) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        ChannelsLastConv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
