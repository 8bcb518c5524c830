"""A small CNN for images of classes: blocks of convolutions, one hidden dense layer, the head.

Shapes: N images, C channels (of scores: outputs), H height, W width, D features.
"""

import torch
from torch import Tensor, nn

from horovod_ocr.models.base import Classifier
from horovod_ocr.models.convolution import conv_block

LOWEST_PX = 8  # half of it, and one image, would leave BatchNorm a single value in the last block
CELLS = 3  # in a row and in a column: the features say where in the image something is


class CNN(Classifier):
    """Images to class scores. The images may have any width, and any height from 8 pixels on.

    Args:
        outputs: scores of an image.
        height: image height in pixels.
        channels: of the images: 1, grey, or 3, RGB.
        width: factor for every channel count of the convolutions.
        hidden: units of the dense layer.
        dropout: applied to the units of the dense layer.

    Raises:
        ValueError: the height is less than 8.
    """

    def __init__(
        self,
        outputs: int,
        height: int = 64,
        channels: int = 1,
        width: float = 1.0,
        hidden: int = 128,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if height < LOWEST_PX:
            raise ValueError(f"height {height} is less than {LOWEST_PX}")
        c32, c64, c128 = (max(8, round(count * width)) for count in (32, 64, 128))
        self.blocks = nn.Sequential(
            conv_block(channels, c32),
            nn.MaxPool2d(2, ceil_mode=True),
            conv_block(c32, c64),
            nn.MaxPool2d(2, ceil_mode=True),
            conv_block(c64, c128),
            nn.AdaptiveAvgPool2d(CELLS),
        )
        self.dense = nn.Linear(c128 * CELLS * CELLS, hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) floats around 0 to (N, C) unnormalised scores."""
        features_ND = self.blocks(images_NCHW).flatten(1)
        logits_NC: Tensor = self.head(self.dropout(self.dense(features_ND).relu()))
        return logits_NC.to(torch.promote_types(logits_NC.dtype, torch.float32))
