"""File names that are not UTF-8, and shells whose locale is not: every image is read, and every line names its file."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from horovod_ocr.run.state import read_state
from tests.e2e.typed import BIN, say

pytestmark = pytest.mark.e2e
needs_horovod = pytest.mark.skipif(not (BIN / "horovodrun").exists(), reason="needs Horovod: make setup builds it")
NAMES = (b"eins.png", b"lat\xe9n.png", "چار.png".encode())
SETTINGS = """
[train]
steps = 1
global_batch = 24
model_options = {width = 0.25, hidden = 24}
"""


@pytest.fixture(scope="module")
def folder(word_shards, tmp_path_factory) -> Path:
    """A working folder with a run of one step and a folder of three images."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "shards").symlink_to(word_shards)
    (folder / "horovod-ocr.toml").write_text(SETTINGS)
    (folder / "images").mkdir()
    for shade, name in enumerate(NAMES):
        Image.new("L", (96, 64), 200 + shade).save(folder / "images" / "one.png")
        (folder / "images" / "one.png").rename(folder / "images" / os.fsdecode(name))
    trained = say("horovod-ocr train --run first", folder)
    assert trained.returncode == 0, trained.stderr
    return folder


@pytest.fixture(params=["UTF-8", "C", "ISO-8859-1", "PYTHONIOENCODING"])
def shell(request, tmp_path_factory, monkeypatch) -> str:
    """The environment of a shell, in which the test's commands run."""
    monkeypatch.delenv("PYTHONUTF8", raising=False)
    if request.param == "PYTHONIOENCODING":
        monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    elif request.param == "ISO-8859-1":
        use_latin_1(tmp_path_factory, monkeypatch)
    else:
        monkeypatch.setenv("LC_ALL", "C.UTF-8" if request.param == "UTF-8" else "C")
    return request.param


def use_latin_1(tmp_path_factory, monkeypatch) -> None:
    """A locale of this test's own: machines rarely have one installed."""
    locales = tmp_path_factory.mktemp("locales")
    name = locales / "en_US.ISO-8859-1"
    if not shutil.which("localedef"):
        pytest.skip("needs localedef")
    made = subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(name)], capture_output=True, text=True)
    if not name.exists():
        pytest.skip(f"needs localedef with the sources of locales (Debian package locales): {made.stderr[:200]}")
    monkeypatch.setenv("LOCPATH", str(locales))
    monkeypatch.setenv("LC_ALL", name.name)


def test_predict_reads_every_image_of_a_folder(folder, shell):
    read = say("horovod-ocr predict --format jsonl images", folder)
    assert read.returncode == 0, read.stderr
    paths = [os.fsencode(json.loads(line)["path"]) for line in read.stdout.splitlines()]
    assert sorted(paths) == sorted(b"images/" + name for name in NAMES)
    text = say("horovod-ocr predict images", folder)
    assert text.returncode == 0, text.stderr
    shown = [line.split("\t")[0] for line in text.stdout.splitlines()]
    assert sorted(shown) == sorted(["images/eins.png", "images/lat\\udce9n.png", "images/چار.png"])


def test_an_image_that_cannot_be_read_is_named(folder, tmp_path):
    (tmp_path / os.fsdecode(NAMES[1])).write_bytes(b"no image")
    shutil.copy(folder / "images/eins.png", tmp_path / "zwei.png")
    read = say(f"horovod-ocr predict --runs {folder}/runs {tmp_path}", folder)
    assert read.returncode == 3 and "lat\\udce9n.png: not an image" in read.stderr
    assert [line.split("\t")[0] for line in read.stdout.splitlines()] == [f"{tmp_path}/zwei.png"]
    assert "Traceback" not in read.stderr


def test_a_name_with_a_line_end_is_refused_in_text_and_read_as_json(folder, tmp_path):
    shutil.copy(folder / "images/eins.png", tmp_path / "a\tb\nc.png")
    shutil.copy(folder / "images/eins.png", tmp_path / "d.png")
    command = f"horovod-ocr predict --runs {folder}/runs {tmp_path}"
    refused = say(command, folder)
    assert refused.returncode == 2
    assert [line.split("\t")[0] for line in refused.stdout.splitlines()] == [f"{tmp_path}/d.png"]
    assert "has a tab, a line end or the like in its name; use --format jsonl" in refused.stderr
    lines = say(f"{command} --format jsonl", folder).stdout.splitlines()
    assert [json.loads(line)["path"] for line in lines] == [f"{tmp_path}/a\tb\nc.png", f"{tmp_path}/d.png"]


def test_the_whole_way_through_folders_that_are_not_utf8(folder, tmp_path_factory, monkeypatch):
    """From raw images to a score: rejects.tsv, audit.html, index, run and report are written, as UTF-8."""
    use_latin_1(tmp_path_factory, monkeypatch)
    bad = os.fsdecode(b"r\xe9")
    raw = folder / bad
    (raw / "train").mkdir(parents=True)
    rows = []
    for shade in range(40):
        name = os.fsdecode(b"\xe9%d.png" % shade)
        Image.new("L", (64 + shade, 64), 255 - shade).save(raw / "one.png")
        (raw / "one.png").rename(raw / "train" / name)
        rows.append(f"train/{name}\t{'ابپتٹ'[shade % 5]}{'ت' * (shade % 3)}\n")
    (raw / "train" / os.fsdecode(b"bad\xe9.png")).write_bytes(b"no image")
    rows.append(os.fsdecode(b"train/bad\xe9.png\tx\n"))
    (raw / "labels.tsv").write_text("".join(rows), "utf-8", "surrogateescape")
    where = f"--shards {bad}/shards --runs {bad}/runs"
    for command in (
        f"horovod-ocr audit --src {bad} --out {bad}/audit.html --profile urdu",
        f"horovod-ocr shard --src {bad} --out {bad}/shards --profile urdu",
        f"horovod-ocr stats --shards {bad}/shards",
        f"horovod-ocr train --run {bad} {where}",
        f"horovod-ocr train --run {bad} {where} --resume --steps 2",
        f"horovod-ocr runs --runs {bad}/runs",
        f"horovod-ocr eval {where}",
    ):
        said = say(command, folder)
        # xdist cannot send a report that is no UTF-8
        assert said.returncode == 0, ascii(command + said.stdout + said.stderr)
    assert "bad\\udce9.png" in (raw / "shards/rejects.tsv").read_text("utf-8").replace("\\xe9", "\\udce9")
    assert "bad\\udce9.png" in (raw / "audit.html").read_text("utf-8").replace("\\xe9", "\\udce9")
    run = raw / "runs" / bad
    assert os.fsencode(json.loads((run / "eval.json").read_text("utf-8"))["run"]) == os.fsencode(bad)
    assert read_state(run).step == 2
    assert f"resume {bad}/runs".replace("\udce9", "\\udce9") in (run / "train.log").read_text("utf-8")


@needs_horovod
def test_ranks_under_a_latin_1_locale_say_their_letters(folder, tmp_path_factory, monkeypatch):
    use_latin_1(tmp_path_factory, monkeypatch)
    job = say("horovodrun --gloo -np 2 -H localhost:2 horovod-ocr eval --run first", folder)
    assert job.returncode == 0, job.stderr
    report = json.loads((folder / "runs/first/eval.json").read_text("utf-8"))
    assert any(letter in job.stdout for letter in report["examples"][0]["label"]), job.stderr
    assert "Traceback" not in job.stderr
