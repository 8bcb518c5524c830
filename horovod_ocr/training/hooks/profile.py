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

    def __init__(self, steps: str | None, run: Path, rank: int, device: torch.device, total_steps: int, log: RunLog):
        """steps: FIRST:LAST; None: no steps."""
        self.first, last = profiled_steps(steps) if steps else (0, -1)
        self.last, self.log = min(last, total_steps), log
        self.path = run / "profile" / f"steps-{self.first}-{self.last}-rank-{rank}.json"
        self.activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        self.profiler: profile | None = None

    def before_step(self, state: TrainState, batch: Batch) -> None:
        if self.first <= state.step + 1 <= self.last and self.profiler is None:
            self.profiler = profile(activities=self.activities)
            self.profiler.start()

    def after_step(self, state: TrainState, step: Step) -> None:
        if self.profiler is None or state.step < self.last:
            return
        profiler, self.profiler, self.last = self.profiler, None, -1
        profiler.stop()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(self.path))
        except (OSError, RuntimeError) as error:
            warnings.warn(f"{self.path} could not be written ({error})", stacklevel=1)
        else:
            self.log.line(f"profile written: {self.path}")
