"""Ranks killed and hung under a training of three hosts, a host without power, the supervisor killed: the model becomes
what it would have been."""

import os
import random
import re
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from tests.fault.launched import Launched, assert_each_sample_once_an_epoch, reads_of
from tests.hosts.bed import Bed, wait_until, what_is_missing
from tests.ranks.launch import horovodrun, steps_of_epoch

pytestmark = [
    pytest.mark.fault,
    pytest.mark.hosts,
    pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-"),
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]
GLOBAL_BATCH, SAVE_EVERY, STALL_S = 5, 3, 10
SETTINGS = {
    "global_batch": GLOBAL_BATCH,
    "save_every_steps": SAVE_EVERY,
    "stall_timeout_s": STALL_S,
    "precision": "fp32",
}


class Undisturbed(NamedTuple):
    """What a training came to that nothing disturbed. start_s: from the command to the first step."""

    weights: dict[str, torch.Tensor]
    start_s: float


def launch(bed: Bed, folder: Path, shards: Path, host: str = "node1") -> Launched:
    """A training of one epoch, on three ranks: it waits for a host that is away."""
    settings = {**SETTINGS, "shards": str(shards), "steps": steps_of(shards)}
    return Launched(bed, folder, "--min-np", "3", host=host, **settings)


def steps_of(shards: Path) -> int:
    return steps_of_epoch(shards, GLOBAL_BATCH)


@pytest.fixture(scope="module")
def undisturbed(running_bed, word_shards, tmp_path_factory) -> Undisturbed:
    started_s = time.monotonic()
    training = launch(running_bed, tmp_path_factory.mktemp("undisturbed"), word_shards)
    training.wait_for_steps(1, 1)
    start_s = time.monotonic() - started_s
    return Undisturbed(weights_at_end(training, word_shards), start_s)


def weights_at_end(training: Launched, shards: Path) -> dict[str, torch.Tensor]:
    """When it has finished; nothing of it is left then."""
    training.wait_for_end(steps_of(shards))
    bed = training.bed
    wait_until(lambda: not any(map(bed.processes, bed.hosts)), "nothing of the job is left")
    return load_checkpoint(training.run, LAST)["model"]


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys() and one
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_ranks_killed_at_ten_random_moments_do_not_change_the_model(bed, word_shards, tmp_path, undisturbed):
    training = launch(bed, tmp_path, word_shards)
    draw, killed = random.Random(11), []
    for attempt in range(1, 11):
        training.wait_for_steps(attempt, SAVE_EVERY + draw.randrange(SAVE_EVERY))
        time.sleep(draw.uniform(0, 0.1))
        rank = draw.randrange(3)
        (trainer,) = training.pids(f"node{rank + 1}", "train")
        os.kill(trainer, signal.SIGKILL)
        killed.append(f"rank {rank} on node{rank + 1}")
        killed_s = time.monotonic()
        training.wait_for_steps(attempt + 1, 1)
        assert time.monotonic() - killed_s < STALL_S + 3 * undisturbed.start_s + 30
    assert_same_bits(weights_at_end(training, word_shards), undisturbed.weights)

    restarts = training.restarts
    assert [restart["attempt"] for restart in restarts] == list(range(2, 12))
    assert [re.match(r"rank \d on node\d", restart["reason"])[0] for restart in restarts] == killed
    assert all("killed" in restart["reason"] and restart["ranks"] == 3 for restart in restarts)
    steps = [restart["step"] for restart in restarts]
    assert steps == [min(reads_of(training.run, attempt)) - 1 for attempt in range(2, 12)] == sorted(steps)
    assert_each_sample_once_an_epoch(training.history(), word_shards, steps_of(word_shards), GLOBAL_BATCH)


def test_a_hang_inside_an_allreduce_is_ended_by_the_watchdog(bed, word_shards, tmp_path, undisturbed):
    training = launch(bed, tmp_path, word_shards)
    training.wait_for_steps(1, SAVE_EVERY + 1)
    (trainer,) = training.pids("node3", "train")
    os.kill(trainer, signal.SIGSTOP)
    assert_same_bits(weights_at_end(training, word_shards), undisturbed.weights)
    (restart,) = training.restarts
    stalled = r"stalled: rank [01] on node[12], step \d+: no progress for 10 s; it waited for (.*)"
    assert re.fullmatch(stalled, restart["reason"])[1] in ("the gradients of the other ranks", "the checkpoint")
    assert restart["exit_code"] == 4 and restart["step"] >= SAVE_EVERY


def test_roots_host_rebooted_and_the_supervisor_killed(bed, word_shards, tmp_path, undisturbed):
    """The supervisor is on another host. Killed, it leaves a job behind that the same command ends first."""
    training = launch(bed, tmp_path, word_shards, host="node2")
    training.wait_for_steps(1, SAVE_EVERY + 1)
    bed.reboot("node1")
    training.wait_for_steps(2, SAVE_EVERY + 1)
    (restart,) = training.restarts
    assert restart["hosts"] == list(bed.hosts) and restart["step"] >= SAVE_EVERY

    left = [pid for host in bed.hosts for pid in training.pids(host, "train")]
    (supervisor,) = training.pids("node2", "launch")
    os.kill(supervisor, signal.SIGKILL)
    training.job.wait()
    training.start()
    training.wait_for_steps(3, 1)
    assert len(left) == 3 and not any(Path(f"/proc/{pid}").exists() for pid in left)
    assert_same_bits(weights_at_end(training, word_shards), undisturbed.weights)
