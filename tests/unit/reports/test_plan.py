"""What the plan of a run shows: the numbers of its forecast, and a sentence for what is unwise."""

import io
import json
import re
import subprocess
import sys

import pytest
from rich.console import Console
from typer.testing import CliRunner

from horovod_ocr.cli.main import app
from horovod_ocr.config.overlay import overlay
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.forecast import RENDERED_EDGES, simulate_shards
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.run_forecast import RunForecast, forecast_run
from horovod_ocr.reports.plan import hints_on, hints_on_reading, plan_sections, plan_values
from horovod_ocr.reports.terminal import draw_sections
from sharding.format.index import read_index

CONFIG = TrainConfig.of(recipe="urdu")


def config_of(**settings) -> TrainConfig:
    return overlay(CONFIG, settings, "a test")


def run_of(samples: int, ranks: int, config: TrainConfig = CONFIG) -> RunForecast:
    p = config.plan
    options = StreamOptions("train", config.seed, p.lanes, p.global_batch, p.window, world_size=ranks)
    geometry = Geometry(config.network.height, RENDERED_EDGES)
    return forecast_run(simulate_shards(samples), geometry, options, p.steps, p.epochs, p.min_steps)


def drawn(run: RunForecast, config: TrainConfig = CONFIG) -> str:
    console = Console(file=io.StringIO(), width=120, soft_wrap=True)
    console.print(draw_sections(plan_sections("a set", run, config)))
    return console.file.getvalue()


def test_a_run_of_35_million_words_on_three_ranks():
    config = config_of(global_batch=768, epochs=2.5)
    text = drawn(run_of(35_000_000, 3, config), config)
    for part in (
        "45,577 steps of 768",
        "113,943 steps, 2.50 epochs",
        "11,666,667",
        " 256 ",
        "3,505",
        "162.75 GB",
        "180.75 GB",
    ):
        assert part in text


@pytest.mark.slow
def test_the_plan_of_35_million_words_costs_as_much_as_that_of_few_and_at_most_200_mb(tmp_path):
    """Time of the processor, in processes of their own, by turns.

    A process's peak memory counts what its parent had when it was started, so that a small one is between.
    """

    def cost_of(samples: int) -> tuple[float, float]:
        command = [sys.executable, "-m", "horovod_ocr", "plan", "--samples", str(samples), "-np", "3"]
        program = (
            f"import resource, subprocess; subprocess.run({command}, check=True, stdout=subprocess.DEVNULL); "
            "used = resource.getrusage(resource.RUSAGE_CHILDREN); print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
        cpu_s, peak_kib = map(float, done.stdout.split())
        return cpu_s, peak_kib

    rounds = [(cost_of(35_000), cost_of(35_000_000)) for _ in range(3)]
    few_s, many_s = (
        min(costs[position][0] for costs in rounds) for position in (0, 1)
    )  # other processes only add to it
    assert many_s < 1.5 * few_s, (many_s, few_s)
    assert max(many[1] for _, many in rounds) * 1024 < 200e6


def test_of_many_ranks_the_fewest_and_the_most_are_shown():
    text = drawn(run_of(350_000, 24))
    assert "fewest" in text and "most" in text and "\n17 " not in text


def test_a_set_and_settings_that_fit_have_no_hint():
    run = run_of(300_000, 3)
    assert hints_on(run, CONFIG) == [] and "Hints" not in drawn(run)
    run = run_of(300_000, 7)
    (hint,) = hints_on(run, CONFIG)
    assert f"Hints\n- {hint}" in drawn(run) and plan_values("a set", run, CONFIG)["hints"] == [hint]


@pytest.mark.parametrize(
    ("samples", "ranks", "settings", "sentence"),
    [
        (1_000_000, 5, {}, "5 ranks do not divide 48 lanes: .* for a new run --set lanes=50"),
        (4, 3, {}, "4 samples on 3 ranks: 1 rank has none at all"),
        (100_000, 6, {"global_batch": 4}, "a global batch of 4 on 6 ranks: .* give --global-batch 6 or more"),
        (
            100_000,
            3,
            {"global_batch": 2000},
            "3 of 9 buckets hold fewer samples than a global batch of 2,000, and each gives",
        ),
        (1_000, 3, {"epochs": 2.0}, r"epochs \(2\) would be only 42 steps, so the run has min_steps \(1,500\)"),
        (3_000_000, 3, {"cache_dir": "/disk"}, r"each shard is copied 1\.\d times, .* take fewer lanes \(48\)"),
        (3_000_000, 3, {"shards": "s3://a/b"}, r"each shard is copied 1\.\d times, .* read a folder in place"),
    ],
)
def test_what_is_unwise_has_a_hint(samples: int, ranks: int, settings: dict, sentence: str):
    config = config_of(**settings)
    hints = hints_on(run_of(samples, ranks, config), config)
    assert len([hint for hint in hints if re.search(sentence, hint)]) == 1


def test_windows_that_do_not_fit_into_memory_have_a_hint():
    config = config_of(window=100_000)
    epoch = run_of(35_000_000, 3, config).epoch
    (hint,) = hints_on_reading(epoch, config, memory=8 << 30)
    assert "up to 35.25 GB" in hint and "this machine has 8.59 GB" in hint and "--set window=, now 100,000" in hint
    assert list(hints_on_reading(epoch, config, memory=64 << 30)) == []


def test_the_command_reads_the_index_alone(word_shards, tmp_path, monkeypatch):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "index.json").write_bytes((word_shards / "index.json").read_bytes())
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", "-np", "2", "--epochs", "3", "--set", "lanes=6", "--json"])
    values = json.loads(done.stdout)
    train = read_index(word_shards).of("train")
    assert values["recipe"] == "urdu" and values["epochs"] == 3
    assert values["epoch"]["samples"] == sum(shard.samples for shard in train)
    assert [rank["lanes"] for rank in values["epoch"]["ranks"]] == [3, 3]
    assert values["epoch"]["shards"] == len(train)


def test_of_a_remote_set_the_index_alone_is_fetched(word_shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    near, remote = (
        json.loads(CliRunner().invoke(app, ["plan", "--shards", shards, "--json"]).stdout)
        for shards in (str(word_shards), f"pipe:cat {word_shards}/{{}}")
    )
    assert (near.pop("shards"), remote.pop("shards")) == (str(word_shards), f"pipe:cat {word_shards}/")
    assert near == remote
    assert {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()} == {"index.json"}


def test_the_command_on_a_simulated_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", "--samples", "200000"])
    assert done.exit_code == 0 and "200,000 rendered words, recipe urdu" in done.stdout
    assert CliRunner().invoke(app, ["plan", "--samples", "0"]).exit_code == 2
    many = CliRunner().invoke(app, ["plan", "--ranks", "49", "--samples", "9"])
    assert many.exit_code == 2 and "49 ranks, but 48 lanes; give --set lanes=49" in many.stderr
    assert CliRunner().invoke(app, ["plan", "--ranks", "0", "--samples", "9"]).exit_code == 2
    assert CliRunner().invoke(app, ["plan"]).exit_code == 3  # no shards
