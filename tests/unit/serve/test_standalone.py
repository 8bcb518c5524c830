"""The folder of a page without a server: what is in it, and where onnxruntime-web comes from."""

import base64
import gzip
import io
import json
import re
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from horovod_ocr.cli.main import app
from horovod_ocr.errors import ConfigError, ExportError
from horovod_ocr.recognizer.package import read_package
from horovod_ocr.serve import standalone
from horovod_ocr.serve.page_files import page_files
from horovod_ocr.serve.standalone import (
    LOADER,
    MARK,
    RUNTIME_FILE,
    SCRIPT,
    WASM,
    find_runtime,
    integrity_of,
    make_page,
)
from tests.unit.recognizer.packages import CLASSES, WORDS, write_package

NPM = """#!/bin/sh
echo "$@" >> "{calls}"
cp "{tgz}" "$4/onnxruntime-web-1.30.0.tgz"
"""


@pytest.fixture
def runtime(tmp_path, monkeypatch) -> Path:
    """A .tgz with the right names and few bytes, which is taken for the pinned one."""
    path = tmp_path / "runtime.tgz"
    with tarfile.open(path, "w:gz") as archive:
        contents = {SCRIPT: b"var ort;\n//# sourceMappingURL=ort.map", LOADER: b"export {}", WASM: b"\0asm"}
        for name, content in {"package/README.md": b"-", **contents}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(standalone, "RUNTIME_INTEGRITY", integrity_of(path))
    monkeypatch.setenv("HOROVOD_OCR_CACHE", str(tmp_path / "cache"))
    return path


