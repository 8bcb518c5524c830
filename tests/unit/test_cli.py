"""The command line waits for nothing heavy, and lists its commands in the order of the data path."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from horovod_ocr import __version__
from horovod_ocr.cli.main import COMMANDS, app
from horovod_ocr.cli.scaling import spell_options
from horovod_ocr.cli.sentence import one_sentence, show_tracebacks
from horovod_ocr.config.overlay import settings_of
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.samples import FETCHED_SHARDS
from horovod_ocr.distributed.gpus import Gpus
from horovod_ocr.errors import ConfigError
from sharding.format.script.profile import DIRECTION_NAMES, PROFILES
from sharding.images.read import CHECKS, FORMS
from sharding.layouts.find import LAYOUTS
from sharding.options import ShardOptions


@pytest.mark.slow
def test_version():
    said = subprocess.run([sys.executable, "-m", "horovod_ocr", "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout == f"horovod-ocr {__version__}\n"


@pytest.mark.slow
def test_help_does_not_import_what_is_heavy():
    heavy = ("torch", "webdataset", "horovod", "numpy", "PIL")
    program = f"import sys, horovod_ocr.cli.main; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_help_lists_the_commands_in_the_order_of_the_data():
    lines = CliRunner().invoke(app, ["--help"]).stdout.split("Commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert [name for name in COMMANDS if name in ("synth", "shard", "train", "eval", "predict")] == [
        "synth",
        "shard",
        "train",
        "eval",
        "predict",
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command):
    said = CliRunner().invoke(app, [command, "--help"])
    assert said.exit_code == 0 and COMMANDS[command].__doc__.split(".")[0].split()[0] in said.stdout
    assert not re.search(r"^ +-.*<\w", said.stdout, re.MULTILINE), "a Python type where a value should be named"


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("{ocr} --help >/dev/full", 3, "horovod-ocr: No space left on device\n"),
        ("{ocr} runs --json >/dev/full", 3, "horovod-ocr: No space left on device\n"),
        ("{ocr} runs --json | true; exit ${{PIPESTATUS[0]}}", 0, ""),
    ],
)
def test_an_output_that_takes_no_more_is_one_sentence_and_a_reader_that_has_enough_none(tmp_path, command, code, said):
    (tmp_path / "runs/it").mkdir(parents=True)
    (tmp_path / "runs/it/metrics.jsonl").touch()
    typed = command.format(ocr=f"{sys.executable} -m horovod_ocr")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        ["bash", "-c", typed],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (code, said)


def say(*words: str):
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def work(tmp_path: Path, monkeypatch) -> Path:
    """A working folder with ten words in raw/, one of them twice and one that is no image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    lines = []
    for number in range(10):
        image = Image.new("L", (96, 64), 255)
        image.putpixel((number % 9, 3), 0)
        file = io.BytesIO()
        image.save(file, "PNG")
        (tmp_path / "raw" / f"{number}.png").write_bytes(file.getvalue())
        lines.append(f"{number}.png\tword {number % 9}\n")
    (tmp_path / "raw" / "bad.png").write_bytes(b"no image")
    (tmp_path / "raw" / "labels.tsv").write_text("".join(lines) + "bad.png\tword\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(("command", "config"), [("shard", ShardOptions), ("train", TrainConfig)])
def test_options_are_made_from_settings(command, config):
    options = {option.name: option for option in typer.main.get_command(app).commands[command].params}
    made = [name for name in settings_of(config) if name in options]
    assert len(made) == (len(settings_of(config)) if command == "shard" else 23)
    for name in made:
        option, setting = options[name], settings_of(config)[name]
        default = setting.of(config())
        assert f"--{name.replace('_', '-')}" in option.opts
        assert option.default is None  # the config has it
        assert option.help.replace("  ", " ").startswith(setting.help)
        if default is not None and not isinstance(default, bool):
            assert "[default: " in option.help


def test_the_help_names_every_choice():
    said = {option.name: option.help for option in typer.main.get_command(app).commands["shard"].params if option.help}
    for name, choices in (
        ("layout", LAYOUTS),
        ("check", CHECKS),
        ("image", FORMS),
        ("profile", PROFILES),
        ("direction", DIRECTION_NAMES),
    ):
        assert all(re.search(rf"\b{choice}\b", said[name]) for choice in choices)


def test_shard_says_what_came_of_it(work: Path):
    said = say("shard", "--workers", "1")
    assert said.exit_code == 0, said.stderr
    for part in ("not an image", "1 rejected; each is named in shards/rejects.tsv", "1 in the same split", "images/s"):
        assert part in said.stdout
    assert said.stdout.endswith(
        "next: horovod-ocr train; on several hosts: horovodrun -np 3 -H hosts.txt horovod-ocr train\n"
    )
    assert (work / "shards" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    again = say("shard", "--workers", "1")
    assert again.exit_code == 0 and "complete already" in again.stdout and "images/s" not in again.stdout


def test_with_json_standard_output_holds_json_lines_alone(work: Path):
    said = say("shard", "--workers", "1", "--json", "--no-sheet", "--dedup", "--out", "my shards")
    *events, done = map(json.loads, said.stdout.splitlines())
    assert {event["event"] for event in events} == {"progress"} and done["event"] == "done"
    assert (done["root"], done["sheet"], sum(done["samples"].values())) == ("my shards", None, 9)
    assert done["rejects"] == {"not an image": 1} and done["duplicates"]["left out"] == 1
    assert not (work / "my shards" / "sheet.png").exists()
    refused = say("shard", "--json", "--check", "fast")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == "horovod-ocr: unknown check 'fast'; there are: full, structure, header\n"


def test_verify_ends_with_3_until_repair_has_made_the_set_whole(work: Path):
    assert say("shard", "--workers", "1").exit_code == 0
    proved = say("verify", "shards", "--workers", "1")  # the contact sheet is no part of the set
    assert proved.exit_code == 0 and "everything is as the index says" in proved.stdout
    (work / "shards" / "train-000000.tar").unlink()
    damaged = say("verify", "--shards", "shards", "--json")
    assert damaged.exit_code == 3 and "repair it with: horovod-ocr verify --repair" in damaged.stderr
    done = json.loads(damaged.stdout.splitlines()[-1])
    assert (done["ok"], done["damaged"]) == (False, {"train-000000": ["train-000000.tar is missing"]})
    repaired = say("verify", "--repair", "--workers", "1")
    assert repaired.exit_code == 0 and "made again: train-000000" in repaired.stdout
    assert say("verify").exit_code == 0


@pytest.mark.parametrize("words", [("shards", "--shards", "shards"), ("--src", "raw")])
def test_verify_refuses_what_makes_no_sense(words):
    said = say("verify", *words)
    assert said.exit_code == 2 and said.stderr.startswith("horovod-ocr: ") and said.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [("verify",), ("verify", "--shards"), ("stats", "--shards"), ("shard", "--out")])
def test_what_needs_a_folder_says_so_of_a_url(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = say(*words, "https://me:word@host/set?key=secret")
    assert said.exit_code == 2 and not list(tmp_path.iterdir())
    assert said.stderr == (
        "horovod-ocr: https://host/set/ is not a folder; run this where the shards are, and name theirs\n"
    )


@pytest.mark.slow
def test_show_draws_samples_plain_and_augmented(work: Path):
    assert say("shard", "--workers", "1", "--no-sheet").exit_code == 0
    for words, name in ((("show",), "sheet.png"), (("show", "--augment"), "augment.png")):
        said = say(*words)
        assert (said.exit_code, said.stdout) == (0, f"written: {name}\n"), said.stderr
        assert (work / name).read_bytes().startswith(b"\x89PNG")
    blurred = say("show", "--augment", "--set", "augmentation.blur_px=2", "--out", "blurred.png")
    assert blurred.exit_code == 0
    assert (work / "blurred.png").read_bytes() != (work / "augment.png").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--augment",)])
def test_show_fetches_a_few_shards_of_a_remote_set(word_shards, tmp_path: Path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = say("show", *words, "--shards", f"pipe:cat {word_shards}/{{}}", "--out", "sheet.png")
    assert (said.exit_code, said.stdout) == (0, "written: sheet.png\n"), said.stderr
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    fetched = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()} - {"index.json"}
    assert len(fetched) == 2 * FETCHED_SHARDS and {Path(name).suffix for name in fetched} == {".tar", ".idx"}
    assert not words or all(name.startswith("train-") for name in fetched)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--set", "augmentation.blur_px=2"), "--recipe and --set are for --augment; give that as well"),
        (("--augment", "--set", "augmentation.blur=2"), "no setting 'blur'; did you mean 'blur_px'?"),
        (
            ("--augment", "--set", "augmentation.noise=9"),
            "noise must be at least 0 and at most 0.5, not 9",
        ),
    ],
)
def test_show_refuses_what_makes_no_sense(work: Path, words, sentence):
    assert say("shard", "--workers", "1", "--no-sheet").exit_code == 0
    said = say("show", *words)
    assert said.exit_code == 2 and sentence in said.stderr and said.stderr.count("\n") == 1


