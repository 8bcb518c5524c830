"""horovod-ocr train"""

from typing import Annotated, Any

import typer

from horovod_ocr.cli.options import engine_given, takes_settings
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.config.train import RanksConfig, TrainConfig
from horovod_ocr.distributed.launcher import rank_of_process

SETTINGS = (
    "shards recipe run runs resume init_from steps epochs global_batch lr seed engine device precision workers "
    "cache_dir max_bad exchange local_steps compression accumulate profile sync_batchnorm"
).split()


@takes_settings(TrainConfig, *SETTINGS)
def train(
    given: dict[str, Any],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting, such as model_options.width=1.0; may be given several times.",
        ),
    ] = None,
) -> None:
    """Train on this process's part of the shards; under horovodrun or torchrun one process for each GPU."""
    with one_sentence():
        from horovod_ocr.config.sources import with_settings
        from horovod_ocr.distributed.open import open_world
        from horovod_ocr.distributed.watchdog import Watchdog
        from horovod_ocr.run.turn import wait_for_turn
        from horovod_ocr.training.begin import choose_config
        from horovod_ocr.training.train import train as train_run

        given = with_settings(given, settings or [])
        recipe = given.pop("recipe", None)
        if not wait_for_turn():
            return
        with Watchdog(RanksConfig.stall_timeout_s, rank_of_process() or 0):  # ranks may wait for each other at once
            world = open_world(engine_given(given.get("engine")))
            with world.guard("training"):
                config = world.collectively(lambda: choose_config(recipe, given) if world.is_root else None)
                config = world.broadcast(config)
        train_run(config, world)
