"""Scores of the val split."""

import time

from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.world import World
from horovod_ocr.evaluation.evaluate import evaluate
from horovod_ocr.models.base import FrameModel
from horovod_ocr.models.batchnorm import average_statistics
from horovod_ocr.run.log import RunLog
from horovod_ocr.tasks.base import Task
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.hooks.save import Save
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.lines import val_line
from horovod_ocr.training.reporter import Reporter
from horovod_ocr.training.state import TrainState


class Validate(Hook):
    """Scores the val split when that is due, and notes whether it was the best so far."""

    def __init__(
        self,
        world: World,
        log: RunLog,
        interval: Interval,
        report: Reporter,
        model: FrameModel,
        task: Task,
        stream: Stream | None,
        damage: DamagedSamples,
        save: Save,
        precision: str,
    ):
        self.world, self.log, self.interval, self.report = world, log, interval, report
        self.model, self.task, self.stream, self.damage = model, task, stream, damage
        self.save, self.precision = save, precision

    def after_step(self, state: TrainState, step: Step) -> None:
        state.is_best = False
        if state.due.validates:
            with self.interval.paused(), self.save.before_it_stops(state):
                average_statistics(self.model, self.world.sum, self.world.world_size)
                self.validate(state)

    def validate(self, state: TrainState) -> None:
        """Collective."""
        assert self.stream, "a validation is due although there is no val split"
        started_s = time.monotonic()
        scores = evaluate(
            self.model, self.task, self.stream, self.world, self.precision, self.damage, self.report.batches
        )
        values = scores.values()
        deciding = values[self.task.figures.best]
        state.is_best = deciding < state.best
        state.best = min(state.best, deciding)
        self.log.numbers("val", state.step, values)
        self.log.line(val_line(state, self.task.figures, values, time.monotonic() - started_s))
