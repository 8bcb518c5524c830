"""The CRNN: a convolutional stem that turns an image into a row of frames, and a bidirectional LSTM over them.

Shi, Bai, Yao, "An End-to-End Trainable Neural Network for Image-based Sequence Recognition", 2015. BatchNorm is not a
matter of taste: the same net with GroupNorm, LayerNorm or none stays on the all-blank plateau of CTC.

Shapes: N images, C channels, H height, W width, T frames, D features.
"""

import torch
from torch import Tensor, nn

FRAME_STRIDE_PX = 4  # one frame for each 4 pixels of width


class ChannelsLastConv2d(nn.Conv2d):
    """A convolution computed with channels last, 1.3 times faster on CPUs, while its weight and gradient stay
    contiguous, which Horovod asks of what it sums."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self._conv_forward(x_NCHW, self.weight.to(memory_format=torch.channels_last), self.bias)


def conv_block(inputs: int, outputs: int, kernel: int | tuple = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        ChannelsLastConv2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class CRNN(nn.Module):
    """Word images to frame scores.

    Args:
        classes: scores a frame, the blank included.
        height: image height in pixels, a multiple of 16.
        width: multiplies every channel count of the stem.
        hidden: LSTM units a direction.
        layers: LSTM layers.
        extra_conv: one more 3x3 convolution at a quarter of the resolution, for handwriting.
        dropout: applied to the frames before and between the LSTM layers and before the head.
    """

    frame_stride_px = FRAME_STRIDE_PX

    def __init__(
        self,
        classes: int,
        height: int = 64,
        width: float = 0.5,
        hidden: int = 96,
        layers: int = 1,
        extra_conv: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        if height % 16:
            raise ValueError(f"height {height} is not a multiple of 16")
        c32, c64, c128, c192 = (max(8, round(channels * width)) for channels in (32, 64, 128, 192))
        stem = [conv_block(1, c32, stride=2), conv_block(c32, c64), nn.MaxPool2d(2), conv_block(c64, c128)]
        if extra_conv:
            stem.append(conv_block(c128, c128))
        stem += [nn.MaxPool2d((2, 1)), conv_block(c128, c192), conv_block(c192, c192), nn.MaxPool2d((2, 1))]
        features = 2 * hidden
        stem.append(conv_block(c192, features, kernel=(height // 16, 1), padding=0))
        self.stem = nn.Sequential(*stem)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(features, hidden, layers, bidirectional=True, dropout=dropout if layers > 1 else 0.0)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, images_N1HW: Tensor) -> Tensor:
        """(N, 1, H, W) floats around 0 to (T, N, C) unnormalised scores, T = W / 4."""
        frames_NDT = self.stem(images_N1HW).squeeze(2)
        frames_TND = self.dropout(frames_NDT.permute(2, 0, 1))
        if frames_TND.shape[1]:  # torch's LSTM refuses a batch of none: a rank's share of a small last batch
            frames_TND = self.read_frames(frames_TND)
        logits_TNC = self.head(self.dropout(frames_TND))
        return logits_TNC.to(torch.promote_types(logits_TNC.dtype, torch.float32))

    def read_frames(self, frames_TND: Tensor) -> Tensor:
        """The LSTM in the precision of its own weights: (T, N, D) -> (T, N, 2 x hidden).

        Autocast to bf16 gives cuDNN's LSTM float16, whatever autocast's own dtype, and without loss scaling most small
        gradients are then zero. In float32 cuDNN computes it with TF32 by default.
        """
        with torch.autocast(frames_TND.device.type, enabled=False):
            return self.lstm(frames_TND.to(self.lstm.weight_hh_l0.dtype))[0]
