"""Updates that were left out because the loss or a gradient was not finite."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import DivergedError
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.state import TrainState

MOST_LISTED = 20


class Pending(NamedTuple):
    """An update that has not been looked at yet."""

    step: int
    """Its number, from 1."""
    is_finite: Tensor
    """bool, on the device: whether it was taken."""
    shards_N: np.ndarray
    """The shard of each of this rank's samples."""
    rows_N: np.ndarray
    """The row of each in its shard."""
    finite_N: Tensor
    """bool, on the device: which samples had a finite loss and finite logits."""


class SkippedUpdates(Hook):
    """Counts the updates that were left out, the same ones on every rank, and stops after too many in a row."""

    def __init__(
        self,
        world: World,
        most: int,
        address: Callable[[int, int], str],
        waits: bool,
        all_finite: Callable[[Tensor], Tensor],
        remedies: str,
    ):
        """most: this many in a row stop the run. address: a shard's number and a row -> where that sample is. waits:
        to look would wait for a GPU, and is done only every few steps. all_finite: of `Exchange`.
        remedies: what a person may do, for a sentence."""
        self.world, self.most, self.address, self.waits = world, most, address, waits
        self.all_finite, self.remedies = all_finite, remedies
        self.count = self.in_a_row = 0
        self.suspects: list[str] = []  # samples of this rank
        self.pending: list[Pending] = []

    def after_step(self, state: TrainState, step: Step) -> None:
        batch = step.batch
        self.pending.append(
            Pending(state.step, step.update.is_finite, batch.shards_N, batch.rows_N, step.computed.finite_N)
        )
        if not state.due.is_met:
            return
        if not self.waits or state.due.logs or state.due.saves or len(self.pending) >= self.most:
            self.settle()

    def settle(self) -> None:
        """Look at the pending updates, which waits for the device. Every rank must call this, at the same step.

        Raises DivergedError, on every rank, with the samples, if too many in a row were left out.
        """
        pending, self.pending = self.pending, []
        if not pending:
            return
        taken = self.all_finite(torch.stack([each.is_finite for each in pending])).tolist()
        for is_taken, update in zip(taken, pending, strict=True):
            if is_taken:
                self.in_a_row, self.suspects = 0, []
                continue
            self.count += 1
            self.in_a_row += 1
            for number in (~update.finite_N).nonzero().flatten().tolist():
                self.suspects.append(self.address(int(update.shards_N[number]), int(update.rows_N[number])))
            if self.in_a_row >= self.most:
                raise raised_on_all_ranks(DivergedError(self.sentence(update.step)))

    def sentence(self, step: int) -> str:
        suspects = [
            f"rank {rank}: {name}" for rank, names in enumerate(self.world.gather(self.suspects)) for name in names
        ]
        if len(suspects) > MOST_LISTED:
            suspects[MOST_LISTED:] = [f"and {len(suspects) - MOST_LISTED:,} more"]
        found = "\n  ".join(["; samples that were not finite:", *suspects]) if suspects else ""
        return (
            f"step {step}: the loss or a gradient was not finite {self.in_a_row} times in a row; {self.remedies}, and "
            f"go on with --resume{found}"
        )
