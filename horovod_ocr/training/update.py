"""One optimizer step: clipping, learning rate, and what is undone if a gradient is not finite."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.optim import learning_rate


class UpdateResult(NamedTuple):
    """What came of an update. Its tensors are scalars on the device: to read them, a GPU would be waited for. They are
    equal on every rank, unless ranks step alone (`Exchange.is_local`)."""

    norm: Tensor
    """Norm of the global gradient before clipping."""
    is_finite: Tensor
    """bool: whether it is finite; if not, the update was left out."""
    waited_s: float
    """How long this rank waited for the others: for their gradients, or for the weights to meet."""


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
        """has_other_ranks: on a GPU, wait for this rank's own work before the others are waited for, so that `waited_s`
        holds only the wait for them."""
        self.exchange, self.schedule, self.clip_norm = exchange, schedule, clip_norm
        self.has_other_ranks = has_other_ranks
        self.waited_s = 0.0  # in the update that is being taken
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self.statistics_before = [buffer.clone() for buffer in self.statistics]

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self.exchange.optimizer

    def begin(self) -> None:
        """Before the backward passes of an update: drop old gradients and keep the statistics, in case it fails."""
        for parameter in self.parameters:  # not only those that this rank's optimizer has
            parameter.grad = None
        if self.statistics:
            torch._foreach_copy_(self.statistics_before, self.statistics)

    def take(self, step: int, samples: int) -> UpdateResult:
        """Wait for the sums of all ranks, clip them by their global norm, and apply them as the update of `step`,
        counted from 0. samples: of this rank. Every rank must call this.

        Raises ConfigError if a parameter has no gradient.
        """
        if missing := sum(parameter.grad is None for parameter in self.parameters):  # a group would never be whole
            raise ConfigError(f"{missing} of the model's parameters get no gradient; freeze them (requires_grad)")
        exchange, self.waited_s = self.exchange, 0.0
        waits_again = exchange.waits_again(step + 1)
        with self.waiting(not exchange.is_local):
            exchange.wait()
        own = nn.utils.get_total_norm([each.grad for each in exchange.parameters if each.grad is not None])
        with self.waiting(waits_again):
            norm = exchange.norm_of_all(own.to(self.parameters[0]))  # of no parameters it would be fp32, on the CPU
        nn.utils.clip_grads_with_norm_(exchange.parameters, self.clip_norm, norm)
        is_finite = norm.isfinite()
        for values, before in zip(self.statistics, self.statistics_before, strict=True):
            torch.where(is_finite, values, before, out=values)
        # AdamW leaves the step out; also of a rank that steps alone and has no samples, which its momentum would move
        left_out = ~is_finite if samples or not exchange.is_local else torch.ones_like(is_finite)
        self.optimizer.found_inf = left_out.float()  # type: ignore[attr-defined]
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.lr(step)
        if exchange.parameters:
            exchange.apply()
        with self.waiting(waits_again):
            exchange.share(step + 1, samples)
        return UpdateResult(norm, is_finite, self.waited_s)

    @contextmanager
    def waiting(self, waits: bool) -> Iterator[None]:
        """Around what lets ranks wait for each other, if it does so in this step."""
        if not waits:
            yield
            return
        self.wait_for_device()
        started_s = time.monotonic()
        yield
        self.wait_for_device()  # NCCL's waits are those of the GPU
        self.waited_s += time.monotonic() - started_s

    def wait_for_device(self) -> None:
        if self.has_other_ranks and self.parameters[0].is_cuda:
            torch.cuda.current_stream().synchronize()
