"""What is due after each step: by its number, by the clock, or because some rank wants it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.votes import StopSaveVote
from horovod_ocr.distributed.world import World
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.state import Due, TrainState


@dataclass(frozen=True)
class Periods:
    """Steps between log lines, validations and saves."""

    log_steps: int
    """Between log lines."""
    validate_steps: int | None
    """Between validations; None: there is no val split."""
    save_steps: int
    """Between saves."""


class SaveClock:
    """Root's clock for saves every few minutes."""

    def __init__(self, minutes: float | None, is_root: bool, clock: Callable[[], float] = time.monotonic):
        self.seconds = 60 * minutes if minutes and is_root else None
        self.clock, self.saved_s = clock, clock()

    def is_due(self) -> bool:
        return self.seconds is not None and self.clock() - self.saved_s > self.seconds

    def restart(self) -> None:
        """A checkpoint was saved."""
        self.saved_s = self.clock()


class Agenda(Hook):
    """Sets `state.due`. First in the list: the hooks after it act on that."""

    def __init__(self, world: World, periods: Periods, clock: SaveClock, stop_reason: Callable[[], str | None]):
        """stop_reason: why this rank wants to stop; None if it does not."""
        self.world, self.periods, self.clock, self.stop_reason = world, periods, clock, stop_reason

    def before_step(self, state: TrainState, batch: Batch) -> None:
        self.vote = StopSaveVote(self.world, self.stop_reason(), self.clock.is_due())

    def after_step(self, state: TrainState, step: Step) -> None:
        stop_reason, saves = self.vote.agree()
        due, periods = Due(stop_reason=stop_reason), self.periods
        due.logs = state.is_last or state.step % periods.log_steps == 0
        if periods.validate_steps:
            due.validates = state.is_last or state.step % periods.validate_steps == 0
        due.saves = saves or bool(stop_reason) or due.validates or state.is_last
        due.saves |= state.step % periods.save_steps == 0
        state.due = due
