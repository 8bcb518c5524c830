"""The README's three commands, literally, and what a person sees when something is missing."""

import json
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image

from horovod_ocr.synth.generate import SynthOptions, synthesize
from tests.e2e.typed import BIN, say

ROOT = Path(__file__).parents[2]
SETTINGS = """
[train]
steps = 30
global_batch = 24
log_every_steps = 10
model_options = {width = 0.25, hidden = 24}
"""
pytestmark = pytest.mark.e2e
needs_horovod = pytest.mark.skipif(not (BIN / "horovodrun").exists(), reason="needs Horovod (make setup)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder before the first command; the tests below go through it in their order."""
    folder = tmp_path_factory.mktemp("work")
    synthesize(SynthOptions(words=400, out=folder / "raw", seed=1, workers=1))
    shutil.copy(ROOT / "hosts.txt", folder)
    (folder / "horovod-ocr.toml").write_text(SETTINGS)
    (folder / "said").mkdir()
    return folder


@needs_horovod
def test_the_three_commands(folder):
    sharded = say("horovod-ocr shard --src raw/", folder)
    assert sharded.returncode == 0, sharded.stderr
    index = json.loads((folder / "shards/index.json").read_text())
    assert sum(index["totals"].values()) == 400 and index["profile"]["name"] == "urdu"

    trained = say("horovodrun -np 3 -H hosts.txt horovod-ocr train", folder)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "3 ranks on" in trained.stdout and "step 30/30" in trained.stdout and "ETA" in trained.stdout
    (run,) = (folder / "runs").iterdir()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained_lines = [line for line in lines if line["kind"] == "train"]
    losses = [line["loss"] for line in trained_lines]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert {"lr", "images_per_s", "data_wait_share", "eta_s", "blank_share"} <= trained_lines[0].keys()
    assert list((run / "tensorboard").glob("events*"))

    scored = say("horovod-ocr eval", folder)
    assert scored.returncode == 0, scored.stderr
    report = json.loads((run / "eval.json").read_text())
    assert report["split"] == "test" and report["samples"] == index["totals"]["test"]
    for part in (report, *report["subsets"].values()):
        assert 0 <= part["word_accuracy"] <= 1 and 0 < part["cer"] and part["one_minus_ned"] <= 1
        assert sum(row["samples"] for row in part["by_length"].values()) == part["samples"]
    assert set(report["subsets"]) == {"lexicon", "random"}
    assert sum(part["samples"] for part in report["subsets"].values()) == report["samples"]
    assert len(report["examples"]) == 10
    assert str(run) in scored.stdout.replace("\n", "")


@needs_horovod
def test_three_ranks_score_as_one(groups, folder):
    """A model of one step reads letters, if not the right ones; after thirty it would read blanks only."""
    begun = groups.say(1, "horovod-ocr train --runs first --run first --steps 1 --precision fp32", folder)
    assert begun.returncode == 0, begun.stderr
    reports = []
    for ranks in (1, 3):
        scored = groups.say(ranks, "horovod-ocr eval --runs first", folder)
        assert scored.returncode == 0, scored.stderr
        reports.append(json.loads((folder / "first/first/eval.json").read_text()))
    alone, together = reports
    assert all(example["reading"] for example in alone["examples"])
    for key in ("cer", "one_minus_ned"):
        assert together[key] == pytest.approx(alone[key], abs=1e-3)  # bf16 rounds by the size of the batch
    for key in ("samples", "word_accuracy"):
        assert together[key] == alone[key]
    for length, row in alone["by_length"].items():
        assert together["by_length"][length]["samples"] == row["samples"]


def test_readings_reach_a_file_while_the_bar_is_on_the_terminal(folder):
    """rich would take standard output along with its bar."""
    command = f"{BIN}/horovod-ocr predict --runs first raw/images/000 > readings.tsv"
    environment = {**os.environ, "TERM": "xterm"}
    master, terminal = pty.openpty()
    done = subprocess.run(["sh", "-c", command], cwd=folder, stderr=terminal, env=environment, timeout=600)
    os.close(terminal)
    os.close(master)
    assert done.returncode == 0 and len((folder / "readings.tsv").read_text("utf-8").splitlines()) == 400
    head = f"{BIN}/horovod-ocr predict --runs first raw/images/000 | head -n 1"
    done = subprocess.run(["sh", "-c", head], cwd=folder, capture_output=True, text=True, timeout=600)
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""


@needs_horovod
def test_predict_reads_files_and_folders(groups, folder):
    bad = folder / "raw" / "images" / "000" / "broken.png"
    bad.write_bytes(b"no picture")
    read = groups.say(1, "horovod-ocr predict --format jsonl raw/images/000/000001.png raw/images/000", folder)
    bad.unlink()
    rows = [json.loads(line) for line in read.stdout.splitlines()]
    assert len(rows) == 401 and rows[0]["path"] == "raw/images/000/000001.png"
    assert all(set(row) == {"path", "text", "confidence"} and 0 <= row["confidence"] <= 1 for row in rows)
    assert read.returncode == 3 and "broken.png: not an image" in read.stderr
    text = groups.say(1, "horovod-ocr predict raw/images/000/000001.png", folder)
    assert text.returncode == 0 and text.stdout.startswith("raw/images/000/000001.png\t")
    assert "Traceback" not in read.stderr + text.stderr


@needs_horovod
def test_a_run_goes_on_and_is_not_written_over(groups, folder):
    run = next((folder / "runs").iterdir())
    again = groups.say(1, f"horovod-ocr train --run {run.name}", folder)
    assert again.returncode == 2 and "continue it with --resume" in again.stderr
    (folder / "horovod-ocr.toml").rename(folder / "away.toml")  # the checkpoint knows its own settings
    on = groups.say(1, "horovod-ocr train --resume --steps 33", folder)
    other = groups.say(1, "horovod-ocr train --resume --steps 40 --global-batch 12", folder)
    fewer = groups.say(1, "horovod-ocr train --resume --steps 32", folder)
    (folder / "away.toml").rename(folder / "horovod-ocr.toml")
    assert on.returncode == 0, on.stderr
    assert "changed since the last checkpoint: steps 30 -> 33\n" in on.stdout
    assert "steps 30 to 33" in on.stdout and "global_batch=24" in on.stdout and "recipe=urdu" in on.stdout
    assert other.returncode == 3 and "was trained with global_batch 24, not 12" in other.stderr
    assert_one_sentence(fewer, 3, "has taken 33 steps already; give --steps above that")


@needs_horovod
def test_a_checkpoint_of_another_charset(groups, folder, tmp_path):
    run = next((folder / "runs").iterdir())
    shutil.copytree(folder / "shards", tmp_path / "shards")
    copy = tmp_path / "runs" / run.name
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("*.pt"):
        payload = torch.load(path, weights_only=True)
        letters = payload["task"]["charset"]["letters"]
        assert "ک" in letters
        payload["task"]["charset"]["letters"] = ["Ψ" if letter == "ک" else letter for letter in letters]
        torch.save(payload, path)
        path.with_name(path.name + ".sha256").unlink()
    shutil.copy(folder / "horovod-ocr.toml", tmp_path)
    assert_one_sentence(
        groups.say(1, "horovod-ocr eval", tmp_path), 3, "1 letters that this checkpoint's charset lacks: ک"
    )
    resumed = groups.say(1, "horovod-ocr train --resume --steps 50", tmp_path)
    assert_one_sentence(resumed, 3, "was trained with another charset or script profile than shards has")


def assert_one_sentence(said: subprocess.CompletedProcess, code: int, sentence: str) -> None:
    lines = [line for line in said.stderr.splitlines() if "horovod-ocr:" in line or line.startswith("horovodrun:")]
    assert said.returncode == code, said.stdout + said.stderr
    assert any(sentence in line for line in lines), said.stderr
    assert "Traceback" not in said.stderr + said.stdout
    assert sum("horovod-ocr:" in line for line in lines) <= 1, said.stderr


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        ("horovod-ocr shard --src nowhere/", 3, "nowhere"),
        ("horovod-ocr shard --src empty/", 3, "empty"),
        ("horovod-ocr train", 3, "no shards: there is no folder shards; make it with: horovod-ocr shard --src raw/"),
        ("horovod-ocr eval", 3, "train first: horovod-ocr train"),
        ("horovod-ocr predict nothing.png", 3, "there is no image nothing.png"),
        ("horovod-ocr predict picture.png", 3, "train first"),
        ("horovod-ocr train --recipe klingon", 2, "no recipe 'klingon'; there are: asl, classes, demo, lines, urdu"),
        ("horovod-ocr train --shards old", 3, "version 99"),
        ("horovod-ocr predict --format xml picture.png", 2, "--format is text, jsonl or csv"),
        ("horovod-ocr synth --out full --words 10", 2, "full"),
        ("horovod-ocr shard --fractions 0.9,0.2,0.1", 2, "they must add to 1"),
        ("horovod-ocr shard --image gif --json", 2, "unknown image form 'gif'; there are: keep, png, jpeg"),
        ("horovod-ocr verify nowhere", 3, "no shards: there is no folder nowhere"),
        ("horovod-ocr verify --repair --shards old", 3, "version 99"),
    ],
)
def test_bad_input_is_one_sentence(groups, tmp_path, command, code, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    Image.new("L", (40, 20)).save(tmp_path / "picture.png")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "index.json").write_text('{"format": "horovod-ocr shards", "version": 99}')
    assert_one_sentence(groups.say(1, command, tmp_path), code, sentence)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def test_the_installed_command_ends_with_the_code_and_one_line(tmp_path):
    said = say("horovod-ocr eval", tmp_path)
    assert (said.returncode, said.stdout, said.stderr.count("\n")) == (3, "", 1)
    assert_one_sentence(said, 3, "train first: horovod-ocr train")


