"""The log line of an interval, and the same numbers in metrics.jsonl and TensorBoard."""

import torch

from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.world import World
from horovod_ocr.run.log import RunLog
from horovod_ocr.training.hooks.base import Hook, Step
from horovod_ocr.training.hooks.skipped import SkippedUpdates
from horovod_ocr.training.interval import Interval
from horovod_ocr.training.lines import step_line, straggler_line
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import Update


class Log(Hook):
    """Sums what the steps of an interval say, and writes it when a line is due."""

    def __init__(
        self,
        world: World,
        log: RunLog,
        interval: Interval,
        update: Update,
        damage: DamagedSamples,
        skipped: SkippedUpdates,
        hosts: list[str],
    ):
        """hosts: of the ranks."""
        self.world, self.log, self.interval, self.update = world, log, interval, update
        self.damage, self.skipped, self.hosts = damage, skipped, hosts
        interval.begin(world)
        self.norm = torch.zeros((), device=interval.device)  # of the latest gradient that was finite

    def after_step(self, state: TrainState, step: Step) -> None:
        self.interval.count(step.batch, step.update.waited_s)
        for losses in step.computed.losses:
            self.interval.add(losses)
        self.norm = torch.where(step.update.is_finite, step.update.norm, self.norm)
        if state.due.logs:
            self.write(state)
            self.interval.reset()

    def write(self, state: TrainState) -> None:
        """Collective."""
        values = {
            "epoch": state.epoch,
            "lr": self.update.optimizer.param_groups[0]["lr"],
            "gradient_norm": float(self.norm),
            **self.interval.summarise(self.world),
            "damaged": self.damage.count,
            "skipped": self.skipped.count,
        }
        passed_s, steps = values.pop("passed_s"), self.interval.steps
        values["eta_s"] = (state.total_steps - state.step) * passed_s / steps
        self.log.numbers("train", state.step, values)
        self.log.line(step_line(state, values, self.interval.task.log_text(values), passed_s))
        if straggles := straggler_line(values, self.hosts, steps):
            self.log.line(straggles)
        share_warnings(self.world, self.log, self.hosts)


def share_warnings(world: World, log: RunLog, hosts: list[str]) -> None:
    """Root prints the new warnings of all ranks: each text once, with the rank and host it came from. Collective."""
    if world.sum_array([len(log.fresh)])[0]:  # far cheaper than to gather nothing
        for rank, texts in enumerate(world.gather(log.fresh)):
            for text in texts:
                if text not in log.told:
                    log.told.add(text)
                    log.line(f"warning: rank {rank} on {hosts[rank]}: {text}")
        log.fresh.clear()
