"""The look at a run before it is started."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.errors import ConfigError, ShardError

output = Console(soft_wrap=True)


def plan(
    ranks: Annotated[int, typer.Option("--ranks", "-np", metavar="RANKS", help="Processes of horovodrun.")] = 3,
    shards: Annotated[str | None, typer.Option(help="Where the shards are, as in train.  [default: shards]")] = None,
    samples: Annotated[
        int | None, typer.Option(metavar="SAMPLES", help="Of so many rendered words instead of a shard set.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="As for train.  [default: the script's]")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; goes before epochs.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the train split.")] = None,
    global_batch: Annotated[int | None, typer.Option(help="Samples a step over all ranks.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of train: --set lanes=24")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")] = False,
) -> None:
    """Say what a run will do, before any data is read: steps, samples of each rank, bytes, memory."""
    with one_sentence():
        from horovod_ocr.config.settings import default_recipe, load_config, parse_settings, table_of_settings
        from horovod_ocr.data.forecast import RENDERED_EDGES, simulate_shards
        from horovod_ocr.data.splits import empty_split
        from horovod_ocr.data.store import Remote, is_remote, read_index_at
        from horovod_ocr.reports.plan import forecast_run, plan_sections
        from horovod_ocr.reports.terminal import draw_sections

        given = {"shards": shards, "steps": steps, "epochs": epochs, "global_batch": global_batch}
        given = {name: value for name, value in given.items() if value is not None} | parse_settings(settings or [])
        if epochs is not None and steps is None:
            given = {"steps": 0, "min_steps": 0} | given  # a recipe's would go before them
        if samples is not None:
            if samples < 1 or shards:
                raise ConfigError("--samples plans a set that is not there, of at least 1 sample; leave --shards out")
            config = load_config(recipe or table_of_settings("train").get("recipe", "urdu"), given)
            name, split, edges = f"{samples:,} rendered words", simulate_shards(samples), RENDERED_EDGES
        else:
            config = load_config(recipe or default_recipe(given.get("shards", "")), given)
            index = read_index_at(config.shards)
            name = Remote(config.shards).where("") if is_remote(config.shards) else config.shards
            if not index.totals.get("train"):
                raise ShardError(empty_split(index, "train"))
            split, edges = index.of("train"), index.bucket_edges
        run = forecast_run(split, edges, config, ranks)
        if as_json:
            print(json.dumps({"shards": name, "recipe": config.recipe, "seed": config.seed} | asdict(run)))
        else:
            output.print(draw_sections(plan_sections(name, run, config)))