@pytest.mark.slow
def test_show_needs_no_torch(work: Path):
    assert say("shard", "--workers", "1", "--no-sheet").exit_code == 0
    program = "import sys; from horovod_ocr.cli.main import app; app(['show', '--augment'], standalone_mode=False); "
    program += "print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=work)
    assert said.stdout == "written: augment.png\nFalse\n", said.stderr


@pytest.mark.parametrize(
    "words, shared",
    [
        ("train --engine data-parallel", ""),
        ("train --set ranks.engine=data-parallel", 'engine = "torch"'),
        ("train", 'engine = "data-parallel"'),
    ],
)
def test_the_engine_is_known_before_there_is_a_world(tmp_path, monkeypatch, capfd, words, shared):
    """From the command line, or else from the settings file: here one that needs GPUs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("horovod_ocr.distributed.data_parallel.find_gpus", Gpus)
    (tmp_path / "horovod-ocr.toml").write_text(f"[train]\n{shared}\n")
    with pytest.raises(SystemExit, match="2"):
        app(words.split())
    assert "--engine data-parallel needs two GPUs or more" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words, shared",
    [("eval --engine data-parallel", 'engine = "torch"'), ("eval", '[train.ranks]\nengine = "data-parallel"')],
)
def test_eval_divides_nothing_among_gpus_and_needs_none(tmp_path, monkeypatch, capfd, words, shared):
    """It goes on until it misses the run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "horovod-ocr.toml").write_text(f"[train]\n{shared}\n")
    with pytest.raises(SystemExit, match="3"):
        app(words.split())
    assert "train first" in capfd.readouterr().err


def test_eval_takes_the_engine_of_the_settings_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "horovod-ocr.toml").write_text('[train]\nengine = "horovod"\n')
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "node1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match="2"):
        app(["eval"])
    assert "engine horovod, but torchrun has started this process" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["train", "eval"])
@pytest.mark.parametrize("value", ["", "two"])
def test_a_variable_of_a_launcher_that_holds_no_number_is_one_sentence(tmp_path, monkeypatch, capfd, command, value):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PMI_RANK", value)
    with pytest.raises(SystemExit, match="2"):
        app([command])
    said = capfd.readouterr().err
    assert said.startswith(f"horovod-ocr: the variable PMI_RANK is {value!r}") and said.count("\n") == 1


def test_an_advised_command_has_what_was_typed_as_a_shell_takes_it():
    typed = spell_options({"shards": "my shards", "global_batch": 64}, ["model_options.width=0.5", "run=it's"])
    words = ["--shards", "my shards", "--global-batch", "64", "--set", "model_options.width=0.5", "--set", "run=it's"]
    assert shlex.split(typed) == words
