"""What a hook is."""

from typing import NamedTuple

from horovod_ocr.data.batch import Batch
from horovod_ocr.training.gradients import Computed
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import UpdateResult


class Step(NamedTuple):
    """A step that was taken."""

    batch: Batch
    """This rank's share."""
    computed: Computed
    """What this rank has computed of it."""
    update: UpdateResult
    """What came of the update."""


class Hook:
    """One thing that happens around each step. Every rank has the same hooks, so they may be collective."""

    def before_step(self, state: TrainState, batch: Batch) -> None:
        """Called when the batch is there. `state.step` does not count this step yet."""

    def after_step(self, state: TrainState, step: Step) -> None:
        """Called after the update. `state.step` counts this step."""

    def end(self) -> None:
        """Called once, when the run ends, also after an error. Never collective."""
