"""What a run will need: its steps, its epochs, and its first epoch. Arithmetic alone; no file is opened."""

from collections.abc import Sequence
from dataclasses import dataclass

from horovod_ocr.data.forecast import EpochForecast, forecast_epoch, steps_of_run
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.plan import EpochPlan, ShardSlice
from horovod_ocr.errors import ConfigError, ShardError
from sharding.format.index import ShardInfo


@dataclass(frozen=True)
class RunForecast:
    """A run and its first epoch."""

    steps: int
    """Of the whole run."""
    epochs: float
    """The number of epochs that these steps are."""
    epoch: EpochForecast
    """The first one; the others need as much."""


def forecast_run(
    shards: Sequence[ShardInfo],
    geometry: Geometry,
    options: StreamOptions,
    steps: int | None,
    epochs: float,
    min_steps: int,
) -> RunForecast:
    """The forecast of a run.

    Args:
        shards: of the train split.
        geometry: gives each bucket's width.
        options: how one of the ranks reads the split. It has at most as many ranks as lanes.
        steps, epochs, min_steps: see `forecast.steps_of_run`.

    Raises:
        ConfigError: there is no rank.
        ShardError: the shards hold no sample.
    """
    if options.world_size < 1:
        raise ConfigError(f"--ranks {options.world_size}: give at least 1")
    if not sum(shard.samples for shard in shards):
        raise ShardError("the train split holds no sample; plan a set that has one")
    slices = [ShardSlice(shard.samples, shard.bucket) for shard in shards]
    o = options
    plan = EpochPlan(slices, o.seed, 0, o.lanes, o.global_batch, o.shuffle, o.window)
    epoch = forecast_epoch(shards, plan, geometry, o.world_size)
    total_steps = steps_of_run(steps, epochs, min_steps, epoch.steps)
    return RunForecast(total_steps, total_steps / epoch.steps, epoch)
