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
    is_met: Callable[[int], bool] = lambda step: True
    """Whether all ranks hold the same weights after a step; what needs that waits for it."""

    def passes(self, period: int, since: int, step: int) -> bool:
        """Whether a multiple of the period is among the steps after `since` up to `step`."""
        return step // period > since // period


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
        self.met = -1  # the latest step after which all ranks held the same weights

    def before_step(self, state: TrainState, batch: Batch) -> None:
        self.met = state.step if self.met < 0 else self.met
        self.vote = StopSaveVote(self.world, self.stop_reason(), self.clock.is_due())

    def after_step(self, state: TrainState, step: Step) -> None:
        stop_reason, saves = self.vote.agree()
        periods, before, now = self.periods, self.met, state.step
        state.due = due = Due(is_met=periods.is_met(now))
        due.logs = state.is_last or now % periods.log_steps == 0
        if not due.is_met:  # whoever wants to stop or to save says so again
            return
        due.stop_reason = stop_reason
        if periods.validate_steps:
            due.validates = state.is_last or periods.passes(periods.validate_steps, before, now)
        due.saves = saves or bool(stop_reason) or due.validates or state.is_last
        due.saves |= periods.passes(periods.save_steps, before, now)
        self.met = now
