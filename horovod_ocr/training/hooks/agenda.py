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
    """Whether all ranks hold the same weights after a step; everything that is due waits for that."""

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
        self.vote: StopSaveVote | None = None  # of the step that is being taken; None: it ends without a meeting

    def before_step(self, state: TrainState, batch: Batch) -> None:
        self.met = state.step if self.met < 0 else self.met
        self.vote = None
        # between two meetings no rank waits for another: whoever wants to stop says so at the next one
        if self.periods.is_met(state.step + 1):
            self.vote = StopSaveVote(self.world, self.stop_reason(), self.clock.is_due())

    def after_step(self, state: TrainState, step: Step) -> None:
        periods, before, now = self.periods, self.met, state.step
        state.due = due = Due(is_met=self.vote is not None)
        if not self.vote:
            return
        due.stop_reason, saves = self.vote.agree()
        due.logs = state.is_last or periods.passes(periods.log_steps, before, now)
        if periods.validate_steps:
            due.validates = state.is_last or periods.passes(periods.validate_steps, before, now)
        due.saves = saves or bool(due.stop_reason) or due.validates or state.is_last
        due.saves |= periods.passes(periods.save_steps, before, now)
        self.met = now
