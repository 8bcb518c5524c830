"""What one rank runs in the tests: train by a config given as JSON, note what each step read, and leave this rank's
parameters behind."""

import json
import math
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import normalise_images
from horovod_ocr.distributed import device
from horovod_ocr.distributed.gpus import Gpus
from horovod_ocr.distributed.world import open_world
from horovod_ocr.errors import OcrError
from horovod_ocr.training import loop
from horovod_ocr.training import update as exchange
from sharding.format.idx import read_idx


def main() -> None:
    settings = json.loads(sys.argv[1])
    out, faults = Path(settings.pop("out")), settings.pop("faults", {})
    out.mkdir(exist_ok=True)
    sessions = []

    class Watched(loop.Session):
        def start(self, payload):
            sessions.append(self)
            super().start(payload)

        def take_step(self, batch):
            shards = self.train_stream.shards
            read = zip(batch.shards_N.tolist(), batch.rows_N.tolist(), strict=True)
            digests = [int(read_idx(self.index.idx_path(shards[shard]))["digest"][row]) for shard, row in read]
            faulty.before(self)
            super().take_step(batch)
            with open(out / f"read-by-{self.world.rank}.jsonl", "a") as file:
                file.write(json.dumps([self.step, self.world.world_size, digests]) + "\n")

        def after_step(self, saves):
            super().after_step(saves)
            faulty.after(self)

    loop.Session = Watched
    faulty = Faulty(**faults)
    exchange.GROUP_BYTES = faulty.group_bytes
    torch.use_deterministic_algorithms(True, warn_only=True)
    world = open_world()
    faulty.begin(world)
    try:
        loop.train(TrainConfig.of(**settings), world)
    except OcrError as error:  # as the command line says it
        if error.shown_by in (None, world.rank):
            print(error, file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    (session,) = sessions
    parameters = {name: parameter.detach() for name, parameter in session.model.named_parameters()}
    torch.save(parameters, out / f"rank{world.rank}.pt")


@dataclass
class Faulty:
    """What goes wrong, on the last rank alone where it is not said otherwise. Steps count from 1.

    dies_after: SIGKILL, on every rank. asked_after: SIGTERM to itself. drifts_after: one weight changes. nan_at: steps
    whose images are not finite. slow_s: longer for every step. silent_s: before it first talks to other ranks. On all
    ranks: frozen_batchnorm, statistics stay; group_bytes, of gradients that travel together; gpus, that each host seems
    to have, with a Horovod without NCCL.
    """

    dies_after: int = 0
    asked_after: int = 0
    drifts_after: int = 0
    nan_at: tuple[int, ...] = ()
    slow_s: float = 0.0
    silent_s: float = 0.0
    frozen_batchnorm: bool = False
    group_bytes: int = exchange.GROUP_BYTES
    gpus: int = 0

    def begin(self, world) -> None:
        if self.gpus:
            numbers = tuple(range(self.gpus))
            device.find_gpus = lambda: Gpus(numbers, tuple(f"gpu-{number}" for number in numbers))
            world.sums_on_gpus = False
        time.sleep(self.silent_s * (world.rank == world.world_size - 1))

    def before(self, session) -> None:
        if self.frozen_batchnorm:
            for module in session.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        is_last = session.world.rank == session.world.world_size - 1
        factor = math.nan if is_last and session.step + 1 in self.nan_at else 1.0
        loop.normalise_images = lambda *arguments: normalise_images(*arguments) * factor
        time.sleep(self.slow_s * is_last)

    def after(self, session) -> None:
        if session.step == self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if session.world.rank != session.world.world_size - 1:
            return
        if session.step == self.asked_after:
            os.kill(os.getpid(), signal.SIGTERM)
        if session.step == self.drifts_after:
            with torch.no_grad():
                next(session.model.parameters()).view(-1)[0] += 1e-3


if __name__ == "__main__":  # loader workers import it
    main()
