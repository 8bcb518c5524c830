"""Residual networks for images of classes.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015. Modules are named and computed as in
torchvision, so that its weights load by name: the stride of a bottleneck is in its 3x3 convolution, not in the first
1x1 as in the paper, where it would skip three of four values (known as v1.5).

Shapes: N images, C channels (of scores: outputs), H height, W width.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from horovod_ocr.models.base import Classifier
from horovod_ocr.models.convolution import ChannelsLastConv2d

Norm = nn.BatchNorm2d | nn.GroupNorm
BuildNorm = Callable[[int], Norm]


def group_norm(channels: int) -> nn.GroupNorm:
    """32 groups, or fewer of two channels or more. Wu and He, "Group Normalization", 2018."""
    return nn.GroupNorm(math.gcd(32, channels // 2), channels)


NORMS: dict[str, BuildNorm] = {"batch": nn.BatchNorm2d, "group": group_norm}
STRIDES_PX = {"large": 32, "small": 8}  # of the last blocks, by stem


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> ChannelsLastConv2d:
    return ChannelsLastConv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


class Block(nn.Module):
    """Adds to its input what it computes of it."""

    expansion: ClassVar[int]
    """Channels of its output over those inside."""
    downsample: nn.Module
    """The input as it is added: as it is, or through a 1x1 convolution if the output has another shape."""

    def __init__(self, inputs: int, channels: int, stride: int, build_norm: BuildNorm):
        super().__init__()
        outputs = channels * self.expansion
        self.downsample = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), build_norm(outputs))


class BasicBlock(Block):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, inputs: int, channels: int, stride: int, build_norm: BuildNorm):
        super().__init__(inputs, channels, stride, build_norm)
        self.conv1 = conv(inputs, channels, 3, stride)
        self.bn1 = build_norm(channels)
        self.conv2 = conv(channels, channels, 3)
        self.bn2 = begins_at_zero(build_norm(channels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        inside_NCHW = self.bn1(self.conv1(x_NCHW)).relu_()
        sum_NCHW: Tensor = self.bn2(self.conv2(inside_NCHW)) + self.downsample(x_NCHW)
        return sum_NCHW.relu_()


class Bottleneck(Block):
    """A 3x3 convolution between two of 1x1."""

    expansion = 4

    def __init__(self, inputs: int, channels: int, stride: int, build_norm: BuildNorm):
        super().__init__(inputs, channels, stride, build_norm)
        self.conv1 = conv(inputs, channels, 1)
        self.bn1 = build_norm(channels)
        self.conv2 = conv(channels, channels, 3, stride)
        self.bn2 = build_norm(channels)
        self.conv3 = conv(channels, channels * self.expansion, 1)
        self.bn3 = begins_at_zero(build_norm(channels * self.expansion))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        inside_NCHW = self.bn1(self.conv1(x_NCHW)).relu_()
        inside_NCHW = self.bn2(self.conv2(inside_NCHW)).relu_()
        sum_NCHW: Tensor = self.bn3(self.conv3(inside_NCHW)) + self.downsample(x_NCHW)
        return sum_NCHW.relu_()


def begins_at_zero(norm: Norm) -> Norm:
    """The last norm of a block: a new block adds nothing. Goyal et al., "Accurate, Large Minibatch SGD", 2017."""
    nn.init.zeros_(norm.weight)
    return norm


def build_layer(
    block: type[Block], depth: int, inputs: int, channels: int, stride: int, build_norm: BuildNorm
) -> nn.Sequential:
    """`depth` blocks of `channels` inside; the first one has the stride."""
    first = block(inputs, channels, stride, build_norm)
    others = (block(channels * block.expansion, channels, 1, build_norm) for _ in range(depth - 1))
    return nn.Sequential(first, *others)


class ResNet(Classifier):
    """Images to class scores.

    Args:
        outputs: scores of an image.
        height: image height in pixels.
        channels: of the images: 1, grey, or 3, RGB.
        width: factor for every channel count, which stay multiples of 8.
        norm: batch, or group: statistics of each image alone, for small shares of a batch.
        stem: large: a 7x7 convolution and a pool, which keep a quarter of the height; small: a 3x3 convolution at
            full height, as the paper has it for CIFAR.
        dropout: applied to the features before the head.

    Raises:
        ValueError: there is no such norm or stem, or the images are too low for the stem.
    """

    head_name = "fc"
    block: ClassVar[type[Block]]
    """What it consists of."""
    depths: ClassVar[tuple[int, int, int, int]]
    """Blocks of each layer."""

    def __init__(
        self,
        outputs: int,
        height: int = 64,
        channels: int = 1,
        width: float = 1.0,
        norm: str = "batch",
        stem: str = "large",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_options(height, norm, stem)
        build_norm, base = NORMS[norm], 8 * max(1, round(8 * width))
        if stem == "large":
            self.conv1 = conv(channels, base, 7, stride=2)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = conv(channels, base, 3)
            self.maxpool = nn.Identity()
        self.bn1 = build_norm(base)  # named bn, as in torchvision, also if it is a GroupNorm
        block, (depth1, depth2, depth3, depth4) = self.block, self.depths
        outer = base * block.expansion
        self.layer1 = build_layer(block, depth1, base, base, 1, build_norm)
        self.layer2 = build_layer(block, depth2, outer, 2 * base, 2, build_norm)
        self.layer3 = build_layer(block, depth3, 2 * outer, 4 * base, 2, build_norm)
        self.layer4 = build_layer(block, depth4, 4 * outer, 8 * base, 2, build_norm)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(8 * outer, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al., "Delving Deep into Rectifiers", 2015
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) floats around 0 to (N, C) unnormalised scores."""
        x_NCHW = self.maxpool(self.bn1(self.conv1(images_NCHW)).relu_())
        x_NCHW = self.layer4(self.layer3(self.layer2(self.layer1(x_NCHW))))
        logits_NC: Tensor = self.fc(self.dropout(x_NCHW.mean((2, 3))))
        return logits_NC.to(torch.promote_types(logits_NC.dtype, torch.float32))


def check_options(height: int, norm: str, stem: str) -> None:
    """Raises ValueError as ResNet."""
    if norm not in NORMS:
        raise ValueError(f"norm is {' or '.join(NORMS)}, not {norm!r}")
    if stem not in STRIDES_PX:
        raise ValueError(f"stem is {' or '.join(STRIDES_PX)}, not {stem!r}")
    if height <= STRIDES_PX[stem]:  # its last blocks have one row: BatchNorm takes no single value, of one image
        advice = "; give stem small" if height > STRIDES_PX["small"] else ""
        raise ValueError(f"height {height} is not above {STRIDES_PX[stem]}, which stem {stem} needs{advice}")


class ResNet18(ResNet):
    """Two blocks of two convolutions in each layer; 11.7 million parameters with 1,000 outputs."""

    block = BasicBlock
    depths = (2, 2, 2, 2)


class ResNet50(ResNet):
    """Bottlenecks; 25.6 million parameters with 1,000 outputs."""

    block = Bottleneck
    depths = (3, 4, 6, 3)
