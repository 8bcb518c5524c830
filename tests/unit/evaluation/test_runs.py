"""Every run is listed, whatever state its files are in."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from horovod_ocr.cli.main import app
from horovod_ocr.errors import CheckpointError
from horovod_ocr.evaluation.runs import list_runs
from horovod_ocr.run.state import SILENT_S, STATE, RunState, write_state


def make(runs: Path, name: str, state: RunState | None = None, ago_s: float = 0.0, metrics: str = "") -> Path:
    """A run whose last sign of life is `ago_s` old, with two checkpoints of 100 bytes."""
    run, then = runs / name, time.time() - ago_s
    (run / "checkpoints").mkdir(parents=True)
    for step in (20, 40):
        (run / "checkpoints" / f"step-{step:08d}.pt").write_bytes(bytes(100))
    (run / "LAST").write_text("step-00000040.pt\n")
    if metrics:
        (run / "metrics.jsonl").write_text(metrics)
    for path in (run / "LAST", run / "metrics.jsonl"):
        if path.exists():
            os.utime(path, (then, then))
    if state:
        write_state(run, state)
        values = asdict(replace(state, time=then))
        (run / STATE).write_text(json.dumps(values))
    return run


def lines(*values: dict) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def val(step: int, cer: float) -> dict:
    return {"kind": "val", "step": step, "cer": cer, "word_accuracy": 1 - 2 * cer}


@pytest.fixture
def runs(tmp_path) -> Path:
    train = {"kind": "train", "step": 45, "epoch": 2.25, "loss": 0.1}
    make(tmp_path, "busy", RunState("training", 47, 100), 1, lines(val(20, 0.1), val(40, 0.2), train))
    make(tmp_path, "quiet", RunState("training", 47, 100), SILENT_S + 40)
    make(tmp_path, "asked", RunState("stopped", 50, 100, reason="SIGTERM"), 300)
    make(tmp_path, "broken", RunState("failed", 9, 100, reason="[a] gradient"), 3 * 3600)
    make(tmp_path, "old", None, 3 * 86400, lines(val(20, 0.3), train))
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("")
    return tmp_path


def test_each_run_newest_first(runs):
    rows = list_runs(runs)
    assert [row.name for row in rows] == ["busy", "quiet", "asked", "broken", "old"]
    assert [row.state for row in rows] == ["training", "silent", "stopped", "failed", "unknown"]
    assert [row.step for row in rows] == [47, 47, 50, 9, 45]
    busy = rows[0]
    assert (busy.epoch, busy.scores["cer"], busy.scores["word_accuracy"], busy.total_steps) == (2.25, 0.1, 0.8, 100)
    assert busy.checkpoints == 2
    assert busy.bytes == sum(path.stat().st_size for path in (runs / "busy").rglob("*") if path.is_file())
    assert (rows[4].scores["cer"], rows[4].total_steps, rows[1].epoch) == (0.3, None, None)


@pytest.mark.parametrize(
    "content",
    [b"\xff\x00" * 50, b"[" * 100, b'{"cer": "x", "step": []}\n[1]\n7\nnull\n{"cer": NaN}\n', b'{"step": 1e999}'],
)
def test_a_run_with_damaged_files_is_listed(tmp_path, content):
    run = make(tmp_path, "it")
    for name in ("metrics.jsonl", "state.json"):
        (run / name).write_bytes(content)
    (row,) = list_runs(tmp_path)
    assert (row.state, row.step, row.scores) == ("unknown", 40, {})
    (run / "LAST").write_bytes(content)
    (row,) = list_runs(tmp_path)
    assert row.step is None and row.checkpoints == 2


def test_a_run_that_may_not_be_read_does_not_hide_the_others(tmp_path, monkeypatch):
    make(tmp_path, "mine")
    theirs, stat = str(make(tmp_path, "theirs")), os.stat

    def refuse(path, *arguments, **options):
        if str(path).startswith(theirs + os.sep):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert [row.name for row in list_runs(tmp_path)] == ["mine"]


def test_the_table_is_complete_however_narrow_the_terminal(runs):
    ran = CliRunner().invoke(app, ["runs", "--runs", str(runs)], env={"COLUMNS": "40"})
    printed = ran.stdout.splitlines()
    rows = {line.split()[0]: line for line in printed[:6]}
    assert rows.keys() == {"run", "busy", "quiet", "asked", "broken", "old"}
    assert "47 / 100" in rows["busy"] and "80.00%" in rows["busy"] and "now" in rows["busy"]
    assert "silent" in rows["quiet"] and printed[6].startswith("quiet: silent since 20")
    assert "stopped" in rows["asked"] and "5 min ago" in rows["asked"] and printed[7] == "asked: stopped: SIGTERM"
    assert "3 h ago" in rows["broken"] and printed[8] == "broken: failed: [a] gradient"
    assert "unknown" in rows["old"] and "3 d ago" in rows["old"] and len(printed) == 9


def test_the_command(runs, monkeypatch):
    ran = CliRunner().invoke(app, ["runs", "--runs", str(runs), "--json"])
    assert [json.loads(line)["name"] for line in ran.stdout.splitlines()][0] == "busy"
    monkeypatch.chdir(runs)
    ran = CliRunner().invoke(app, ["runs"])
    assert ran.exit_code == 3 and "no run in runs/; train first" in " ".join(ran.stderr.split())
    with pytest.raises(CheckpointError, match="no run in"):
        list_runs(runs / "notes")


@pytest.mark.slow
def test_listing_does_not_import_torch(runs):
    program = f"""
import sys
from pathlib import Path
from horovod_ocr.evaluation.runs import list_runs
list_runs(Path({str(runs)!r}))
from horovod_ocr.cli.options import folder_of_runs
folder_of_runs(None)
print("torch" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("key, score", [("cer", "cer"), ("error_rate", "accuracy")])
def test_the_score_is_that_of_the_best_validation(tmp_path, key, score):
    """Wherever it is; one without samples is none."""
    rows = [(1, 0.5, 9), (2, 0.25, 9), (3, 0.0, 0), (4, 0.75, 9)]
    lines = [
        json.dumps({"step": step, "samples": n, key: low, score: low if score == key else 1 - low})
        for step, low, n in rows
    ]
    (tmp_path / "it").mkdir()
    (tmp_path / "it/metrics.jsonl").write_text("\n".join(lines) + "\n")
    (row,) = list_runs(tmp_path)
    assert row.scores[score] == (0.25 if score == key else 0.75) and row.step == 4
