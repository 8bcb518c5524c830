"""horovod-ocr plan"""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from horovod_ocr.cli.options import AsJson, takes_settings
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.config.train import TrainConfig, check_ranks
from horovod_ocr.errors import ConfigError, ShardError

output = Console(soft_wrap=True)


@takes_settings(TrainConfig, "shards", "recipe", "steps", "epochs", "global_batch")
def plan(
    given: dict[str, Any],
    ranks: Annotated[int, typer.Option("--ranks", "-np", metavar="RANKS", help="Processes of horovodrun.")] = 3,
    samples: Annotated[
        int | None, typer.Option(metavar="SAMPLES", help="Plan for this many rendered words, not for a shard set.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Any setting of train: --set lanes=24")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run will do, before any data is read: steps, samples of each rank, bytes, memory."""
    with one_sentence():
        from horovod_ocr.config.sources import load_config, train_table, with_settings
        from horovod_ocr.data.forecast import RENDERED_EDGES, simulate_shards
        from horovod_ocr.data.image import Geometry
        from horovod_ocr.data.options import StreamOptions
        from horovod_ocr.data.run_forecast import forecast_run
        from horovod_ocr.data.splits import empty_split
        from horovod_ocr.data.store import Remote, is_remote, read_index_at
        from horovod_ocr.reports.plan import plan_sections, plan_values
        from horovod_ocr.reports.terminal import draw_sections
        from horovod_ocr.tasks.recipe import new_config

        given = with_settings(given, settings or [])
        recipe = given.pop("recipe", None)
        if samples is not None:
            if samples < 1 or "shards" in given:
                raise ConfigError("--samples plans a set that is not there, of at least 1 sample; leave --shards out")
            config = load_config(recipe or train_table().get("recipe", "urdu"), given)
            name, split = f"{samples:,} rendered words", simulate_shards(samples)
            edges: tuple[float, ...] = RENDERED_EDGES
        else:
            config = new_config(recipe, given)
            shards = config.data.shards
            index = read_index_at(shards)
            name = Remote(shards).where("") if is_remote(shards) else shards
            if not index.counts.totals.get("train"):
                raise ShardError(empty_split(index, "train"))
            split, edges = index.of("train"), index.bucket_edges
        p = config.plan
        check_ranks(p.lanes, ranks)
        options = StreamOptions("train", config.seed, p.lanes, p.global_batch, p.window, world_size=ranks)
        run = forecast_run(split, Geometry(config.height, edges), options, p.steps, p.epochs, p.min_steps)
        if as_json:
            print(json.dumps(plan_values(name, run, config)))
        else:
            output.print(draw_sections(plan_sections(name, run, config)))
