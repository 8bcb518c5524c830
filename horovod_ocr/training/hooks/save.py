"""Checkpoints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from horovod_ocr.checkpoint.saver import Saver
from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import CheckpointError, ShardError
from horovod_ocr.models.batchnorm import average_statistics
from horovod_ocr.training.hooks.agenda import SaveClock
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.reporter import Reporter
from horovod_ocr.training.state import TrainState


class Save(Hook):
    """Root writes a checkpoint beside the training when one is due. Too many failures in a row stop every rank."""

    def __init__(
        self,
        world: World,
        saver: Saver | None,
        payload: Callable[[TrainState], dict[str, Any]],
        model: nn.Module,
        clock: SaveClock,
        interval: Interval,
        report: Reporter,
        most_failed: int,
    ):
        """saver: of root; None on other ranks. payload: what a checkpoint holds; collective."""
        self.world, self.saver, self.payload, self.model = world, saver, payload, model
        self.clock, self.interval, self.report, self.most_failed = clock, interval, report, most_failed

    def after_step(self, state: TrainState, step: Step) -> None:
        if state.due.saves:
            with self.interval.paused():
                if not state.due.validates:  # the validation has averaged them already
                    average_statistics(self.model, self.world.sum, self.world.world_size)
                self.save(state, state.is_best)

    def save(self, state: TrainState, is_best: bool) -> None:
        """Collective. Raises CheckpointError on every rank after too many failures."""
        self.report("the checkpoint")
        payload = self.payload(state)
        self.clock.restart()
        self.world.collectively(lambda: self.saver.save(state.step, payload, is_best) if self.saver else None)
        complaint = self.world.broadcast(self.saver.complaint(self.most_failed) if self.saver else None)
        if complaint:
            raise raised_on_all_ranks(CheckpointError(complaint))

    def close(self) -> None:
        """Wait for the last checkpoint. Collective. CheckpointError, on every rank, if it could not be written."""
        self.world.collectively(lambda: self.saver.close() if self.saver else None)

    @contextmanager
    def saving_on_too_much_damage(self, state: TrainState) -> Iterator[None]:
        """On too many unreadable samples, save first, then raise: the run can be resumed after a repair. Collective."""
        try:
            yield
        except ShardError:
            average_statistics(self.model, self.world.sum, self.world.world_size)
            self.save(state, is_best=False)
            self.close()
            raise
