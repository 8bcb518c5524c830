"""Image classes from folders to readings: the same commands as for words."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.e2e.typed import BIN, say

SETTINGS = """
[train]
recipe = "classes"
model = "cnn"
model_options = {width = 0.5, hidden = 32, dropout = 0.1}
height = 24
steps = 240
global_batch = 24
log_every_steps = 80
"""
NAMES = ("a circle", "مربع", "stripes")  # with a space, of another script
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not (BIN / "horovodrun").exists(), reason="needs Horovod (make setup)"),
]


def draw_picture(kind: int, rng: np.random.Generator) -> Image.Image:
    """A picture in colour of a size of its own; its background says nothing of its class."""
    size = int(rng.integers(30, 60)), int(rng.integers(30, 60))
    ground, ink = (tuple(rng.integers(low, low + 90, 3).tolist()) for low in (160, 0))
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    left, top = rng.integers(2, 10, 2).tolist()
    box = (left, top, left + 18, top + 18)
    if kind == 0:
        draw.ellipse(box, ink)
    elif kind == 1:
        draw.rectangle(box, ink)
    else:
        for row in range(0, size[1], 8):
            draw.line((0, row, size[0], row), ink, 3)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Twenty subjects with five pictures of each class."""
    folder, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for kind, name in enumerate(NAMES):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(100):
            draw_picture(kind, rng).save(folder / "data" / name / f"subject{number // 5}-{number % 5}.jpg")
    (folder / "horovod-ocr.toml").write_text(SETTINGS, "utf-8")
    return folder


def test_shard_by_subject(folder):
    sharded = say(r"horovod-ocr shard --src data/ --group-from subject\d+ --fractions 0.6,0.2,0.2", folder)
    assert sharded.returncode == 0, sharded.stderr
    index = json.loads((folder / "shards/index.json").read_text("utf-8"))
    assert index["kind"] == "classes" and index["classes"] == sorted(NAMES)
    assert sum(index["totals"].values()) == 300 and all(count % 15 == 0 for count in index["totals"].values())
    assert min(index["totals"].values()) > 0
    assert len(index["bucket_edges"]) == 1


def test_plan_says_what_train_will_do(folder):
    planned = say("horovod-ocr plan --json -np 2", folder)
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["steps"] == 240


def test_train_on_two_ranks_and_score(folder):
    trained = say("horovodrun -np 2 -H localhost:2 horovod-ocr train --run shapes", folder)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "2 ranks on cpu" in trained.stdout and "3 classes (" in trained.stdout and "accuracy" in trained.stdout
    scored = say("horovod-ocr eval", folder)
    assert scored.returncode == 0, scored.stderr
    run = folder / "runs" / "shapes"
    report = json.loads((run / "eval.json").read_text("utf-8"))
    assert report["accuracy"] >= 0.9 and report["macro_f1"] > 0.85
    assert np.sum(report["confusion"]) == report["samples"] == sum(map(sum, report["confusion"]))
    assert "each class" in scored.stdout and "confusion.png" in scored.stdout.replace("\n", "")
    with Image.open(run / "confusion.png") as picture:
        assert picture.width > 100
    assert (run / "worst.png").exists() == (report["accuracy"] < 1)
    for mistake in report["worst"]:
        assert f"/{mistake['label']}/" in mistake["source"] and (folder / mistake["source"]).is_file()
    for mistake in report["worst"][:10]:
        assert mistake["source"] in scored.stdout.replace("\n", "")


def test_classes_and_probabilities_are_predicted(folder):
    read = say("horovod-ocr predict data/stripes --format jsonl", folder)
    assert read.returncode == 0, read.stderr
    rows = [json.loads(line) for line in read.stdout.splitlines()]
    assert len(rows) == 100 and sum(row["class"] == "stripes" for row in rows) >= 90
    for row in rows:
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert row["confidence"] == max(row["probabilities"].values()) and set(row["probabilities"]) == set(NAMES)
    line = say("horovod-ocr predict data/stripes/subject0-0.jpg", folder).stdout
    assert line.startswith("data/stripes/subject0-0.jpg\tstripes\tstripes ")


def test_a_run_is_listed_and_goes_on(folder):
    (row,) = map(json.loads, say("horovod-ocr runs --json", folder).stdout.splitlines())
    assert row["name"] == "shapes" and row["accuracy"] >= 0.9 and row["word_accuracy"] is None
    on = say("horovod-ocr train --resume --steps 250", folder)
    assert on.returncode == 0 and "steps 240 to 250" in on.stdout, on.stderr