@needs_horovod
@pytest.mark.parametrize("controller", ["", "--gloo "])
def test_bad_input_under_horovodrun_is_one_sentence(tmp_path, controller):
    shutil.copy(ROOT / "hosts.txt", tmp_path)
    said = say(f"horovodrun {controller}-np 3 -H hosts.txt horovod-ocr train", tmp_path)
    assert_one_sentence(said, 3, "no shards: there is no folder shards")
    said = say(f"horovodrun {controller}-np 9 -H hosts.txt horovod-ocr train", tmp_path)
    assert_one_sentence(said, 4, "slots")


def test_a_raw_folder_with_all_that_can_be_wrong(groups, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for shade, name in enumerate(("good", "good2", "empty", "latin")):
        Image.new("L", (60, 40), 255 - shade).save(raw / f"{name}.png")
    (raw / "broken.png").write_bytes(b"\x89PNG no more")
    rows = ["good.png\tکتاب", "good2.png\tبات", "gone.png\tقلم", "broken.png\tدن", "empty.png\t  ", "latin.png\tabcکا"]
    (raw / "labels.tsv").write_text("path\tlabel\n" + "\n".join(rows) + "\n", "utf-8")
    said = groups.say(1, "horovod-ocr shard --src raw/ --profile urdu", tmp_path)
    assert said.returncode == 0, said.stderr
    rejects = (tmp_path / "shards/rejects.tsv").read_text("utf-8").splitlines()
    assert len(rejects) == 5 and {row.split("\t")[0] for row in rejects[1:]} == {
        "gone.png",
        "broken.png",
        "empty.png",
        "latin.png",
    }
    index = json.loads((tmp_path / "shards/index.json").read_text())
    assert sum(index["rejects"].values()) == 4 and sum(index["totals"].values()) == 2
    for reason in index["rejects"]:
        assert any(line.startswith(reason) and " 1 " in line for line in said.stdout.splitlines())


def test_verify_finds_what_is_damaged_and_repairs_it(groups, tmp_path):
    synthesize(SynthOptions(words=300, out=tmp_path / "raw", seed=2, workers=1))
    assert groups.say(1, "horovod-ocr shard", tmp_path).returncode == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "shards").glob("*.*")}
    with (tmp_path / "shards/train-000000.tar").open("r+b") as file:
        file.seek(2000)
        file.write(b"\x00damage")
    (tmp_path / "shards/val-000000.idx").unlink()
    found = groups.say(1, "horovod-ocr verify", tmp_path)
    assert_one_sentence(found, 3, "repair it with: horovod-ocr verify --repair")
    assert "train-000000: " in found.stdout and "val-000000: " in found.stdout
    repaired = groups.say(1, "horovod-ocr verify --repair", tmp_path)
    assert repaired.returncode == 0, repaired.stderr
    assert "made again: train-000000 val-000000" in repaired.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").glob("*.*")} == whole


def test_help_names_every_command(tmp_path):
    said = say("horovod-ocr --help", tmp_path)
    assert said.returncode == 0
    assert all(name in said.stdout for name in ("synth", "shard", "verify", "stats", "train", "eval", "predict"))
