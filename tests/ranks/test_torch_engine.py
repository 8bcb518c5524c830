"""Ranks under torchrun and srun train as those under horovodrun do, and go on where those have stopped."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from horovod_ocr.scaling.torch_beside import free_port
from tests.hosts.bed import wait_until
from tests.ranks.launch import (
    PROGRAM,
    ROOT,
    assert_ran,
    environment,
    job_settings,
    largest_difference,
    needs_launcher,
    parameters_of,
    train_on_ranks,
)

pytestmark = pytest.mark.ranks
DROPOUT = {"width": 0.25, "hidden": 24, "dropout": 0.2}


def test_both_engines_give_the_same_parameters_after_20_steps(groups, word_shards, tmp_path):
    needs_launcher("horovodrun")
    settings = {"shards": str(word_shards), "steps": 20, "global_batch": 24, "precision": "fp64"}
    for launcher in ("horovodrun", "torchrun"):
        assert_ran(groups.train(2, tmp_path / launcher, launcher, **settings))
    difference = largest_difference(parameters_of(tmp_path / "horovodrun"), parameters_of(tmp_path / "torchrun"))
    assert difference < 1e-6


@pytest.mark.parametrize("first, then", [("horovodrun", "torchrun"), ("torchrun", "horovodrun")])
def test_a_run_goes_on_under_the_other_engine_bit_by_bit(groups, word_shards, tmp_path, first, then):
    """In the middle of an epoch, with dropout; two numbers have the same sum in any order."""
    needs_launcher("horovodrun")
    settings = {"shards": str(word_shards), "steps": 12, "global_batch": 24, "validate_every_steps": 100}
    settings["model_options"] = DROPOUT
    assert_ran(groups.train(2, tmp_path / "at_once", **settings))
    assert_ran(groups.train(2, tmp_path / "both", first, **settings, faults={"asked_after": 6}))
    assert load_checkpoint(tmp_path / "both/runs/it", LAST)["step"] == 7
    assert_ran(groups.train(2, tmp_path / "both", then, **settings, resume=True))
    for rank in (0, 1):
        at_once, both = parameters_of(tmp_path / "at_once", rank), parameters_of(tmp_path / "both", rank)
        assert largest_difference(at_once, both) == 0


def test_three_ranks_add_in_one_order_also_after_a_stop(groups, word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 8, "global_batch": 24, "validate_every_steps": 100}
    settings["faults"] = {"group_bytes": 20_000}
    assert_ran(groups.train(3, tmp_path / "at_once", "torchrun", **settings))
    stopping = {**settings, "faults": {**settings["faults"], "asked_after": 4}}
    assert_ran(groups.train(3, tmp_path / "stopped", "torchrun", **stopping))
    assert_ran(groups.train(3, tmp_path / "stopped", "torchrun", **settings, resume=True))
    for rank in range(3):
        at_once, stopped = parameters_of(tmp_path / "at_once"), parameters_of(tmp_path / "stopped", rank)
        assert largest_difference(at_once, stopped) == 0


@pytest.mark.parametrize("settings", [{}, {"sync_batchnorm": True}, {"accumulate": 2}, {"compression": "fp16"}])
def test_ranks_without_samples_take_part(groups, word_shards, tmp_path, settings):
    """One sample a step: one of two ranks holds none, or one of its two parts does."""
    needs_launcher("horovodrun")
    settings = {"shards": str(word_shards), "steps": 4, "global_batch": 1, "precision": "fp64", **settings}
    for launcher in ("horovodrun", "torchrun"):
        assert_ran(groups.train(2, tmp_path / launcher, launcher, **settings))
    torchs = parameters_of(tmp_path / "torchrun")
    assert largest_difference(torchs, parameters_of(tmp_path / "torchrun", 1)) == 0
    assert largest_difference(torchs, parameters_of(tmp_path / "horovodrun")) < 1e-6


def test_synchronised_statistics_parts_and_fp16_give_what_horovod_gives(groups, word_shards, tmp_path):
    needs_launcher("horovodrun")
    settings = {"shards": str(word_shards), "steps": 6, "global_batch": 24, "precision": "fp64"}
    settings |= {"sync_batchnorm": True, "accumulate": 3, "compression": "fp16"}
    for launcher in ("horovodrun", "torchrun"):
        assert_ran(groups.train(2, tmp_path / launcher, launcher, **settings))
    torchs, horovods = parameters_of(tmp_path / "torchrun"), parameters_of(tmp_path / "horovodrun")
    assert largest_difference(torchs, horovods) < 1e-6
    assert_ran(groups.train(2, tmp_path / "fp64", "torchrun", **{**settings, "compression": "none"}))
    assert 0 < largest_difference(torchs, parameters_of(tmp_path / "fp64")) < 2e-2


@pytest.mark.parametrize("exchange", ["allreduce", "weight-average"])
def test_a_slow_rank_is_named(groups, word_shards, tmp_path, exchange):
    """Backward does not wait for the other ranks: `wait` does, or the meeting of the weights."""
    settings = {"shards": str(word_shards), "steps": 10, "global_batch": 24, "validate_every_steps": 100}
    settings |= {"exchange": exchange, "local_steps": 5}
    result = groups.train(2, tmp_path, "torchrun", **settings, faults={"slow_s": 0.4})
    assert_ran(result)
    assert result.stdout.count("straggler: rank 1 on ") == 2
    lines = [json.loads(line) for line in (tmp_path / "runs/it/metrics.jsonl").read_text().splitlines()]
    assert [line["slowest_rank"] for line in lines if line["kind"] == "train"] == [1, 1]


@pytest.mark.parametrize("launcher", ["horovodrun", "torchrun"])
def test_the_first_line_counts_no_bytes_of_the_start(groups, word_shards, tmp_path, launcher):
    """Neither the broadcast of the weights nor the backward with which torch finds the order of its buckets."""
    needs_launcher(launcher)
    settings = {"shards": str(word_shards), "steps": 10, "global_batch": 24, "validate_every_steps": 100}
    assert_ran(groups.train(2, tmp_path, launcher, **settings))
    lines = [json.loads(line) for line in (tmp_path / "runs/it/metrics.jsonl").read_text().splitlines()]
    first, second = (line["sent_bytes"] for line in lines if line["kind"] == "train")
    size = sum(each.nbytes for each in parameters_of(tmp_path).values())
    assert 2 * 5 * size < first <= second < 2 * 5.5 * size  # a ring of two ranks, five steps
    assert all(line["most_sent_bytes"] == line["sent_bytes"] / 2 for line in lines if line["kind"] == "train")


def test_where_a_rank_is_killed_the_others_end_with_a_sentence(word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 50, "global_batch": 24, "validate_every_steps": 100}
    result = train_on_ranks(2, tmp_path, "torchrun", **settings, faults={"lost_after": 3})
    assert result.returncode == 1  # of torchrun
    assert re.search(r"rank 0 on \S+: training stopped because another rank ended", result.stderr)
    assert not (tmp_path / "rank0.pt").exists()


def test_a_command_under_torchrun_says_nothing_more_than_under_horovodrun(word_shards, tmp_path):
    """As a person types it; and torchrun ends with 1, whatever a rank ended with."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = ["-m", "--", "horovod_ocr", "train", "--shards", str(word_shards), "--steps", "2", "--workers", "0"]
    train += ["--set", "model_options.width=0.25", "--set", "model_options.hidden=24", "--precision", "fp32"]

    def run(*options: str) -> subprocess.CompletedProcess:
        command = [*torchrun, *train, *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment(), timeout=600)

    done = run("--run", "it")
    assert_ran(done)
    assert "2 ranks on cpu" in done.stdout and "done: 2 steps" in done.stdout and done.stderr == ""
    refused = run("--set", "lanes=1")
    assert refused.returncode == 1 and re.search(r"exitcode +: 2 ", refused.stderr)
    assert refused.stderr.count("horovod-ocr: 2 ranks, but 1 lanes") == 1


