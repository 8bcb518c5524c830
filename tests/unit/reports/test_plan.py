"""What is said of a run before it starts: the numbers of the forecast, and a sentence for what is unwise."""

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
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.reports.plan import RunForecast, forecast_run, hints_of_reading, plan_sections
from horovod_ocr.reports.terminal import draw_sections
from sharding.format.index import read_index

CONFIG = TrainConfig.of(recipe="urdu")


def run_of(samples: int, ranks: int, **settings) -> RunForecast:
    return forecast_run(simulate_shards(samples), RENDERED_EDGES, overlay(CONFIG, settings, "a test"), ranks)


def said_of(run: RunForecast, config: TrainConfig = CONFIG) -> str:
    console = Console(file=io.StringIO(), width=120, soft_wrap=True)
    console.print(draw_sections(plan_sections("a set", run, config)))
    return console.file.getvalue()


def test_a_run_of_35_million_words_on_three_ranks():
    run = run_of(35_000_000, 3, global_batch=768, epochs=2.5)
    assert (run.epoch.steps, run.steps, run.epochs) == (45_577, 113_943, pytest.approx(2.5, abs=1e-4))
    assert [rank.samples for rank in run.epoch.ranks] == [11_666_670, 11_666_667, 11_666_663]
    assert run.epoch.bytes < run.epoch.read_bytes < 1.01 * run.epoch.bytes < run.epoch.copied_bytes
    assert 0 < run.epoch.ranks[0].order_bytes < 50e6
    text = said_of(run)
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


def test_35_million_words_on_three_ranks_cost_what_few_cost_and_200_mb_at_most(tmp_path):
    """Arithmetic, nothing for each word: of the processor, in processes of their own, by turns. A child's peak holds
    what its parent had when it was started, hence the small process between."""

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
    few_s, many_s = (min(costs[position][0] for costs in rounds) for position in (0, 1))  # what else runs only adds
    assert many_s < 1.5 * few_s, (many_s, few_s)
    assert max(many[1] for _, many in rounds) * 1024 < 200e6


def test_many_ranks_are_summed_up():
    text = said_of(run_of(350_000, 24))
    assert "fewest" in text and "most" in text and "\n17 " not in text


def test_a_set_and_settings_that_fit_have_no_hint():
    run = run_of(300_000, 3)
    assert run.hints == () and "Hints" not in said_of(run)
    run = run_of(300_000, 7)
    assert len(run.hints) == 1 and f"Hints\n- {run.hints[0]}" in said_of(run)


@pytest.mark.parametrize(
    ("samples", "ranks", "settings", "sentence"),
    [
        (1_000_000, 5, {}, "5 ranks do not divide 48 lanes: .* for a new run --set lanes=50"),
        (4, 3, {}, "4 samples on 3 ranks: 1 ranks have none at all"),
        (100_000, 6, {"global_batch": 4}, "a global batch of 4 on 6 ranks: .* give --global-batch 6 or more"),
        (100_000, 3, {"global_batch": 2000}, "3 of 9 buckets hold fewer samples than a global batch of 2,000"),
        (1_000, 3, {"epochs": 2.0}, "2 epochs are 42 steps only, min_steps makes them 1,500"),
        (3_000_000, 3, {"cache_dir": "/disk"}, r"each shard is copied 1\.\d times, .* take fewer lanes \(48\)"),
        (3_000_000, 3, {"shards": "s3://a/b"}, r"each shard is copied 1\.\d times, .* read a folder in place"),
    ],
)
def test_what_is_unwise_is_said(samples: int, ranks: int, settings: dict, sentence: str):
    hints = run_of(samples, ranks, **settings).hints
    assert len([hint for hint in hints if re.search(sentence, hint)]) == 1


def test_windows_that_do_not_fit_the_memory_are_said():
    config = overlay(CONFIG, {"window": 100_000}, "a test")
    epoch = forecast_run(simulate_shards(35_000_000), RENDERED_EDGES, config, 3).epoch
    (hint,) = hints_of_reading(epoch, config, memory=8 << 30)
    assert "up to 35.25 GB" in hint and "this machine has 8.59 GB" in hint and "--set window=, now 100,000" in hint
    assert list(hints_of_reading(epoch, config, memory=64 << 30)) == []


def test_what_cannot_run_is_an_error():
    with pytest.raises(ConfigError, match="49 ranks, but 48 lanes; give --set lanes=49"):
        run_of(1000, 49)
    with pytest.raises(ConfigError, match="give at least 1"):
        run_of(1000, 0)
    with pytest.raises(ShardError, match="holds no sample"):
        forecast_run((), RENDERED_EDGES, CONFIG, 3)


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
    assert CliRunner().invoke(app, ["plan", "--ranks", "49", "--samples", "9"]).exit_code == 2
    assert CliRunner().invoke(app, ["plan"]).exit_code == 3  # no shards