@pytest.fixture
def npm(runtime, tmp_path, monkeypatch) -> Path:
    """The calls of an npm that packs the runtime."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    (folder / "npm").write_text(NPM.format(calls=calls, tgz=runtime))
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return calls


def model_of(folder: Path) -> dict:
    """What page/standalone/model.js defines."""
    return json.loads(re.search(r"Object\.assign\(packed, (.*)\);", (folder / MARK).read_text("utf-8"))[1])


def test_the_folder_has_the_page_the_model_and_the_licences(package, runtime, tmp_path):
    made = make_page(read_package(package), tmp_path / "stick", runtime)
    files = {str(path.relative_to(made.folder)) for path in made.folder.rglob("*") if path.is_file()}
    assert made.total_bytes == sum((made.folder / name).stat().st_size for name in files)
    assert {f"page/{name}" for name in page_files()} - {"page/index.html"} < files
    for name, said in (("onnxruntime", "MIT License"), ("NotoNastaliqUrdu", "SIL OPEN FONT LICENSE")):
        assert said in (made.folder / "licences" / f"{name}.txt").read_text("utf-8")
    model = model_of(made.folder)
    exported = read_package(package)
    assert gzip.decompress(base64.b64decode(model["model"])) == exported.model
    about = model["about"]
    assert about["letters"] == list(WORDS.charset.letters)
    assert (about["direction"], about["script"]["lang"], about["precision"]) == ("rtl", "ur", "int8")
    assert about["temperature"] == exported.about["confidence"]["temperature"]
    assert not (made.folder / "page/standalone/runtime.js").read_bytes().count(b"sourceMappingURL")
    assert str(tmp_path) not in (made.folder / MARK).read_text("utf-8")


def test_the_same_model_gives_the_same_bytes(package, runtime, tmp_path):
    made = [make_page(read_package(package), tmp_path / name, runtime).folder for name in ("one", "two")]
    for path in made[0].rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (made[1] / path.relative_to(made[0])).read_bytes()


def test_an_older_page_is_replaced_and_nothing_else(package, runtime, tmp_path):
    folder = tmp_path / "stick"
    make_page(read_package(package), folder, runtime)
    (folder / "page" / "old.js").touch()
    make_page(read_package(package), folder, runtime)
    assert not (folder / "page" / "old.js").exists()
    assert [path.name for path in tmp_path.iterdir() if "stick" in path.name] == ["stick"]
    other = tmp_path / "letters"
    other.mkdir()
    (other / "dear.txt").touch()
    with pytest.raises(ConfigError, match="other files than a page"):
        make_page(read_package(package), other, runtime)
    with pytest.raises(ConfigError, match="other files than a page"):
        make_page(read_package(package), other / "dear.txt", runtime)
    assert [path.name for path in other.iterdir()] == ["dear.txt"]


def test_a_failure_leaves_the_older_page(package, runtime, tmp_path, monkeypatch):
    folder = make_page(read_package(package), tmp_path / "stick", runtime).folder
    before = (folder / MARK).read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space"):
        make_page(read_package(package), folder, runtime)
    assert (folder / MARK).read_bytes() == before


def test_a_page_of_classes_knows_their_names(class_package, runtime, tmp_path):
    about = model_of(make_page(read_package(class_package), tmp_path / "page", runtime).folder)["about"]
    assert (about["kind"], about["classes"]) == ("classes", list(CLASSES.classes))


def test_an_export_without_frames_is_refused(runtime, tmp_path):
    package = read_package(write_package(tmp_path / "export", frame_px=None))
    with pytest.raises(ExportError, match="frame_px"):
        make_page(package, tmp_path / "page", runtime)


def test_nothing_in_the_page_needs_another_host_or_runs_inline(package, runtime, tmp_path):
    folder = make_page(read_package(package), tmp_path / "page", runtime).folder
    index = (folder / "index.html").read_text("utf-8")
    linked = re.findall(r'(?:src|href)="([^"#]+)"', index)
    assert len(linked) > 15
    assert all((folder / name).is_file() for name in linked)
    assert "http" not in index.replace("http-equiv", "")
    assert not re.search(r"<script(?! src)|\son\w+=|\sstyle=|javascript:", index)
    unwanted = re.compile(r"https?://|@import|\beval\(|innerHTML|document\.write")
    for path in (folder / "page").glob("*.*s"):
        assert not unwanted.search(path.read_text("utf-8")), path.name


def test_npm_fetches_the_runtime_once(npm, runtime):
    found = find_runtime()
    assert found == find_runtime()
    assert found.read_bytes() == runtime.read_bytes()
    assert len(npm.read_text().splitlines()) == 1
    assert npm.read_text().startswith("pack onnxruntime-web@1.30.0 ")
    found.write_bytes(b"cut off")
    assert integrity_of(find_runtime()) == integrity_of(runtime)
    assert [path.name for path in found.parent.iterdir()] == [RUNTIME_FILE]


def test_another_file_than_the_pinned_one_is_refused(npm, runtime, tmp_path, monkeypatch):
    other = tmp_path / "other.tgz"
    other.write_bytes(b"other")
    with pytest.raises(ConfigError, match=r"other\.tgz: not onnxruntime-web@1\.30\.0"):
        find_runtime(other)
    with pytest.raises(ConfigError, match="cannot be read"):
        find_runtime(tmp_path / "none.tgz")
    monkeypatch.setattr(standalone, "RUNTIME_INTEGRITY", "sha512-of-something-else")
    with pytest.raises(ConfigError, match="sha512 differs"):
        find_runtime()
    assert not (tmp_path / "cache" / RUNTIME_FILE).exists()


def test_npm_that_is_missing_or_fails_is_one_sentence(npm, tmp_path, monkeypatch):
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\necho 'npm error: no network' >&2\nexit 1\n")
    with pytest.raises(ConfigError, match=r"npm error: no network.*--runtime FILE\.tgz"):
        find_runtime()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="npm is not installed.*npm pack onnxruntime-web@1.30.0"):
        find_runtime()


def test_the_command_says_what_it_wrote(package, runtime, tmp_path):
    out = tmp_path / "stick"
    said = CliRunner().invoke(app, ["page", str(package), "--out", str(out), "--runtime", str(runtime)])
    assert said.exit_code == 0
    assert f"next: open {out / 'index.html'} in a browser" in said.stdout
    said = CliRunner().invoke(app, ["page", str(package), "--precision", "int4"])
    assert said.exit_code == 2