def test_where_torchrun_starts_the_ranks_again_the_run_goes_on(word_shards, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    train = ["--max-restarts", "2", "-m", "--", "horovod_ocr", "train", "--shards", str(word_shards), "--run", "it"]
    train += ["--steps", "300", "--workers", "0", "--set", "save_every_steps=10", "--precision", "fp32"]
    train += ["--set", "model_options.width=0.25", "--set", "model_options.hidden=24"]
    launched = subprocess.Popen(
        [*torchrun, *train],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    wait_until((tmp_path / "runs/it/LAST").exists, "the first checkpoint")
    children = Path(f"/proc/{launched.pid}/task/{launched.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    said, _ = launched.communicate(timeout=600)
    assert launched.returncode == 0, said
    assert re.search(r"from step [1-9]\d*", (tmp_path / "runs/it/train.log").read_text()) and "done: 300 steps" in said


def train_as_srun_does(out: Path, **settings) -> list[tuple[int, str]]:
    """Two plain processes with the variables that srun sets: the exit code of each, and what it said."""
    told = json.dumps(job_settings(out, settings))
    step = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), told],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment(), **step, "SLURM_PROCID": str(rank)},
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=600)[0] for rank in ranks]
    return [(rank.returncode, text) for rank, text in zip(ranks, said, strict=True)]


