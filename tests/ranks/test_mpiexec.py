"""Plain mpiexec, without horovodrun: Horovod's MPI build finds its ranks."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("horovod", reason="needs Horovod (make setup)")
from horovod.common.util import mpi_built

from horovod_ocr.run.state import read_state
from tests.ranks.launch import (
    PROGRAM,
    ROOT,
    assert_ran,
    environment,
    job_settings,
    largest_difference,
    over_ranks,
    parameters_of,
    train_on_ranks,
)

pytestmark = [
    pytest.mark.ranks,
    pytest.mark.skipif(not (shutil.which("mpiexec") and mpi_built()), reason="needs openmpi when Horovod is built"),
]
RANKS = 5


def test_five_ranks_give_the_parameters_of_one(groups, word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 3, "global_batch": 12, "precision": "fp64", "sync_batchnorm": True}
    assert_ran(groups.train(1, tmp_path / "one", **settings))
    five = train_on_ranks(RANKS, tmp_path / "five", "mpiexec", **settings)
    assert_ran(five)
    assert five.stdout.count("5 ranks on cpu") == 1  # root alone prints
    one = parameters_of(tmp_path / "one")
    for rank in range(RANKS):
        assert largest_difference(one, parameters_of(tmp_path / "five", rank)) < 1e-6


def test_a_rank_that_is_killed_ends_the_job(word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 1000, "global_batch": 12, "validate_every_steps": 1000}
    ended = train_on_ranks(2, tmp_path, "mpiexec", **settings, faults={"lost_after": 3})
    assert ended.returncode == 128 + signal.SIGKILL
    assert not list(tmp_path.glob("rank*.pt"))


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"most_skipped": 2, "faults": {"nan_at": [2, 3]}}, 5),  # of all ranks
        ({"stall_timeout_s": 5, "faults": {"silent_s": 100}}, 4),  # of rank 0, which waits for the other
    ],
)
def test_the_exit_code_is_that_of_the_rank_that_failed(word_shards, tmp_path, settings, code):
    settings = {"shards": str(word_shards), "steps": 1000, "global_batch": 12, "validate_every_steps": 1000, **settings}
    assert train_on_ranks(2, tmp_path, "mpiexec", **settings).returncode == code


def test_ctrl_c_saves_and_ends_the_job(word_shards, tmp_path):
    settings = {"shards": str(word_shards), "steps": 1000, "global_batch": 12, "validate_every_steps": 1000}
    command = [sys.executable, str(PROGRAM), json.dumps(job_settings(tmp_path, settings))]
    with (tmp_path / "said").open("w") as said:
        job = subprocess.Popen(over_ranks(2, command, "mpiexec"), cwd=ROOT, env=environment(), stdout=said, stderr=said)
    try:
        deadline_s = time.monotonic() + 300
        while "step 5/" not in (tmp_path / "said").read_text() and job.poll() is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        job.send_signal(signal.SIGINT)
        assert job.wait(timeout=300) != 0
    finally:
        job.kill()
    state = read_state(tmp_path / "runs/it")
    assert state.state == "stopped" and 5 <= state.step < 1000, (tmp_path / "said").read_text()
