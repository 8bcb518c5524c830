"""Do all ranks hold the same weights?"""

from torch import nn

from horovod_ocr.distributed.votes import check_same_weights
from horovod_ocr.distributed.world import World
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.state import TrainState


class CheckRanks(Hook):
    """Compares the weights of all ranks every few steps. Raises DivergedError, on every rank, if they differ."""

    def __init__(self, world: World, model: nn.Module, every_steps: int | None):
        """every_steps: None: never."""
        self.world, self.model, self.every_steps = world, model, every_steps
        self.is_due = False

    def after_step(self, state: TrainState, step: Step) -> None:
        self.is_due |= bool(self.every_steps) and state.step % (self.every_steps or 1) == 0
        if self.is_due and state.due.is_met:
            check_same_weights(self.world, dict(self.model.named_parameters()), f"step {state.step}")
            self.is_due = False
