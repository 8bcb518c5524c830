"""A checkpoint as a recogniser: the same readings without an export, on torch, also on a GPU.

Shapes: N images, H height, W width, C channels.
"""

from typing import Any

import numpy as np
import torch

from horovod_ocr.checkpoint.restore import restore
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.device import choose_precision
from horovod_ocr.models.base import FrameModel, ImageModel
from horovod_ocr.models.forward import forward
from horovod_ocr.recognizer.recognizer import Recognizer

CPU = torch.device("cpu")


class TorchNetwork:
    """A trained model on the device of its weights. See `recognizer.network.Network`."""

    def __init__(self, model: ImageModel, precision: str) -> None:
        """model: in evaluation mode. precision: fp32 or bf16, as in `forward`."""
        self.model, self.precision = model, precision

    @torch.inference_mode()
    def logits(self, images_NHWC: np.ndarray) -> np.ndarray:
        valid_width_N = torch.full((len(images_NHWC),), images_NHWC.shape[2])  # padding is cut off by who reads
        output = forward(self.model, torch.from_numpy(images_NHWC), valid_width_N, self.precision)
        logits: np.ndarray = output.logits.float().cpu().numpy()
        return logits


def frame_px_of(model: ImageModel) -> int | None:
    """Columns of a frame; None for a model that reads an image as a whole."""
    return model.frame_stride_px if isinstance(model, FrameModel) else None


def build_recognizer(payload: dict[str, Any], precision: str = "auto", device: torch.device = CPU) -> Recognizer:
    """From a checkpoint's payload. precision: auto, fp32 or bf16. CheckpointError as `restore`."""
    restored = restore(payload, device)
    network = TorchNetwork(restored.model, choose_precision(precision, device, AloneWorld()))
    return Recognizer(network, restored.task.reader, restored.geometry, frame_px_of(restored.model), {})
