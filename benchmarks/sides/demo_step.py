"""The demo's training step, as far as the benchmarks of the step and of the widths share it."""

import torch
from torch import Tensor

from horovod_ocr.data.batch import Batch, normalise_images
from horovod_ocr.distributed.device import autocast
from horovod_ocr.models.base import FrameModel
from horovod_ocr.tasks.words import WordTask

CPU = torch.device("cpu")


def scores_of(forward: torch.nn.Module, batch: Batch, precision: str) -> Tensor:
    """logits_TNC of a batch, in that precision."""
    images_N1HW = normalise_images(batch.images_NHW, CPU)
    with autocast(CPU, precision):
        logits_TNC: Tensor = forward(images_N1HW)
    return logits_TNC


def loss_of(task: WordTask, model: FrameModel, logits_TNC: Tensor, batch: Batch) -> Tensor:
    """The sum of the losses of a batch's samples."""
    losses_N, _ = task.losses(logits_TNC, model.frames(batch.valid_width_N), batch.labels)
    return losses_N.sum()
