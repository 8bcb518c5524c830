"""Report the step and the next blocking operation to watchdog and heartbeat."""

from dataclasses import dataclass

from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.run.state import Heartbeat
from horovod_ocr.training.state import TrainState


@dataclass(frozen=True)
class Reporter:
    """Call it with what this rank waits for next: "its data", "the checkpoint". See `Watchdog.reached`."""

    state: TrainState
    """Says which step it is."""
    heartbeat: Heartbeat
    """Tells others."""
    watchdog: Watchdog
    """Ends this process if nothing is reported for too long."""

    def __call__(self, waits_for: str, more_s: float = 0.0) -> None:
        self.heartbeat.step = self.state.step
        self.watchdog.reached(self.state.step, waits_for, more_s)

    def batches(self, done: int, batches: int) -> None:
        """Report the progress of a validation."""
        self(f"batch {done} of {batches} of the val split")
