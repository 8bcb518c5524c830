"""The CRNN: a convolutional stem that turns an image into a row of frames, and a bidirectional LSTM over them.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015. BatchNorm is
essential: the same network with GroupNorm, LayerNorm or no normalisation stays on the all-blank plateau of CTC.

Shapes: N images, C channels (of logits: outputs), H height, W width, T frames, D features.
"""

from typing import cast

import torch
from torch import Tensor, nn

from horovod_ocr.models.base import FrameModel
from horovod_ocr.models.convolution import conv_block


class CRNN(FrameModel):
    """Word images to frame scores. One frame covers 4 pixels of width; the height must be a multiple of 16.

    Args:
        outputs: scores of each frame, including the blank's.
        height: image height in pixels.
        channels: of the images: 1, grey, or 3, RGB.
        width: factor for every channel count of the stem.
        hidden: LSTM units in each direction.
        layers: LSTM layers.
        extra_conv: add a 3x3 convolution at a quarter of the resolution, for handwriting.
        dropout: applied to the frames before and between the LSTM layers and before the head.

    Raises:
        ValueError: the height is not a multiple of 16.
    """

    frame_stride_px = 4
    height_step_px = 16

    def __init__(
        self,
        outputs: int,
        height: int = 64,
        channels: int = 1,
        width: float = 0.5,
        hidden: int = 96,
        layers: int = 1,
        extra_conv: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.check_height(height)
        c32, c64, c128, c192 = (max(8, round(channels * width)) for channels in (32, 64, 128, 192))
        stem = [conv_block(channels, c32, stride=2), conv_block(c32, c64), nn.MaxPool2d(2), conv_block(c64, c128)]
        if extra_conv:
            stem.append(conv_block(c128, c128))
        stem += [nn.MaxPool2d((2, 1)), conv_block(c128, c192), conv_block(c192, c192), nn.MaxPool2d((2, 1))]
        features = 2 * hidden
        stem.append(conv_block(c192, features, kernel=(height // self.height_step_px, 1), padding=0))
        self.stem = nn.Sequential(*stem)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(features, hidden, layers, bidirectional=True, dropout=dropout if layers > 1 else 0.0)
        self.head = nn.Linear(2 * hidden, outputs)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) floats around 0 to (T, N, C) unnormalised scores, T = W / 4."""
        frames_NDT = self.stem(images_NCHW).squeeze(2)
        frames_TND = self.dropout(frames_NDT.permute(2, 0, 1))
        if frames_TND.shape[1]:  # the LSTM refuses an empty batch, which a rank's share of a small last batch may be
            frames_TND = self.read_frames(frames_TND)
        logits_TNC: Tensor = self.head(self.dropout(frames_TND))
        return logits_TNC.to(torch.promote_types(logits_TNC.dtype, torch.float32))

    def read_frames(self, frames_TND: Tensor) -> Tensor:
        """Apply the LSTM in the precision of its own weights: (T, N, D) -> (T, N, 2 x hidden).

        Under autocast to bf16, cuDNN's LSTM computes in float16, and without loss scaling most small gradients then
        become zero. In float32, cuDNN computes it with TF32 by default.
        """
        with torch.autocast(frames_TND.device.type, enabled=False):
            weight = cast(Tensor, self.lstm.weight_hh_l0)
            return cast(Tensor, self.lstm(frames_TND.to(weight.dtype))[0])
