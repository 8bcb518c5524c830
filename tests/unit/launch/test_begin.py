"""The same command means the same run; another run, or another supervisor, is never disturbed."""

import dataclasses

import pytest
import typer
from typer.testing import CliRunner

from horovod_ocr.cli import app
from horovod_ocr.cli.launch import train_options
from horovod_ocr.errors import CheckpointError, ClusterError, ConfigError
from horovod_ocr.launch.begin import TrainOptions, check_ranks, choose_run, launch, spell_command
from horovod_ocr.launch.hosts import Host
from horovod_ocr.launch.job import Words
from horovod_ocr.launch.record import lock_run, take_up
from horovod_ocr.training.state import RunState, write_state
from horovod_ocr.world import World

NODES = (Host("node1", 2), Host("node2"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_found_by_its_name_or_by_the_options_that_began_it(folder, word_shards):
    words = ["--shards", str(word_shards), "--seed", "3"]
    fresh, config = choose_run(train_options(words))
    assert fresh.name.startswith("urdu-20") and fresh.parent.name == "runs" and config.seed == 3
    take_up(folder / "runs" / "mine", words, None)
    assert choose_run(train_options(words))[0].name == "mine"
    assert choose_run(train_options([*words, "--steps", "9"]))[0].name.startswith("urdu-20")
    assert choose_run(train_options(["--run", "other"]))[0].name == "other"
    assert choose_run(train_options(["--set", "run=other"]))[0].name == "other"
    with pytest.raises(CheckpointError, match="no run with a checkpoint"):
        choose_run(train_options(["--resume"]))
    (folder / "runs" / "mine" / "LAST").write_text("step-00000005.pt\n")
    assert choose_run(train_options(["--resume"]))[0].name == "mine"


def test_options_of_the_trainer_are_understood_and_passed_on_as_they_are():
    words = ["--lr", "0.001", "--resume", "--set", "stall_timeout_s=7", "--runs", "here", "--recipe", "urdu"]
    options = train_options(words)
    assert options.words == [word for word in words if word != "--resume"] and options.resumes
    assert options.given == {"lr": 0.001, "stall_timeout_s": 7, "runs": "here"} and options.recipe == "urdu"
    command = spell_command(NODES, ["--autotune"], options.words)
    assert command[command.index("-np") :][:4] == ["-np", "3", "-H", "node1:2,node2:1"]
    assert command.index("--autotune") < command.index("train") < command.index("--lr")


def test_a_wrong_option_is_said_before_anything_starts():
    done = CliRunner().invoke(app, ["launch", "-np", "2", "-H", "localhost:2", "--stepz", "5"])
    assert done.exit_code == 2 and "--stepz" in done.output
    with pytest.raises(typer.Exit):
        train_options(["--help"])


def test_a_finished_run_is_said_to_be(folder, capsys):
    run = folder / "runs" / "it"
    take_up(run, [], None)
    write_state(run, RunState("finished", 40, 40))
    assert launch((Host("localhost"),), 1, 1, 20, [], train_options(["--run", "it"])) == 0
    assert "runs/it is finished, with 40 steps" in capsys.readouterr().out


def test_a_run_is_taken_up_as_it_was(folder):
    first = take_up(folder / "it", ["--seed", "1"], 12.0)
    assert take_up(folder / "it", ["--run", "it"], None) == first
    assert take_up(folder / "it", [], 60.0) == dataclasses.replace(first, stall_timeout_s=60.0)


def test_a_run_that_others_are_training_is_left_alone(folder):
    run = folder / "it"
    record = take_up(run, [], None)
    write_state(run, RunState("training", 5, 40, host="node7", pid=11, job=f"{record.run_id}/1"))
    take_up(run, [], None)  # of our own: what is left of it is ended
    write_state(run, RunState("training", 5, 40, host="node7", pid=11))
    with pytest.raises(ClusterError, match="process 11 on node7"):
        take_up(run, [], None)
    with lock_run(run), pytest.raises(ClusterError, match="supervised by another launch"):
        lock_run(run)
    lock_run(run).close()


def test_ranks_fit_the_hosts():
    check_ranks(NODES, 3, 3)
    with pytest.raises(ClusterError, match="-np 4, but the hosts have 3 slots"):
        check_ranks(NODES, 4, 1)
    with pytest.raises(ConfigError, match="--min-np is 1 to 2"):
        check_ranks(NODES, 2, 3)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["[2]<stderr>:Timeout, server node2 not responding.", "Process 2 exit with status code 255."],
         "rank 2 on node2: the connection to it is lost (Timeout, server node2 not responding.)"),
        (["Process 1 exit with status code 255."], "rank 1 on node1: killed, or the connection to it is lost"),
        (["[0]<stderr>:ValueError: no", "Process 0 exit with status code 1."],
         "rank 0 on node1 ended with exit code 1: ValueError: no"),
        (["[1]<stderr>:note of a library", "[0]<stderr>:horovod-ocr: make room", "[0]<stderr>:Terminated",
          "Process 1 exit with status code 3."], "rank 1 on node1 ended with exit code 3: make room"),
        (["[1]<stderr>:stalled: rank 1 on node1, step 4: no progress", "Process 1 exit with status code 4."],
         "stalled: rank 1 on node1, step 4: no progress"),
        (["horovodrun: could not connect to some hosts"], "horovodrun: could not connect to some hosts"),
        ([], "horovodrun ended with exit code 4, no rank said why"),
    ],
)  # fmt: skip
def test_what_a_job_says_tells_why_it_ended(lines, reason):
    words = Words(NODES)
    for line in lines:
        words.note(line + "\n")
    assert words.reason(4) == reason


def test_a_rank_that_ended_because_it_missed_another_is_not_the_cause():
    """Where it is gone before the end of a rank on another host is known."""

    class HorovodInternalError(Exception):
        pass

    with pytest.raises(ClusterError) as raised, World().guard("training"):
        raise HorovodInternalError
    words = Words(NODES)
    words.note(f"[0]<stderr>:horovod-ocr: {raised.value}\n")
    words.note("Process 0 exit with status code 4.\n")
    assert words.reason(4) == f"rank 0 on node1 ended with exit code 4: {raised.value}"
    words.note("Process 2 exit with status code 255.\n")
    assert words.reason(4) == "rank 2 on node2: killed, or the connection to it is lost"


def test_options_that_give_nothing():
    assert train_options([]) == TrainOptions([], {})
