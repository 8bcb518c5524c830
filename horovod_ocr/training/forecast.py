"""What a run with these settings would do, before any data is read. No torch."""

from collections.abc import Sequence
from typing import NamedTuple

from horovod_ocr.config.train import TrainConfig, check_ranks
from horovod_ocr.data.forecast import RENDERED_EDGES, simulate_shards
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.run_forecast import RunForecast, forecast_run
from horovod_ocr.data.splits import empty_split
from horovod_ocr.data.store import Remote, is_remote, read_index_at
from horovod_ocr.errors import ShardError
from horovod_ocr.tasks.geometry import geometry_of
from sharding.format.index import ShardInfo


class PlannedRun(NamedTuple):
    """A run that may be begun."""

    shards: str
    """What people call its set."""
    run: RunForecast
    """What it will need."""


def plan_for_set(config: TrainConfig, ranks: int) -> PlannedRun:
    """On the shards of the config. ShardError if there are none, ConfigError for more ranks than lanes."""
    shards = config.data.shards
    index = read_index_at(shards)
    if not index.counts.totals.get("train"):
        raise ShardError(empty_split(index, "train"))
    name = Remote(shards).where("") if is_remote(shards) else shards
    geometry = geometry_of(index.kind, config.network, index.bucket_edges)
    return PlannedRun(name, forecast(config, index.of("train"), geometry, ranks))


def plan_for_rendered_words(config: TrainConfig, samples: int, ranks: int) -> PlannedRun:
    """On a set of this many rendered words, which need not be there. ConfigError for more ranks than lanes."""
    shards = simulate_shards(samples)
    geometry = geometry_of("words", config.network, RENDERED_EDGES)
    return PlannedRun(f"{samples:,} rendered words", forecast(config, shards, geometry, ranks))


def forecast(config: TrainConfig, shards: Sequence[ShardInfo], geometry: Geometry, ranks: int) -> RunForecast:
    """shards: of the train split."""
    plan = config.plan
    check_ranks(plan.lanes, ranks)
    options = StreamOptions("train", config.seed, plan.lanes, plan.global_batch, plan.window, world_size=ranks)
    return forecast_run(shards, geometry, options, plan.steps, plan.epochs, plan.min_steps)
