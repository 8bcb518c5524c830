"""A run becomes a folder and a zip that read the same; what does not read the same is not written."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from horovod_ocr.checkpoint.file import load_best_of
from horovod_ocr.errors import CheckpointError, ExportError, ShardError
from horovod_ocr.export import prove
from horovod_ocr.export.export import export, request_export
from horovod_ocr.export.torch_network import build_recognizer
from horovod_ocr.export.trial import Trial, compare
from horovod_ocr.recognizer import Recognizer
from horovod_ocr.recognizer.find import find_export, require_export
from tests.unit.recognizer.packages import random_word

pytestmark = pytest.mark.slow


def export_run(run: Path, named: str | None = None, **changes):
    request = dict(out=None, shards=None, int8=True, most_lost=100.0) | changes
    return export(request_export(run.parent, named, **request), lambda said: None)


@pytest.mark.parametrize("kind", ["word_run", "class_run"])
def test_folder_and_zip_read_as_the_checkpoint(kind, request):
    run = request.getfixturevalue(kind)
    exported = export_run(run)
    about = json.loads((run / "export" / "recognizer.json").read_text("utf-8"))
    assert about["parity"]["compared"] == (12 if kind == "word_run" else 12)
    assert about["trained"]["step"] == 7 and about["language_model"] is None
    assert about["scores"]["split"] == exported.split == ("test" if kind == "word_run" else "val")
    for name, model in about["models"].items():
        content = (run / "export" / model["file"]).read_bytes()
        assert model["sha256"] == hashlib.sha256(content).hexdigest() and model["bytes"] == len(content), name
    words = [random_word(seed, 40 + 9 * seed) for seed in range(8)]
    checkpoint = build_recognizer(load_best_of(run), "fp32")
    temperature = about["confidence"]["temperature"]
    wanted = [
        (reading.text, reading.letters and [letter.box for letter in reading.letters])
        for reading in checkpoint.read(words)
    ]
    for path in (run / "export", run / "export.zip"):
        recognizer = Recognizer.load(path, "fp32")
        assert recognizer.reader.temperature == temperature
        read = recognizer.read(words)
        assert [(r.text, r.letters and [letter.box for letter in r.letters]) for r in read] == wanted


def test_the_same_checkpoint_makes_the_same_bytes(class_run):
    export_run(class_run)
    first = {path.name: path.read_bytes() for path in (class_run / "export").iterdir()} | {
        "zip": (class_run / "export.zip").read_bytes()
    }
    export_run(class_run)
    again = {path.name: path.read_bytes() for path in (class_run / "export").iterdir()} | {
        "zip": (class_run / "export.zip").read_bytes()
    }
    assert first == again
    assert not [path.name for path in class_run.iterdir() if path.name.startswith(".")]
    with zipfile.ZipFile(class_run / "export.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: content for name, content in first.items() if name != "zip"
        }


def test_an_int8_model_that_loses_too_much_is_refused_and_nothing_written(class_run, monkeypatch):
    monkeypatch.setattr(prove, "lost_points", lambda task, fp32, int8: 1.234)
    with pytest.raises(ExportError, match=r"loses 1.23 points on the val split, more than 0.5; .*--max-loss 1.24, or"):
        export_run(class_run, most_lost=0.5)
    assert not (class_run / "export").exists() and not (class_run / "export.zip").exists()
    export_run(class_run, most_lost=1.24)
    assert sorted(path.name for path in (class_run / "export").iterdir())[1:] == [
        "model.int8.onnx",
        "model.onnx",
        "recognizer.json",
    ]
    export_run(class_run, int8=False, most_lost=0.5)
    assert not (class_run / "export" / "model.int8.onnx").exists()


class Shifted:
    """A network whose scores are those of another one, moved."""

    def __init__(self, network, shift):
        self.network, self.shift = network, shift

    def logits(self, images):
        return self.network.logits(images) + self.shift


def test_a_model_that_reads_otherwise_is_refused(class_run):
    from horovod_ocr.data.store import open_store
    from horovod_ocr.export.trial import some_batches

    recognizer = build_recognizer(load_best_of(class_run), "fp32")
    store = open_store(str(class_run.parents[1] / "shards"))
    batches = list(some_batches(store, recognizer.geometry, "val", 500))
    same = Trial(recognizer.network, recognizer.reader, None)
    assert compare(same, same, batches).largest_difference == 0
    read = {reading.text for batch in batches for reading in same.read(batch)}
    towards = np.array([99, -99] if "dog" in read else [-99, 99], np.float32)
    other = Trial(Shifted(recognizer.network, towards), recognizer.reader, None)
    with pytest.raises(ExportError, match="sample [0-9]+: the checkpoint reads .*; nothing is written"):
        compare(same, other, batches)
    moved = Trial(Shifted(recognizer.network, np.float32(0.5)), recognizer.reader, None)
    with pytest.raises(ExportError, match="logits differ by 0.5"):
        compare(same, moved, batches)


def test_what_is_to_be_exported_is_found_or_refused(class_run, tmp_path):
    checkpoint = class_run / "checkpoints" / "step-00000007.pt"
    for named in (None, "it", str(class_run), str(checkpoint)):
        request = request_export(class_run.parent, named, None, None, True, 0.5)
        assert (request.run, request.out, request.payload["step"]) == (class_run, class_run / "export", 7)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(ExportError, match=r"full holds other files \(thesis.tex\); name another folder with --out"):
        request_export(class_run.parent, None, tmp_path / "full", None, True, 0.5)
    with pytest.raises(ExportError, match="thesis.tex is a file; name a folder"):
        request_export(class_run.parent, None, tmp_path / "full" / "thesis.tex", None, True, 0.5)
    with pytest.raises(CheckpointError, match="no run 'other'"):
        request_export(class_run.parent, "other", None, None, True, 0.5)


def test_without_shards_nothing_is_proved(class_run):
    (class_run.parents[1] / "shards").rename(class_run.parents[1] / "moved")
    with pytest.raises(ShardError, match="an export is proved on shards: name them with --shards"):
        export_run(class_run)
    assert export_run(class_run, shards=str(class_run.parents[1] / "moved")).split == "val"


def test_readers_find_the_export_of_the_best_checkpoint_alone(class_run):
    runs = class_run.parent
    assert "it has no export; make one with: horovod-ocr export it" in find_export(runs, None).why_none
    export_run(class_run, int8=False)
    assert require_export(runs, None) == find_export(runs, "it").path == class_run / "export"
    about = json.loads((class_run / "export" / "recognizer.json").read_text())
    about["trained"]["step"] = 3
    (class_run / "export" / "recognizer.json").write_text(json.dumps(about))
    with pytest.raises(ExportError, match="export is of step 3, and the best checkpoint of step 7; make one with"):
        require_export(runs, None)
    (class_run / "export" / "recognizer.json").write_text("{")
    with pytest.raises(ExportError, match="recognizer.json is damaged"):
        require_export(runs, None)


def test_an_interrupted_export_leaves_the_earlier_one(class_run, monkeypatch):
    export_run(class_run, int8=False)
    before = {path.name: path.read_bytes() for path in (class_run / "export").iterdir()}
    rename = Path.rename

    def interrupted(self, target):
        if ".tmp-new-" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_run(class_run)
    assert {path.name: path.read_bytes() for path in (class_run / "export").iterdir()} == before
    assert not [path.name for path in class_run.iterdir() if path.name.startswith(".")]


def test_nothing_of_others_is_replaced(class_run, tmp_path):
    (tmp_path / "mine.zip").write_text("precious")
    with pytest.raises(ExportError, match="mine.zip is no zip of an export, and would be replaced"):
        request_export(class_run.parent, None, tmp_path / "mine", None, True, 0.5)
    export_run(class_run, int8=False)
    (class_run / "export" / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"holds other files \(notes.txt\)"):
        request_export(class_run.parent, None, None, None, True, 0.5)
