"""Where a training run is."""

import math
from dataclasses import dataclass, field


@dataclass
class Due:
    """What is to happen after this step. Equal on all ranks. Where they have not met, nothing is: none waits for
    another."""

    is_met: bool = True
    """Whether all ranks hold the same weights now; those that step alone do not always."""
    logs: bool = False
    """A log line."""
    validates: bool = False
    """A validation."""
    saves: bool = False
    """A checkpoint."""
    stop_reason: str | None = None
    """Why the run stops after this step."""


@dataclass
class TrainState:
    """Where a training run is. The loop counts the steps; hooks read it, and set what is theirs."""

    total_steps: int
    """Of the whole run."""
    steps_per_epoch: int
    """Steps that read the train split once."""
    step: int = 0
    """Updates that were taken or left out so far, over all jobs of the run."""
    best: float = math.inf
    """The lowest deciding score of all validations so far."""
    is_best: bool = False
    """Whether the validation of this step was the best so far."""
    due: Due = field(default_factory=Due)
    """What is to happen after this step."""

    @property
    def epoch(self) -> float:
        """Passes over the train split so far."""
        return self.step / self.steps_per_epoch

    @property
    def is_last(self) -> bool:
        """Whether this step was the last of the run."""
        return self.step == self.total_steps
