"""The same command means the same run; another run, or another supervisor, is never disturbed."""

from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from horovod_ocr.cli.launch import train_options
from horovod_ocr.cli.main import app
from horovod_ocr.cli.options import hosts_given
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import CheckpointError, ClusterError, ConfigError
from horovod_ocr.launch.hosts.hosts_file import Host, spell_hosts
from horovod_ocr.launch.supervise import begin
from horovod_ocr.launch.supervise.begin import (
    TrainOptions,
    check_ranks,
    choose_run,
    launch,
    settings_of,
)
from horovod_ocr.launch.supervise.cluster import spell_train
from horovod_ocr.launch.supervise.record import open_record
from horovod_ocr.run.state import RunState, RunStatus, write_state
from horovod_ocr.training import begin as training_begin

NODES = (Host("node1", 2), Host("node2"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_run_is_found_by_its_name_or_by_the_options_that_began_it(folder, word_shards):
    words = ["--shards", str(word_shards), "--seed", "3"]
    fresh = choose_run(train_options(words))
    assert fresh.name.startswith("urdu-20") and fresh.parent.name == "runs"
    assert settings_of(fresh, train_options(words)).seed == 3
    open_record(folder / "runs" / "mine", words, 300.0)
    assert choose_run(train_options(words)).name == "mine"
    assert choose_run(train_options([*words, "--steps", "9"])).name.startswith("urdu-20")
    assert choose_run(train_options(["--run", "other"])).name == "other"
    assert choose_run(train_options(["--set", "run=other"])).name == "other"
    with pytest.raises(CheckpointError, match="no run with a checkpoint"):
        choose_run(train_options(["--resume"]))
    (folder / "runs" / "mine" / "LAST").write_text("step-00000005.pt\n")
    assert choose_run(train_options(["--resume"])).name == "mine"


def test_a_run_with_a_checkpoint_is_checked_with_its_own_settings(folder, monkeypatch):
    """As its ranks will read them: not from the default folders."""
    saved = TrainConfig.of(shards="of/mine", cache_dir="/fast", stall_timeout_s=40.0)
    monkeypatch.setattr(training_begin, "load_checkpoint", lambda run: {"config": saved.to_dict()})
    (folder / "runs/mine").mkdir(parents=True)
    (folder / "runs/mine/LAST").write_text("step-00000005.pt\n")
    for words in (["--resume"], ["--run", "mine"], ["--run", "mine", "--resume"]):
        options = train_options([*words, "--set", "cache_dir=/faster"])
        found = settings_of(choose_run(options), options)
        assert (found.data.shards, found.data.cache_dir, found.ranks.stall_timeout_s) == ("of/mine", "/faster", 40)


def test_a_new_run_has_its_settings_from_the_file_too(folder):
    (folder / "horovod-ocr.toml").write_text("[train]\nstall_timeout_s = 7\n")
    assert settings_of(folder / "runs/new", train_options(["--run", "new"])).ranks.stall_timeout_s == 7


def test_a_misspelt_run_to_resume_is_not_begun(folder):
    with pytest.raises(CheckpointError, match="no run 'urdo' in runs/"):
        launch((Host("localhost"),), 1, 1, 20, False, [], train_options(["--run", "urdo", "--resume"]))
    assert not (folder / "runs").exists()


def test_a_run_is_named_without_its_folder(folder):
    with pytest.raises(ConfigError, match="'runs/urdu'"):
        launch((Host("localhost"),), 1, 1, 20, False, [], train_options(["--run", "runs/urdu"]))
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "text",
    ["node1:1,node2:4", ",".join(f"node{n}:4" for n in range(99))],  # the second is too long for a file's name
)
def test_hosts_may_be_a_list(text):
    assert spell_hosts(hosts_given(text, 3)) == text


def test_hosts_are_those_of_the_file_where_one_is_there(folder):
    assert hosts_given(None, 3) == (Host("localhost", 3),)
    (folder / "hosts.txt").write_text("node7 slots=2\n")
    assert hosts_given(None, 3) == hosts_given("hosts.txt") == (Host("node7", 2),)
    (folder / "hosts.txt").unlink()
    (folder / "hosts.txt").symlink_to("/nowhere/hosts.txt")  # the team's file, on a storage that is away
    with pytest.raises(ConfigError, match="hosts.txt: there is no such file"):
        hosts_given(None, 3)
    with pytest.raises(ConfigError, match="none.txt: there is no such file; write it, .* -H node1:1,node2:1"):
        hosts_given("none.txt")
    with pytest.raises(ConfigError, match="'me@node7' names a user, and horovodrun takes host names only"):
        hosts_given("me@node7")


def test_options_of_the_trainer_are_understood_and_passed_on_as_they_are():
    words = ["--lr", "0.001", "--resume", "--set", "stall_timeout_s=7", "--runs", "here", "--recipe", "urdu"]
    options = train_options(words)
    assert options.words == [word for word in words if word != "--resume"] and options.resumes
    assert options.given == {"lr": 0.001, "stall_timeout_s": 7, "runs": "here"} and options.recipe == "urdu"
    command = spell_train(NODES, ["--autotune"], options.words)
    assert command[command.index("-np") :][:4] == ["-np", "3", "-H", "node1:2,node2:1"]
    assert command.index("--autotune") < command.index("train") < command.index("--lr")


def test_a_wrong_option_is_said_before_anything_starts():
    done = CliRunner().invoke(app, ["launch", "-np", "2", "-H", "localhost:2", "--stepz", "5"])
    assert done.exit_code == 2 and "--stepz" in done.output
    with pytest.raises(typer.Exit):
        train_options(["--help"])


def test_a_finished_run_is_said_to_be(folder, capsys):
    run = folder / "runs" / "it"
    open_record(run, [], 300.0)
    write_state(run, RunState(RunStatus.FINISHED, 40, 40))
    assert launch((Host("localhost"),), 1, 1, 20, False, [], train_options(["--run", "it"])) == 0
    assert "runs/it is finished, with 40 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, steps", [([], 0), (["--local-steps", "9"], 0), (["--exchange", "diloco", "--local-steps", "9"], 9)]
)
def test_how_long_ranks_step_alone_is_known_to_the_supervisor(folder, monkeypatch, words, steps):
    monkeypatch.setattr(
        begin, "Supervisor", lambda spec, record, cluster: SimpleNamespace(supervise=lambda: spec.steps_alone)
    )
    options = train_options(["--run", "it", "--recipe", "urdu", *words])
    assert launch((Host("localhost"),), 1, 1, 20, False, [], options) == steps


def test_ranks_fit_the_hosts():
    check_ranks(NODES, 3, 3)
    with pytest.raises(ClusterError, match="-np 4, but the hosts have 3 slots"):
        check_ranks(NODES, 4, 1)
    with pytest.raises(ConfigError, match="--min-np is 1 to 2"):
        check_ranks(NODES, 2, 3)


def test_options_that_give_nothing():
    assert train_options([]) == TrainOptions([], {})
