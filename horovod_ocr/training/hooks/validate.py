"""Scores of the val split."""

import time
from collections.abc import Callable

from torch import nn

from horovod_ocr.distributed.world import World
from horovod_ocr.models.batchnorm import average_statistics
from horovod_ocr.run.log import RunLog
from horovod_ocr.tasks.base import Scores
from horovod_ocr.tasks.figures import TaskFigures
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.hooks.save import Save
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.lines import val_line
from horovod_ocr.training.state import TrainState


class Validate(Hook):
    """Scores the val split when that is due, and notes whether it was the best so far."""

    def __init__(
        self,
        world: World,
        log: RunLog,
        interval: Interval,
        model: nn.Module,
        figures: TaskFigures,
        score: Callable[[], Scores],
        save: Save,
    ):
        """figures: of the task. score: scores of the val split; collective."""
        self.world, self.log, self.interval, self.model = world, log, interval, model
        self.figures, self.score, self.save = figures, score, save

    def after_step(self, state: TrainState, step: Step) -> None:
        state.is_best = False
        if state.due.validates:
            with self.interval.paused(), self.save.saving_on_too_much_damage(state):
                average_statistics(self.model, self.world.sum, self.world.world_size)
                self.validate(state)

    def validate(self, state: TrainState) -> None:
        """Collective."""
        started_s = time.monotonic()
        values = self.score().values()
        deciding = values[self.figures.best]
        state.is_best = values["samples"] > 0 and deciding < state.best  # no score of no samples is good
        if state.is_best:
            state.best = deciding
        self.log.numbers("val", state.step, values)
        self.log.line(val_line(state, self.figures, values, time.monotonic() - started_s))
