"""Images through a model, the same way in training, evaluation and recognition.

Shapes: N images, H height, W width, C channels (of scores: outputs), T frames.
"""

import contextlib
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from horovod_ocr.data.batch import normalise_images
from horovod_ocr.models.base import ImageModel


class ModelOutput(NamedTuple):
    """What a task gets of a model."""

    logits: Tensor
    """Unnormalised scores: (T, N, C), of each frame, or (N, C), of a classifier."""
    frames_N: Tensor | None = None
    """int64: the frames that the valid columns of each image reach into; None: of a classifier."""


def forward(
    model: ImageModel, images_NHWC: Tensor, valid_width_N: Tensor, precision: str, through: nn.Module | None = None
) -> ModelOutput:
    """Images (uint8) to a model's scores, on the device and in the type of its weights. precision: bf16 runs it under
    autocast. through: a wrapper of the model that is called in its place.

    Not within torch.inference_mode in training; whoever evaluates puts it around this call.
    """
    weight = next(model.parameters())
    images_NCHW = normalise_images(images_NHWC, weight.device, weight.dtype)
    with autocast(weight.device, precision):
        logits = (through or model)(images_NCHW)
    return ModelOutput(logits, model.frames(valid_width_N))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """bf16 autocast, or none."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()
