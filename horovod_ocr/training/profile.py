"""A look inside some steps of a run: what the processor and the device did, when, as a trace for a browser."""

import warnings
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from horovod_ocr.config.train import profiled_steps


class Profile:
    """Records the steps from `first` to `last` (config.log.profile; "": none) of this rank into runs/<name>/profile/, as
    far as the run goes. A trace that cannot be written is a warning.

    The trace opens in chrome://tracing and ui.perfetto.dev.
    """

    def __init__(self, steps: str, run: Path, rank: int, device: torch.device, total_steps: int):
        self.first, last = profiled_steps(steps) if steps else (0, -1)
        self.last = min(last, total_steps)
        self.path = run / "profile" / f"steps-{self.first}-{self.last}-rank-{rank}.json"
        self.activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        self.profiler: profile | None = None

    def before(self, step: int) -> None:
        if self.first <= step <= self.last and self.profiler is None:
            self.profiler = profile(activities=self.activities)
            self.profiler.start()

    def after(self, step: int) -> Path | None:
        """The trace's path when it was written."""
        if self.profiler is None or step < self.last:
            return None
        profiler, self.profiler, self.last = self.profiler, None, -1
        profiler.stop()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            profiler.export_chrome_trace(str(self.path))
        except (OSError, RuntimeError) as error:
            warnings.warn(f"{self.path} could not be written ({error})", stacklevel=1)
            return None
        return self.path
