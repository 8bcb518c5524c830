"""What one rank runs in the tests: train by a config given as JSON, note what each step read, and leave this rank's
parameters behind."""

import json
import math
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from torch import nn

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed import device
from horovod_ocr.distributed.exchange import allreduce
from horovod_ocr.distributed.gpus import Gpus
from horovod_ocr.distributed.horovod import WITHOUT_NCCL
from horovod_ocr.distributed.open import open_world
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import OcrError
from horovod_ocr.training.hooks import Hook, Step
from horovod_ocr.training.loop import Trainer
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.train import train
from sharding.format.idx import read_idx


def train_as_told(settings: dict) -> None:
    """One training. Exits with the error's code if it fails."""
    out, faults = Path(settings.pop("out")), settings.pop("faults", {})
    out.mkdir(exist_ok=True)
    faulty = Faulty(**faults)
    with ExitStack() as changed:
        faulty.change_modules(changed)
        train_with(faulty, out, settings)


def train_with(faulty: "Faulty", out: Path, settings: dict) -> None:
    trainers: list[Trainer] = []
    torch.use_deterministic_algorithms(True, warn_only=True)
    world = open_world()
    faulty.begin(world)

    def adjust(trainer: Trainer) -> None:
        trainers.append(trainer)
        faulty.meet(trainer)
        trainer.hooks = [NoteWhatIsRead(trainer, out), *trainer.hooks, faulty]

    try:
        train(TrainConfig.of(**settings), world, adjust)
    except OcrError as error:  # as the command line says it
        if error.shown_by in (None, world.rank):
            print(error, file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    (trainer,) = trainers
    parameters = {name: parameter.detach() for name, parameter in trainer.gradients.model.named_parameters()}
    torch.save(parameters, out / f"rank{world.rank}.pt")


class NoteWhatIsRead(Hook):
    """A line for each step: its number, the ranks, the digests of the samples that this rank has read."""

    def __init__(self, trainer: Trainer, out: Path):
        self.stream, self.world_size = trainer.stream, trainer.world.world_size
        self.path = out / f"read-by-{trainer.world.rank}.jsonl"

    def after_step(self, state: TrainState, step: Step) -> None:
        store, shards = self.stream.store, self.stream.shards
        read = zip(step.batch.shards_N.tolist(), step.batch.rows_N.tolist(), strict=True)
        digests = [int(read_idx(store.idx_path(shards[shard]))["digest"][row]) for shard, row in read]
        with open(self.path, "a") as file:
            file.write(json.dumps([state.step, self.world_size, digests]) + "\n")


@dataclass
class Faulty(Hook):
    """What goes wrong, on the last rank alone where it is not said otherwise. Steps count from 1.

    dies_after: SIGKILL, on every rank. lost_after: SIGKILL. asked_after: SIGTERM to itself. drifts_after: one weight
    changes. nan_at: steps whose images are not finite. slow_s: longer for every step. silent_s: before it first talks
    to other ranks. On all ranks: pace_s, longer for every step; frozen_batchnorm, statistics stay; group_bytes, of
    gradients that travel together; gpus, that each host seems to have, with a Horovod without NCCL; one_thread,
    whatever the cores.
    """

    dies_after: int = 0
    lost_after: int = 0
    asked_after: int = 0
    drifts_after: int = 0
    nan_at: tuple[int, ...] = ()
    slow_s: float = 0.0
    pace_s: float = 0.0
    silent_s: float = 0.0
    frozen_batchnorm: bool = False
    group_bytes: int = allreduce.GROUP_BYTES
    gpus: int = 0
    one_thread: bool = False

    def change_modules(self, stack: ExitStack) -> None:
        """Change constants of modules as long as the stack is open."""
        stack.enter_context(patch.object(allreduce, "GROUP_BYTES", self.group_bytes))
        if self.gpus:
            numbers = tuple(range(self.gpus))
            gpus = Gpus(numbers, tuple(f"gpu-{number}" for number in numbers))
            stack.enter_context(patch.object(device, "find_gpus", lambda: gpus))

    def begin(self, world: World) -> None:
        """Before this rank first talks to others."""
        if self.gpus:
            world.gpu_problem = WITHOUT_NCCL
        time.sleep(self.silent_s * (world.rank == world.world_size - 1))

    def meet(self, trainer: Trainer) -> None:
        """Before the first step."""
        self.model = trainer.gradients.model
        self.is_last_rank = trainer.world.rank == trainer.world.world_size - 1
        self.factor = 1.0
        if self.one_thread:
            torch.set_num_threads(1)
        self.model.register_forward_pre_hook(lambda model, images: (images[0] * self.factor,))

    def before_step(self, state: TrainState, batch: Batch) -> None:
        if self.frozen_batchnorm:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self.factor = math.nan if self.is_last_rank and state.step + 1 in self.nan_at else 1.0
        time.sleep(self.pace_s + self.slow_s * self.is_last_rank)

    def after_step(self, state: TrainState, step: Step) -> None:
        if state.step == self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.is_last_rank:
            return
        if state.step == self.lost_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if state.step == self.asked_after:
            os.kill(os.getpid(), signal.SIGTERM)
        if state.step == self.drifts_after:
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0] += 1e-3


if __name__ == "__main__":  # loader workers import it
    train_as_told(json.loads(sys.argv[1]))
