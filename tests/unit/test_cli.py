"""The command line waits for nothing heavy, and lists its commands in the order of the data's way."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from horovod_ocr import __version__
from horovod_ocr.cli import COMMANDS, app
from horovod_ocr.cli.sentence import one_sentence, show_tracebacks
from horovod_ocr.errors import ConfigError


def test_version():
    said = subprocess.run([sys.executable, "-m", "horovod_ocr", "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout == f"horovod-ocr {__version__}\n"


def test_help_does_not_import_what_is_heavy():
    heavy = ("torch", "webdataset", "horovod", "numpy", "PIL")
    program = f"import sys, horovod_ocr.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_help_lists_the_commands_in_the_order_of_the_data():
    lines = CliRunner().invoke(app, ["--help"]).stdout.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert [name for name in COMMANDS if name in ("synth", "shard", "train", "eval", "predict")] == [
        "synth", "shard", "train", "eval", "predict",
    ]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command):
    said = CliRunner().invoke(app, [command, "--help"])
    assert said.exit_code == 0 and COMMANDS[command].__doc__.split(".")[0].split()[0] in said.stdout


def test_an_error_is_one_sentence_unless_its_traceback_is_wanted(capsys):
    with pytest.raises(typer.Exit) as left, one_sentence():
        raise ConfigError("seed is a number; leave it out")
    assert left.value.exit_code == 2 and capsys.readouterr().err == "horovod-ocr: seed is a number; leave it out\n"
    show_tracebacks(True)
    try:
        with pytest.raises(ConfigError), one_sentence():
            raise ConfigError("seen as it is")
    finally:
        show_tracebacks(False)
