"""A run is as long as its settings say, and its first epoch is that of the plan."""

import pytest

from horovod_ocr.data.forecast import RENDERED_EDGES, simulate_shards
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.run_forecast import RunForecast, forecast_run
from horovod_ocr.errors import ConfigError, ShardError


def run_of(samples: int, ranks: int, steps: int | None = None, epochs: float = 1.0, min_steps: int = 0) -> RunForecast:
    options = StreamOptions("train", global_batch=768, world_size=ranks)
    shards = simulate_shards(samples) if samples else ()
    return forecast_run(shards, Geometry(64, RENDERED_EDGES), options, steps, epochs, min_steps)


def test_a_run_of_35_million_words_on_three_ranks():
    run = run_of(35_000_000, 3, epochs=2.5)
    assert (run.epoch.steps, run.steps, run.epochs) == (45_577, 113_943, pytest.approx(2.5, abs=1e-4))
    assert [rank.samples for rank in run.epoch.ranks] == [11_666_670, 11_666_667, 11_666_663]
    assert run.epoch.bytes < run.epoch.read_bytes < 1.01 * run.epoch.bytes < run.epoch.copied_bytes
    assert 0 < run.epoch.ranks[0].order_bytes < 50e6


def test_steps_go_before_epochs_and_epochs_are_at_least_min_steps():
    assert (run_of(100_000, 3, steps=5).steps, run_of(100_000, 3, min_steps=10_000).steps) == (5, 10_000)
    run = run_of(100_000, 3, min_steps=10_000)
    assert run.epochs == 10_000 / run.epoch.steps


def test_what_cannot_run_is_an_error():
    with pytest.raises(ConfigError, match="give at least 1"):
        run_of(1000, 0)
    with pytest.raises(ShardError, match="holds no sample"):
        run_of(0, 3)
