"""Forward and backward over a rank's share of a batch.

Shapes: N images.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.world import zero_loss_of
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.forward import forward
from horovod_ocr.tasks.base import Losses, Task
from horovod_ocr.training.update import Update


class Computed(NamedTuple):
    """What a rank has computed of a batch."""

    losses: list[Losses]
    """Detached, part by part."""

    @property
    def finite_N(self) -> Tensor:
        """bool: which of this rank's samples have a finite loss and finite logits."""
        if not self.losses:
            return torch.ones(0, dtype=torch.bool)
        return torch.cat([part.is_finite_N for part in self.losses])


@dataclass(frozen=True)
class Gradients:
    """Computes this rank's gradients, to be summed over the ranks."""

    model: ImageModel
    """On this rank's device, in training mode."""
    task: Task
    """Whose loss it is."""
    update: Update
    """That the gradients are for."""
    precision: str
    """bf16, fp32 or fp64."""
    accumulate: int
    """The share of a batch is computed in this many parts, one after the other, for less memory."""
    needs_every_rank: bool
    """Whether a rank without samples runs the model too: synchronised BatchNorm asks every rank for its sums."""

    def compute(self, batch: Batch) -> Computed:
        """Forward and backward, part after part. The loss is divided by the global count, and gradients are summed over
        the ranks: exact for unequal shares."""
        self.update.begin()
        parts, computed = split_batch(len(batch), self.accumulate), []
        for number, part in enumerate(parts, start=1):
            with self.update.exchange.backward_pass(is_last=number == len(parts)):
                if losses := self.compute_part(batch, part):
                    computed.append(losses)
        return Computed(computed)

    def compute_part(self, batch: Batch, part: slice) -> Losses | None:
        """Forward and backward over some of the samples; None if there are none, and no other rank needs them."""
        exchange = self.update.exchange
        if part.start == part.stop and not self.needs_every_rank:
            exchange.zero_loss().backward()  # type: ignore[no-untyped-call]  # a rank without samples sends zeros
            return None
        images, widths = batch.images_NHWC[part], batch.valid_width_N[part]
        losses = self.task.loss(forward(self.model, images, widths, self.precision, exchange.model), batch.labels[part])
        loss = losses.losses_N.sum() / batch.global_samples
        if not len(losses.losses_N):
            loss = loss + zero_loss_of(self.model)
        loss.backward()  # type: ignore[no-untyped-call]
        return losses._replace(losses_N=losses.losses_N.detach())


def split_batch(count: int, parts: int) -> list[slice]:
    """`count` samples in `parts` slices whose sizes differ by at most one; some may be empty."""
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
