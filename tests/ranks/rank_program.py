"""What one rank runs in the tests: train by a config given as JSON, then leave this rank's parameters behind."""

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


def main() -> None:
    settings = json.loads(sys.argv[1])
    out, dies_after = Path(settings.pop("out")), settings.pop("dies_after", None)
    sessions = []

    class Watched(loop.Session):
        def start(self, payload):
            sessions.append(self)
            super().start(payload)

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


main()
