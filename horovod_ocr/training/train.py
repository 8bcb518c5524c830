"""Training: read top to bottom from here. setup.py builds the parts, loop.py runs them."""

from collections.abc import Callable
from pathlib import Path

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.training.loop import Trainer
from horovod_ocr.training.setup import set_up


def train(config: TrainConfig, world: World, adjust: Callable[[Trainer], None] | None = None) -> Path:
    """Train as the config says and return the run's folder. Every rank must call this.

    Asked to stop (a signal, or a request in the run's folder), it saves and returns as well. adjust: called with the
    trainer before the first step; tests put hooks of their own into its list.

    Raises the same OcrError on every rank for what can be known before the first step; DivergedError if the loss or a
    gradient is not finite again and again, or if ranks hold different weights.
    """
    with Watchdog(config.ranks.stall_timeout_s, world.rank) as watchdog:
        with world.guard("training"):
            trainer = set_up(config, world, watchdog)
            if adjust:
                adjust(trainer)
        trainer.work()
    return trainer.run
