"""horovod-ocr plan"""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from horovod_ocr.cli.options import AsJson, takes_settings
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ConfigError

output = Console(soft_wrap=True)
MOST_SAMPLES = 1_000_000_000  # forecast in seconds


@takes_settings(TrainConfig, "shards", "recipe", "steps", "epochs", "global_batch")
def plan(
    given: dict[str, Any],
    ranks: Annotated[int, typer.Option("--ranks", "-np", metavar="RANKS", help="Processes of horovodrun.")] = 3,
    samples: Annotated[
        int | None, typer.Option(metavar="SAMPLES", help="Plan this many rendered words instead of a shard set.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any setting of train, such as lanes=24; may be given several times."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run will do before any data is read: steps, samples of each rank, bytes, memory."""
    with one_sentence():
        from horovod_ocr.config.sources import load_config, train_table, with_settings
        from horovod_ocr.reports.plan import plan_sections, plan_values
        from horovod_ocr.reports.terminal import draw_sections
        from horovod_ocr.tasks.recipe import new_config
        from horovod_ocr.training.forecast import plan_for_rendered_words, plan_for_set

        given = with_settings(given, settings or [])
        recipe = given.pop("recipe", None)
        if samples is None:
            config = new_config(recipe, given)
            planned = plan_for_set(config, ranks)
        elif not 1 <= samples <= MOST_SAMPLES or "shards" in given:
            raise ConfigError(
                f"--samples plans a set that is not there, of 1 to {MOST_SAMPLES:,} samples; leave --shards out"
            )
        else:
            config = load_config(recipe or train_table().get("recipe", "urdu"), given)
            planned = plan_for_rendered_words(config, samples, ranks)
        if as_json:
            print(json.dumps(plan_values(planned.shards, planned.run, config)))
        else:
            output.print(draw_sections(plan_sections(planned.shards, planned.run, config)))
