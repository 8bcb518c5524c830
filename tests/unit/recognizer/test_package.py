"""Exports as folder and zip: whole, or refused with what to do."""

import json
import shutil
import zipfile

import pytest

from horovod_ocr.errors import ExportError
from horovod_ocr.recognizer import Recognizer
from horovod_ocr.recognizer.package import read_package
from tests.unit.recognizer.packages import random_word, write_package


@pytest.fixture
def folder(tmp_path):
    return write_package(tmp_path / "export")


def zipped(folder, kind=zipfile.ZIP_DEFLATED):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", kind) as archive:
        for each in sorted(folder.iterdir()):
            archive.write(each, each.name)
    return path


def test_a_zip_reads_as_the_folder(folder):
    word = random_word(3)
    assert Recognizer.load(zipped(folder)).read(word) == Recognizer.load(folder).read(word)


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize(
    "harm, said",
    [
        (lambda f: (f / "model.int8.onnx").unlink(), "model.int8.onnx is missing; export again"),
        (lambda f: (f / "model.int8.onnx").write_bytes(b"x" * 99), "model.int8.onnx is damaged: its bytes differ"),
        (lambda f: (f / "recognizer.json").write_text("{"), "recognizer.json is not that of an exported recogniser"),
        (lambda f: (f / "recognizer.json").write_text("[" * 99_999), "is not that of an exported recogniser"),
        (lambda f: (f / "recognizer.json").write_bytes(b"\xff\xfe"), "is not that of an exported recogniser"),
        (lambda f: change(f, version=9), "export of version 9, this program reads 1; export again"),
        (lambda f: change(f, format="other"), "its format is 'other'"),
        (lambda f: change(f, models={}), "it names no model"),
        (lambda f: change(f, task={"kind": "sounds"}), "there is no reader of 'sounds'"),
        (lambda f: change(f, geometry={}), "recognizer.json does not hold what it should"),
        (lambda f: change(f, confidence={}), "recognizer.json does not hold what it should"),
    ],
)
def test_what_is_damaged_is_named(folder, form, harm, said):
    harm(folder)
    with pytest.raises(ExportError) as raised:
        Recognizer.load(folder if form == "folder" else zipped(folder))
    assert said in str(raised.value) and "export" in str(raised.value)


def change(folder, **values):
    path = folder / "recognizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_no_export_is_refused(folder, tmp_path):
    (tmp_path / "note.txt").write_text("no zip")
    (tmp_path / "empty").mkdir()
    for path, said in (("note.txt", "not a zip of"), ("empty", "holds no recognizer.json"), ("gone", "no such folder")):
        with pytest.raises(ExportError, match=said):
            read_package(tmp_path / path)
    with pytest.raises(ExportError, match="has no model 'int4'; it has: fp32, int8"):
        read_package(folder, "int4")


def test_a_cut_zip_is_refused(folder):
    path = zipped(folder)
    content = path.read_bytes()
    for length in (len(content) // 2, len(content) - 30):
        path.write_bytes(content[:length])
        with pytest.raises(ExportError):
            Recognizer.load(path)


def test_a_model_that_onnxruntime_refuses_is_named(folder):
    import hashlib

    (folder / "model.int8.onnx").write_bytes(b"not onnx")
    models = json.loads((folder / "recognizer.json").read_text())["models"]
    models["int8"]["sha256"] = hashlib.sha256(b"not onnx").hexdigest()
    change(folder, models=models)
    with pytest.raises(ExportError, match="onnxruntime cannot read its int8 model"):
        Recognizer.load(folder)


def test_the_folder_of_an_export_can_be_moved(folder, tmp_path):
    shutil.move(folder, tmp_path / "elsewhere")
    assert Recognizer.load(tmp_path / "elsewhere").about["name"] == "small"


def geometry_with(**wrong) -> dict:
    return {"geometry": {"height": 32, "bucket_edges": [1.0], "width": None, "channels": 1} | wrong}


WRONG = [
    *({"confidence": {"temperature": value}} for value in (0, -1, float("nan"), float("inf"), 1e-300, "1", None)),
    *({"frame_px": value} for value in (0, -1, 1, 3, 7, 10**9, None, "4", 4.0, [])),
    *(geometry_with(height=value) for value in (0, 31, 1.5, 100_000)),
    *(geometry_with(width=value) for value in (64, -1)),
    *(geometry_with(channels=value) for value in (3, None)),
    *(geometry_with(bucket_edges=[value]) for value in (float("nan"), float("inf"))),
    *({"images_a_run": value} for value in (0, -1, 1.5, None)),
    *({"letters": value} for value in ([], ["a"], ["a"] * 21, ["ab", *"cdefghijklmnopqrstuv"], [1, 2], None)),
]


@pytest.mark.parametrize("changes", WRONG, ids=repr)
def test_what_does_not_fit_the_model_is_refused_when_it_is_loaded(folder, changes):
    """Otherwise it would be wrong readings, or a traceback at the first image."""
    about = json.loads((folder / "recognizer.json").read_text())
    if "images_a_run" in changes:
        about["models"]["int8"] |= changes
    elif "letters" in changes:
        about["task"]["charset"] |= changes
    else:
        about |= changes
    (folder / "recognizer.json").write_text(json.dumps(about))
    with pytest.raises(ExportError, match="export: "):
        Recognizer.load(folder)


def test_a_task_of_another_kind_than_the_model_is_refused(folder):
    change(folder, task={"kind": "classes", "classes": ["a", "b"]})
    with pytest.raises(ExportError, match="export: "):
        Recognizer.load(folder)


def test_no_byte_of_a_zip_can_be_wrong_unnoticed(folder):
    path = zipped(folder)
    content = bytearray(path.read_bytes())
    word = random_word(3)
    wanted, refused = Recognizer.load(folder).read(word), 0
    for at in range(0, len(content), max(1, len(content) // 60)):
        content[at] ^= 0x55
        path.write_bytes(content)
        content[at] ^= 0x55
        try:
            assert Recognizer.load(path).read(word) == wanted  # a byte that says nothing of the files
        except ExportError:
            refused += 1
    assert refused > 20


def test_a_model_that_is_no_file_is_refused(folder):
    (folder / "model.int8.onnx").unlink()
    (folder / "model.int8.onnx").symlink_to("/dev/zero")
    with pytest.raises(ExportError, match="model.int8.onnx: not a file"):
        Recognizer.load(folder)


def test_a_run_is_read_by_its_export(folder):
    (folder.parent / "run").mkdir()
    folder.rename(folder.parent / "run" / "export")
    assert Recognizer.load(folder.parent / "run").about["name"] == "small"
