"""Samples that cannot be read."""

from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.hooks.save import Save
from horovod_ocr.training.state import TrainState


class CountDamage(Hook):
    """Counts damaged samples over all ranks. On too many: saves first, then raises ShardError, so that the run can be
    resumed after a repair."""

    def __init__(self, damage: DamagedSamples, save: Save):
        self.damage, self.save = damage, save

    def before_step(self, state: TrainState, batch: Batch) -> None:
        self.damage.add(batch.damage)

    def after_step(self, state: TrainState, step: Step) -> None:
        if state.due.logs or state.due.saves:
            with self.save.saving_on_too_much_damage(state):
                self.damage.agree()
