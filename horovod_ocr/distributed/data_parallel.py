"""All GPUs of one process as a world of one: torch copies the model to each of them in every step.

A launcher is not needed, but a rank for each GPU is faster: one process drives all of them here, and the first GPU also
holds the weights, collects the outputs and takes the optimizer's step.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import gather

from horovod_ocr.distributed.alone import AloneWorld, OwnGradients
from horovod_ocr.distributed.gpus import find_gpus
from horovod_ocr.distributed.world import GradientSum
from horovod_ocr.errors import ConfigError


class DataParallelWorld(AloneWorld):
    """One rank that computes on several GPUs."""

    engine = "data-parallel"

    def __init__(self, gpus: Sequence[int]):
        """gpus: as torch counts them."""
        super().__init__()
        self.gpus = gpus

    def sum_gradients(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> GradientSum:
        if not next(model.parameters()).is_cuda:
            raise ConfigError(
                "--engine data-parallel computes on GPUs, not on the CPU; give --device cuda, or leave --engine out"
            )
        return OwnGradients(SplitOverGpus(WithAutocast(model), list(self.gpus)), optimizer)


class WithAutocast(nn.Module):
    """A model that computes in the same types on every thread. Autocast is a thread's own, and where DataParallel turns
    it on for a thread of a GPU, it does so in fp16."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.dtype: torch.dtype | None = None
        """To which autocast casts; None: there is none."""

    def note_autocast(self, device_type: str) -> None:
        """Compute as this thread does from now on."""
        is_on = torch.is_autocast_enabled(device_type)
        self.dtype = torch.get_autocast_dtype(device_type) if is_on else None

    def forward(self, images_NCHW: Tensor) -> Tensor:
        with torch.autocast(images_NCHW.device.type, self.dtype, enabled=self.dtype is not None):
            scores: Tensor = self.model(images_NCHW)
        return scores


class SplitOverGpus(nn.DataParallel[WithAutocast]):
    """Each GPU gets a part of the images, whose scores come back as one tensor.

    Shapes: N images, C channels (of scores: outputs), T frames.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        self.module.note_autocast(images_NCHW.device.type)
        scores: Tensor = super().forward(images_NCHW)
        return scores

    def gather(self, outputs: Sequence[Tensor], output_device: int | torch.device) -> Tensor:
        """(T, N, C) or (N, C): images are the last dimension but one, and not the one they are split by."""
        scores: Tensor = gather(outputs, output_device, dim=outputs[0].ndim - 2)
        return scores


def open_data_parallel(ranks: int, trains: bool = True) -> AloneWorld:
    """ranks: that a launcher has started. trains: else it is a world of one like any other. ConfigError for several
    ranks, and for fewer than two GPUs to train on."""
    if ranks > 1:
        raise ConfigError(
            f"--engine data-parallel is for one process, and there are {ranks}; give --engine auto for a rank a GPU"
        )
    if not trains:
        return AloneWorld()
    gpus = find_gpus()
    if len(gpus.numbers) < 2:
        why = f" ({reason})" if (reason := gpus.problem or gpus.remark) else ""
        raise ConfigError(
            "--engine data-parallel needs two GPUs or more in one process, which has "
            f"{len(gpus.numbers) or 'none'}{why}; leave --engine out"
        )
    return DataParallelWorld(gpus.numbers)
