"""A trace of some steps: what the processor and the device did, when, for a browser."""

import warnings
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from horovod_ocr.config.train import profiled_steps
from horovod_ocr.data.batch import Batch
from horovod_ocr.run.log import RunLog
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.state import TrainState


class Profile(Hook):
    """Records some steps of this rank into runs/<name>/profile/, as far as the run goes. A trace that cannot be written
    is a warning. The trace opens in chrome://tracing and ui.perfetto.dev."""

    def __init__(self, steps: str | None, run: Path, rank: int, device: torch.device, log: RunLog):
        """steps: FIRST:LAST; None: no steps."""
        self.first, self.last = profiled_steps(steps) if steps else (0, -1)
        self.folder, self.rank, self.log = run / "profile", rank, log
        self.activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        self.profiler: profile | None = None

    def before_step(self, state: TrainState, batch: Batch) -> None:
        if self.first <= state.step + 1 <= self.last and self.profiler is None:
            self.recorded = [state.step + 1, state.step]  # the first and the last step of the trace
            self.profiler = profile(activities=self.activities)
            self.profiler.start()

    def after_step(self, state: TrainState, step: Step) -> None:
        if self.profiler:
            self.recorded[1] = state.step
            if state.step == self.last:
                self.end()

    def end(self) -> None:
        """Write what was recorded. A profiler that is left running makes the process crash at its end."""
        if self.profiler is None:
            return
        profiler, self.profiler = self.profiler, None
        profiler.stop()
        first, last = self.recorded
        path = self.folder / f"steps-{first}-{last}-rank-{self.rank}.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(path))
            check_whole(path)
        except (OSError, RuntimeError) as error:
            warnings.warn(f"{path} could not be written ({error})", stacklevel=1)
        else:
            self.log.line(f"profile written: {path}")


def check_whole(path: Path) -> None:
    """OSError if a trace was cut off: the profiler says nothing of a full disk."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16))
        if not file.read().rstrip().endswith(b"}"):
            raise OSError("it was cut off; make room")
