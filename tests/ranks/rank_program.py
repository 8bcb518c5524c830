"""What one rank runs in the tests: train by a config given as JSON, note what each step read, and leave this rank's
parameters behind."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from horovod_ocr.config import TrainConfig
from horovod_ocr.training import loop
from horovod_ocr.world import open_world
from sharding.index import read_idx


def main() -> None:
    settings = json.loads(sys.argv[1])
    out, dies_after = Path(settings.pop("out")), settings.pop("dies_after", None)
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
            super().take_step(batch)
            with open(out / f"read-by-{self.world.rank}.jsonl", "a") as file:
                file.write(json.dumps([self.step, self.world.world_size, digests]) + "\n")

        def after_step(self):
            super().after_step()
            if self.step == dies_after:
                os.kill(os.getpid(), signal.SIGKILL)

    loop.Session = Watched
    torch.use_deterministic_algorithms(True, warn_only=True)
    world = open_world()
    loop.train(replace(TrainConfig(), **settings), world)
    (session,) = sessions
    parameters = {name: parameter.detach() for name, parameter in session.model.named_parameters()}
    torch.save(parameters, out / f"rank{world.rank}.pt")


if __name__ == "__main__":  # loader workers import it
    main()
