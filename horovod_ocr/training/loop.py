"""The loop of a training run: batch, gradients, update, hooks."""

import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from horovod_ocr.data.batch import Batch, prefetch
from horovod_ocr.data.loader_workers import killed_loader_workers_named
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.world import World
from horovod_ocr.run.log import RunLog
from horovod_ocr.run.signals import StopSignals
from horovod_ocr.run.state import RunStatus
from horovod_ocr.training.gradients import Gradients
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.hooks.save import Save
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.reporter import Reporter
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import Update


@dataclass
class Trainer:
    """One process's part of a training run. `setup.set_up` builds it."""

    world: World
    """The ranks of the job."""
    run: Path
    """The run's folder."""
    state: TrainState
    """Where the run is."""
    stream: Stream
    """The train split."""
    gradients: Gradients
    """Computed by this rank."""
    update: Update
    """Applies what all ranks have computed."""
    hooks: list[Hook]
    """What happens around each step, in this order."""
    save: Save
    """The hook that saves, to be closed at the end."""
    interval: Interval
    """The sums since the last log line."""
    report: Reporter
    """Says to watchdog and heartbeat what comes next."""
    log: RunLog
    """Closed at the end."""
    signals: StopSignals
    """Ask the run to stop."""
    finished_line: str
    """The last log line of a run that has finished."""
    met_s: float = field(default_factory=time.monotonic)
    """When the ranks met the last time."""

    def work(self) -> None:
        """Train to the end, or until asked to stop. However it ends, the run's folder says so. Collective."""
        state, heartbeat = self.state, self.report.heartbeat
        with ExitStack() as stack:
            stack.callback(self.log.close)
            for hook in self.hooks:
                stack.callback(hook.end)
            for context in (self.signals, heartbeat):
                stack.enter_context(context)
            try:
                with self.world.guard("training"), killed_loader_workers_named():
                    self.run_steps()
                    self.save.close()
            except Exception as error:
                heartbeat.leave(RunStatus.FAILED, (str(error) or type(error).__name__).splitlines()[0])
                raise
            if state.is_last:
                heartbeat.leave(RunStatus.FINISHED)
                self.log.line(self.finished_line)
            else:
                heartbeat.leave(RunStatus.STOPPED, state.due.stop_reason)
                self.log.line(f"stopped at step {state.step}: {state.due.stop_reason}; saved; go on with --resume")

    def run_steps(self) -> None:
        """All steps that are left, or until some rank wants to stop. Collective."""
        state = self.state
        self.gradients.model.train()
        with closing(self.stream.batches(state.step, state.total_steps)) as read:
            batches = prefetch(read, self.interval.device)
            while not state.due.stop_reason:
                self.report("its data")
                with self.interval.waiting():
                    batch = next(batches, None)
                if batch is None:
                    break
                for hook in self.hooks:
                    hook.before_step(state, batch)
                step = self.take_step(batch)
                for hook in self.hooks:
                    hook.after_step(state, step)

    def take_step(self, batch: Batch) -> Step:
        """One optimizer step; the same on every rank, whatever part of the batch it holds."""
        self.report("its own computation")
        computed = self.gradients.compute(batch)
        meets = self.update.exchange.is_met(self.state.step + 1)
        if not self.update.exchange.is_local:
            self.report("the gradients of the other ranks")
        elif meets:  # a slower rank may have taken twice as long for its own steps
            self.report("the weights of the other ranks", more_s=time.monotonic() - self.met_s)
        result = self.update.take(self.state.step, len(batch))
        self.met_s = time.monotonic() if meets else self.met_s
        self.state.step += 1
        return Step(batch, computed, result)
