"""Sets that miss a split: training says that nothing is validated, or refuses; eval says what it can read."""

import json
from pathlib import Path

import pytest
from PIL import Image

from sharding.build import ShardOptions, build_shards

pytestmark = pytest.mark.e2e
SETTINGS = """
[train]
steps = 2
global_batch = 8
model_options = {width = 0.25, hidden = 24}
"""


def folder_of(folder: Path, *splits: str) -> Path:
    """A working folder whose shards have these splits, 24 images in each."""
    rows = ["path\tlabel\tsplit\n"]
    for number, split in enumerate(splits * 24):
        (folder / "raw").mkdir(exist_ok=True)
        Image.new("L", (64 + number % 9, 64), 250 - number).save(folder / "raw" / f"{number}.png")
        rows.append(f"{number}.png\t{'abcde'[number % 5]}{'xyz'[number % 3]}\t{split}\n")
    (folder / "raw/labels.tsv").write_text("".join(rows), "utf-8")
    (folder / "horovod-ocr.toml").write_text(SETTINGS)
    build_shards(ShardOptions.of(src=folder / "raw", out=folder / "shards", profile="latin", workers=1))
    return folder


def test_a_set_of_train_alone(groups, tmp_path):
    folder = folder_of(tmp_path, "train")
    trained = groups.say(1, "horovod-ocr train --run it", folder)
    assert trained.returncode == 0, trained.stderr
    assert "warning: shards has no val split: nothing is validated, and the best checkpoint is" in trained.stdout
    assert "shard --split label --fractions 0.8,0.1,0.1" in trained.stdout
    assert "validates every" not in trained.stdout and "saves every 1" in trained.stdout
    assert "read the test split" not in trained.stdout
    refused = groups.say(1, "horovod-ocr eval", folder)
    assert refused.returncode == 3 and refused.stderr.count("horovod-ocr: ") == 1
    assert "has neither a test nor a val split" in refused.stderr
    assert "horovod-ocr eval --split train" in refused.stderr and "shard more" not in refused.stderr
    scored = groups.say(1, "horovod-ocr eval --split train", folder)
    assert scored.returncode == 0, scored.stderr
    report = json.loads((folder / "runs/it/eval.json").read_text("utf-8"))
    assert (report["split"], report["samples"], report["step"]) == ("train", 24, 2)  # the last checkpoint
    other = groups.say(1, "horovod-ocr eval --split val", folder)
    assert other.returncode == 3
    assert "the val split holds no sample (there is: train 24); read another with --split train" in other.stderr


def test_a_set_without_val_is_scored_on_test(groups, tmp_path):
    folder = folder_of(tmp_path, "train", "test")
    trained = groups.say(1, "horovod-ocr train --run it", folder)
    assert "has no val split" in trained.stdout and "read the test split with: horovod-ocr eval" in trained.stdout
    assert groups.say(1, "horovod-ocr eval", folder).returncode == 0
    assert json.loads((folder / "runs/it/eval.json").read_text("utf-8"))["split"] == "test"


def test_a_set_with_val_validates(groups, tmp_path):
    folder = folder_of(tmp_path, "train", "val")
    trained = groups.say(1, "horovod-ocr train --run it", folder)
    assert "validates every 1, saves every 1" in trained.stdout and "no val split" not in trained.stdout
    assert "read the val split with: horovod-ocr eval" in trained.stdout


@pytest.mark.parametrize(("command", "code"), [("train --run it", 3), ("plan", 3), ("doctor --quick", 4)])
def test_a_set_without_train_is_refused(groups, tmp_path, command, code):
    folder = folder_of(tmp_path, "val", "test")
    refused = groups.say(1, f"horovod-ocr {command}", folder)
    assert refused.returncode == code, refused.stdout + refused.stderr
    assert "train split" in refused.stderr + refused.stdout
    assert "--fractions 0.8,0.1,0.1" in " ".join((refused.stderr + refused.stdout).split())
    assert "Traceback" not in refused.stderr and not (folder / "runs/it/LAST").exists()
