"""One optimizer step: clipping, learning rate, and what is undone if a gradient is not finite."""

import time
from typing import NamedTuple

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.optim import learning_rate


class UpdateResult(NamedTuple):
    """What came of an update. Its tensors are scalars on the device, equal on every rank: to read them, a GPU would be
    waited for."""

    norm: Tensor
    """Norm of the global gradient before clipping."""
    is_finite: Tensor
    """bool: whether it is finite; if not, the update was left out."""
    waited_s: float
    """How long this rank waited for the gradients of the others."""


class Schedule(NamedTuple):
    """The learning rate of each step; see `optim.learning_rate`."""

    peak: float
    """The highest learning rate."""
    warmup_share: float
    """Share of the steps until the peak."""
    total_steps: int
    """Of the whole run."""

    def lr(self, step: int) -> float:
        return learning_rate(step, self.total_steps, self.peak, self.warmup_share)


class Update:
    """Applies the gradients that an exchange has summed. If they are not finite, neither weights nor BatchNorm's
    statistics have changed since `begin`."""

    def __init__(
        self,
        model: nn.Module,
        exchange: Exchange,
        schedule: Schedule,
        clip_norm: float,
        has_other_ranks: bool = True,
    ):
        """has_other_ranks: on a GPU, wait for this rank's own backward first, so that `waited_s` holds only the wait
        for the others."""
        self.exchange, self.schedule, self.clip_norm = exchange, schedule, clip_norm
        self.has_other_ranks = has_other_ranks
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self.statistics_before = [buffer.clone() for buffer in self.statistics]

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self.exchange.optimizer

    def begin(self) -> None:
        """Before the backward passes of an update: drop old gradients and keep the statistics, in case it fails."""
        self.optimizer.zero_grad()
        if self.statistics:
            torch._foreach_copy_(self.statistics_before, self.statistics)

    def take(self, step: int) -> UpdateResult:
        """Wait for the sums of all ranks, clip them by their global norm, and apply them as the update of `step`,
        counted from 0. Every rank must call this.

        Raises ConfigError if a parameter has no gradient.
        """
        if missing := sum(parameter.grad is None for parameter in self.parameters):  # a group would never be whole
            raise ConfigError(f"{missing} of the model's parameters get no gradient; freeze them (requires_grad)")
        if self.has_other_ranks and self.parameters[0].is_cuda:
            torch.cuda.current_stream().synchronize()
        started_s = time.monotonic()
        self.exchange.wait()
        waited_s = time.monotonic() - started_s
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        is_finite = norm.isfinite()
        for values, before in zip(self.statistics, self.statistics_before, strict=True):
            torch.where(is_finite, values, before, out=values)
        # AdamW leaves the step out
        self.optimizer.found_inf = (~is_finite).float()  # type: ignore[attr-defined]
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.lr(step)
        self.exchange.apply()
        return UpdateResult(norm, is_finite, waited_s)
