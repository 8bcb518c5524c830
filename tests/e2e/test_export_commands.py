"""From a run to readings without torch: export, and predict in all its forms."""

import csv
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from horovod_ocr.recognizer import Recognizer
from horovod_ocr.synth.generate import SynthOptions, synthesize
from tests.e2e.typed import BIN, say

pytestmark = pytest.mark.e2e
SETTINGS = """
[train]
steps = 2
global_batch = 24
precision = "fp32"
model_options = {width = 0.25, hidden = 24}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run of two steps, which reads letters if not the right ones, and its export."""
    folder = tmp_path_factory.mktemp("export")
    synthesize(SynthOptions(words=300, out=folder / "raw", seed=1, workers=1))
    (folder / "horovod-ocr.toml").write_text(SETTINGS)
    for command in ("shard --src raw/", "train --run it"):
        done = say(f"horovod-ocr {command}", folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_a_run_is_exported_and_said_what_was_proved(folder):
    before = say("horovod-ocr predict --format jsonl raw/images/000/000001.png", folder)
    done = say("horovod-ocr export --max-loss 100", folder)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "samples read exactly as by the checkpoint" in shown and "model.int8.onnx" in shown
    assert "runs/it/export, runs/it/export.zip" in shown
    after = say("horovod-ocr predict --precision fp32 --format jsonl raw/images/000/000001.png", folder)
    assert json.loads(after.stdout)["text"] == json.loads(before.stdout)["text"] != ""
    refused = say("horovod-ocr export nothing.pt", folder)
    assert refused.returncode == 3 and "nothing.pt: no such file" in refused.stderr


def rows_of(folder: Path, *options: str) -> list[dict]:
    read = say(f"horovod-ocr predict --format jsonl {' '.join(options)}", folder)
    assert read.returncode == 0, read.stderr
    return [json.loads(line) for line in read.stdout.splitlines()]


def test_predict_reads_the_same_from_every_kind_of_source(folder, tmp_path):
    images = sorted((folder / "raw/images/000").iterdir())[:5]
    wanted = [
        (reading.text, round(reading.confidence, 4))
        for reading in Recognizer.load(folder / "runs/it/export").read(images)
    ]
    assert wanted[0][0]
    for image in images:
        (tmp_path / image.name).write_bytes(image.read_bytes())
    with tarfile.open(tmp_path / "words.tar", "w") as tar:
        for image in images:
            tar.add(image, image.name)
    (tmp_path / "names.txt").write_text("".join(f"{image}\n" for image in images))
    sources = (
        f"{tmp_path}/*.png",
        f"{tmp_path}/words.tar",
        f"--files-from {tmp_path}/names.txt",
        f"--model runs/it/export.zip {tmp_path}/*.png",
        f"--jobs 2 {tmp_path}/*.png",
    )
    for source in sources:
        rows = rows_of(folder, source)
        assert [(row["text"], row["confidence"]) for row in rows] == wanted, source
        assert [Path(row["path"]).name for row in rows] == [image.name for image in images], source
    command = [BIN / "horovod-ocr", "predict", "-", "--format", "csv"]
    piped = subprocess.run(command, cwd=folder, input=images[0].read_bytes(), capture_output=True, check=True)
    head, row = csv.reader(io.StringIO(piped.stdout.decode()))
    assert head == ["path", "text", "confidence"] and row[:2] == ["standard input", wanted[0][0]]


def test_a_shard_set_is_read_whole(folder):
    rows = rows_of(folder, "shards")
    assert len(rows) == 300 and all(".tar/" in row["path"] for row in rows)


def test_letters_and_rejected_readings_are_marked(folder):
    rows = rows_of(folder, "--letters", "--reject-below 0.2", "raw/images")
    assert all("".join(letter["text"] for letter in row.get("letters", ())) == row["text"] for row in rows)
    assert {row["rejected"] for row in rows} == {row["confidence"] < 0.2 for row in rows}
    read = say("horovod-ocr predict --reject-below 0.999 raw/images", folder)
    assert "of the readings of the test split have a confidence of 0.999 or more" in read.stderr
    assert "of 300 readings, of a confidence below 0.999" in read.stderr
    assert sum(line.endswith("\t") for line in read.stdout.splitlines()) > 100


@pytest.mark.parametrize(
    "options, code, said",
    [
        ("raw --precision int4", 2, "--precision is auto, fp32 or int8, not 'int4'"),
        ("", 2, "name images, folders, globs or shards to read"),
        ("raw --model nowhere.zip", 3, "nowhere.zip: no such folder or zip; make one with: horovod-ocr export"),
        ("raw --model runs/it/export --run it", 2, "leave --run and --device out"),
        ("raw --files-from gone.txt", 3, "gone.txt: No such file"),
        ("raw --reject-below 2", 2, "reject-below"),
        ("raw --letters", 2, "give --format jsonl as well"),
        ("- --files-from -", 2, "standard input is either an image (-) or names (--files-from -), not both"),
    ],
)
def test_what_cannot_be_is_a_sentence(folder, options, code, said):
    done = say(f"horovod-ocr predict {options}", folder)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Block())
from horovod_ocr.cli.main import main
sys.argv = ["horovod-ocr", *sys.argv[1:]]
main()
"""


def without(packages: set[str], command: str, folder: Path) -> subprocess.CompletedProcess:
    """A command where these packages are not installed."""
    words = [sys.executable, "-c", BLOCKED.format(blocked=packages), *command.split()]
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, encoding="utf-8", env=os.environ, check=False
    )


def test_what_is_not_installed_is_named_with_its_extra(folder):
    """As after `pip install horovod-ocr[serve]`, or without any extra."""
    training = {"torch", "horovod", "webdataset", "rapidfuzz", "tensorboard", "matplotlib", "onnx", "onnxscript"}
    read = without(training, "predict raw/images/000/000001.png", folder)
    assert read.returncode == 0 and read.stdout.startswith("raw/images/000/000001.png\t"), read.stderr
    for command in ("train", "eval", "export"):
        refused = without(training, command, folder)
        assert refused.returncode == 2, refused.stderr
        assert "which is not installed: pip install 'horovod-ocr[train]'" in refused.stderr
    (folder / "runs/it/export").rename(folder / "runs/it/away")
    unread = without(training, "predict raw/images/000/000001.png", folder)
    (folder / "runs/it/away").rename(folder / "runs/it/export")
    assert unread.returncode == 2 and "runs/it has no export; make one with: horovod-ocr export it" in unread.stderr
    bare = without({*training, "onnxruntime"}, "predict raw/images/000/000001.png", folder)
    assert bare.returncode == 2 and "pip install 'horovod-ocr[serve]'" in bare.stderr
    looked = without({*training, "onnxruntime"}, "stats", folder)
    assert looked.returncode == 0, looked.stderr
