"""`horovod-ocr serve` as a person types it."""

import re
import signal
import socket
from pathlib import Path

import httpx
import pytest
import typer

from horovod_ocr.cli.main import app
from tests.e2e.typed import say, start
from tests.unit.recognizer.packages import write_package
from tests.unit.serve.pictures import PNG, word

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-sixteen-or-more"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_package(folder / "export")
    (folder / "tokens").write_text(f"# ours\n{TOKEN}\n")
    (folder / "tokens").chmod(0o644)
    return folder


def test_serves_until_ctrl_c(folder):
    process = start("horovod-ocr serve export --port 0 --token-file tokens", folder)
    try:
        line = process.stdout.readline()
        url = re.fullmatch(r"horovod-ocr serves export at (http://127\.0\.0\.1:\d+)\n", line)[1]
        assert "chmod 600 tokens" in process.stderr.readline()
        assert httpx.post(f"{url}/v1/read", content=word(1), headers=PNG).status_code == 401
        allowed = {**PNG, "Authorization": f"Bearer {TOKEN}"}
        assert httpx.post(f"{url}/v1/read", content=word(1), headers=allowed).json()["letters"]
        assert httpx.get(f"{url}/").headers["content-type"].startswith("text/html")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
    finally:
        process.kill()


@pytest.mark.parametrize(
    "options, code, said",
    [
        ("", 3, "train first: horovod-ocr train"),
        ("none", 3, "no such folder or zip"),
        ("export --precision fp64", 2, "--precision is auto, fp32 or int8"),
        ("export --token-file none", 2, "--token-file none: cannot be read"),
        ("export --host 203.0.113.1", 2, "choose another"),
        (f"export --host {'a' * 64}.example", 2, "not a name of a host"),
    ],
)
def test_what_is_wrong_is_one_sentence(folder, options, code, said):
    ended = say(f"horovod-ocr serve {options}", folder)
    assert ended.returncode == code and said in ended.stderr, ended.stderr
    assert ended.stderr.count("\n") == 1 and ended.stdout == ""


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "1e9"])
def test_a_timeout_has_limits(folder, seconds):
    ended = say(f"horovod-ocr serve export --port 0 --shutdown-timeout-s {seconds}", folder)
    assert ended.returncode == 2 and "'--shutdown-timeout-s'" in ended.stderr and "Traceback" not in ended.stderr


def test_a_port_that_is_taken(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = say(f"horovod-ocr serve export --port {taken.getsockname()[1]}", folder)
    assert ended.returncode == 2 and "choose another" in ended.stderr


def test_every_option_is_in_the_docs_with_its_default():
    command = typer.main.get_command(app).commands["serve"]
    page = (ROOT / "docs/serving.md").read_text("utf-8")
    for option in command.params:
        if option.param_type_name == "option" and option.name != "help":
            rows = [line for line in page.splitlines() if line.startswith(f"| `{option.opts[-1]}`")]
            assert len(rows) == 1, option.opts
            if option.default not in (None, False):
                shown = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
                assert f"`{shown}`" in rows[0] or f"{option.default:,}" in rows[0], rows


def test_the_curl_examples_of_the_docs_are_true(folder, tmp_path):
    page = (ROOT / "docs/serving.md").read_text("utf-8")
    commands = re.findall(r"^    (curl .*)$", page, re.MULTILINE)
    assert len(commands) >= 5
    for name in ("word.png", "other.png"):
        (tmp_path / name).write_bytes(word(1))
    assert say("python -m zipfile -c words.zip word.png other.png", tmp_path).returncode == 0
    process = start(f"horovod-ocr serve {folder / 'export'} --port 0", tmp_path)
    try:
        url = process.stdout.readline().split()[-1]
        for command in commands:
            command = command.replace("http://127.0.0.1:8000", url).replace("'", "").replace('"', "")
            command = command.replace("Content-Type: ", "Content-Type:").replace("Authorization: Bearer ", "X:")
            ended = say(f"{command} --silent --fail", tmp_path)
            assert ended.returncode == 0 and ended.stdout, (command, ended)
    finally:
        process.terminate()
        process.communicate(timeout=60)