def test_processes_of_srun_are_ranks(groups, word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 6, "global_batch": 24, "validate_every_steps": 100}
    root, other = train_as_srun_does(tmp_path / "srun", **settings)
    assert root[0] == 0 and "2 ranks on cpu" in root[1], root[1]
    assert other == (0, "")
    assert_ran(groups.train(2, tmp_path / "torchrun", "torchrun", **settings))
    assert largest_difference(parameters_of(tmp_path / "srun"), parameters_of(tmp_path / "torchrun")) == 0


def test_a_rank_of_srun_ends_with_the_code_of_its_error_and_the_others_by_themselves(word_shards, tmp_path):
    """srun itself ends with the highest of them, and ends no rank because of another."""
    settings = {"shards": str(word_shards), "steps": 50, "global_batch": 24, "validate_every_steps": 100}
    diverged = train_as_srun_does(tmp_path / "diverged", **settings, most_skipped=2, faults={"nan_at": [2, 3]})
    assert [code for code, _ in diverged] == [5, 5], diverged
    stalled, left = train_as_srun_does(tmp_path / "alone", **settings, stall_timeout_s=5, faults={"silent_s": 15})
    assert stalled[0] == left[0] == 4, (stalled, left)
    assert "no progress for 5 s" in stalled[1] and "stopped because another rank ended" in left[1]


def test_ranks_that_do_not_all_come_end_with_a_sentence(tmp_path):
    """Rank 1 of 2 alone, which finds nobody at the port."""
    program = (
        "from datetime import timedelta; from horovod_ocr.distributed import torch_engine as engine;"
        "engine.START_TIMEOUT = timedelta(seconds=2);"
        "from horovod_ocr.cli.sentence import one_sentence; from horovod_ocr.distributed.open import open_world\n"
        "with one_sentence(): open_world()"
    )
    alone = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, env={**environment(), **alone}, timeout=600)
    assert "rank 1 of 2 on " in ended.stderr and "did not meet the others at 127.0.0.1, port 9" in ended.stderr


def test_a_rank_that_is_killed_before_the_first_word_ends_the_other_with_a_sentence(tmp_path):
    """After both have met; a traceback would end with 1."""
    dies = (
        "import os, signal; from horovod_ocr.distributed import torch_engine as engine;"
        "from horovod_ocr.distributed.open import open_world\n"
        "engine.TorchWorld = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_world()"
    )
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "LOCAL_RANK": "0"}
    ranks = [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment(), **meeting, "RANK": str(rank)},
        )
        for rank, words in enumerate((["-m", "horovod_ocr", "eval"], ["-c", dies]))
    ]
    said = [rank.communicate(timeout=600)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [4, -signal.SIGKILL], said
    assert re.search(r"horovod-ocr: rank 0 of 2 on \S+ did not meet the others at 127.0.0.1, port \d+ \(", said[0])
    assert "Traceback" not in said[0]
