"""Ranks are killed or hang in a training on three hosts, a host loses power, the supervisor is killed: the model in the
end is the same as without."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from tests.fault.launched import SMALL, Launched, assert_each_sample_once_an_epoch, reads_of
from tests.hosts.bed import Bed, wait_until, what_is_missing
from tests.ranks.launch import assert_ran, horovodrun, steps_of_epoch

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


def launch(bed: Bed, folder: Path, shards: Path, host: str = "node1", permitted: int | None = None) -> Launched:
    """A training of one epoch, on three ranks: it waits for a host that is away."""
    settings = {**SETTINGS, "shards": str(shards), "steps": steps_of(shards)}
    return Launched(bed, folder, "--min-np", "3", host=host, permitted=permitted, **settings)


def steps_of(shards: Path) -> int:
    return steps_of_epoch(shards, GLOBAL_BATCH)


@pytest.fixture(scope="module")
def undisturbed(groups, word_shards, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a training that nothing disturbed, on three ranks of this machine."""
    folder = tmp_path_factory.mktemp("undisturbed")
    settings = {**SMALL, **SETTINGS, "shards": str(word_shards), "steps": steps_of(word_shards)}
    assert_ran(groups.train(3, folder, **settings, faults={"one_thread": True}))
    return load_checkpoint(folder / "runs/it", LAST)["model"]


def weights_at_end(training: Launched, shards: Path) -> dict[str, torch.Tensor]:
    """The weights when it has finished, and nothing of it is left on the hosts."""
    training.permit(None)
    training.wait_for_end(steps_of(shards))
    bed = training.bed
    wait_until(lambda: not any(map(bed.processes, bed.hosts)), "nothing of the job is left")
    return load_checkpoint(training.run, LAST)["model"]


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys() and one
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_ranks_killed_at_random_moments_do_not_change_the_model(bed, word_shards, tmp_path, undisturbed, draw, repeats):
    most = 3 * SAVE_EVERY  # steps of an attempt, from a checkpoint on
    assert repeats * most < steps_of(word_shards)
    training = launch(bed, tmp_path, word_shards, permitted=most)
    killed = []
    for attempt in range(1, repeats + 1):
        training.permit(attempt * most)
        training.wait_for_steps(attempt, SAVE_EVERY + draw.randrange(SAVE_EVERY))
        time.sleep(draw.uniform(0, 0.1))
        rank = draw.randrange(3)
        (trainer,) = training.pids(f"node{rank + 1}", "train")
        os.kill(trainer, signal.SIGKILL)
        killed.append(f"rank {rank} on node{rank + 1}")
    assert_same_bits(weights_at_end(training, word_shards), undisturbed)

    restarts = training.restarts
    assert [restart["attempt"] for restart in restarts] == list(range(2, repeats + 2))
    assert [re.match(r"rank \d on node\d", restart["reason"])[0] for restart in restarts] == killed
    assert all("killed" in restart["reason"] and restart["ranks"] == 3 for restart in restarts)
    steps = [restart["step"] for restart in restarts]
    assert steps == [min(reads_of(training.run, attempt)) - 1 for attempt in range(2, repeats + 2)] == sorted(steps)
    assert_each_sample_once_an_epoch(training.history(), word_shards, steps_of(word_shards), GLOBAL_BATCH)


def test_a_hang_inside_an_allreduce_is_ended_by_the_watchdog(bed, word_shards, tmp_path, undisturbed):
    training = launch(bed, tmp_path, word_shards, permitted=steps_of(word_shards) // 2)
    training.wait_for_steps(1, SAVE_EVERY + 1)
    (trainer,) = training.pids("node3", "train")
    os.kill(trainer, signal.SIGSTOP)
    assert_same_bits(weights_at_end(training, word_shards), undisturbed)
    (restart,) = training.restarts
    stalled = r"stalled: rank [01] on node[12], step \d+: no progress for 10 s; it waited for (.*)"
    assert re.fullmatch(stalled, restart["reason"])[1] in ("the gradients of the other ranks", "the checkpoint")
    assert restart["exit_code"] == 4 and restart["step"] >= SAVE_EVERY


def test_roots_host_rebooted_and_the_supervisor_killed(bed, word_shards, tmp_path, undisturbed):
    """The supervisor is on another host. Killed, it leaves a job behind that the same command ends first."""
    third = steps_of(word_shards) // 3
    training = launch(bed, tmp_path, word_shards, host="node2", permitted=third)
    training.wait_for_steps(1, SAVE_EVERY + 1)
    bed.reboot("node1")
    training.permit(2 * third)  # the job that is left behind is still at work when it is ended
    training.wait_for_steps(2, SAVE_EVERY + 1)
    (restart,) = training.restarts
    assert restart["hosts"] == list(bed.hosts) and restart["step"] >= SAVE_EVERY

    left = [pid for host in bed.hosts for pid in training.pids(host, "train")]
    (supervisor,) = training.pids("node2", "launch")
    os.kill(supervisor, signal.SIGKILL)
    training.job.wait()
    training.start()
    training.wait_for("launch: attempt 3 from step ")
    training.permit(None)
    training.wait_for_steps(3, 1)
    assert len(left) == 3 and not any(Path(f"/proc/{pid}").exists() for pid in left)
    assert_same_bits(weights_at_end(training, word_shards), undisturbed)
