"""Cables are cut and plugged in again in a training on three hosts, and a rank is slow."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from tests.fault.launched import (
    SMALL,
    Launched,
    assert_each_sample_once_an_epoch,
    train_losses,
)
from tests.hosts.bed import what_is_missing
from tests.ranks.launch import horovodrun, largest_difference, steps_of_epoch

pytestmark = [
    pytest.mark.fault,
    pytest.mark.hosts,
    pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-"),
    pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it"),
]


def test_a_training_goes_on_without_a_host_that_is_cut_off_and_takes_it_in_again(bed, groups, few_words, tmp_path):
    """First node3 is cut off for a while, then node2 for good: three ranks, two, three, two.

    In float64 and with batch statistics over all ranks, rounding explains no difference from an undisturbed run.
    """
    steps = 3 * steps_of_epoch(few_words, global_batch=6)
    settings = {
        "shards": str(few_words),
        "steps": steps,
        "global_batch": 6,
        "lanes": 6,
        "precision": "fp64",
        "sync_batchnorm": True,
        "stall_timeout_s": 60,
    }
    assert steps >= 50
    training = Launched(bed, tmp_path, permitted=20, **settings)
    training.wait_for_steps(1, 6)
    bed.cut("node3")
    training.wait_for(r"launch: attempt 2 from step \d+: node1:1,node2:1\n")
    training.permit(30)
    bed.plug_in("node3")
    training.wait_for("launch: node3 is back")
    training.permit_until("launch: attempt 3 from step ")
    training.permit(steps - 5)
    training.wait_for_steps(3, 6)
    bed.cut("node2")
    training.permit(None)
    training.wait_for_end(steps)

    restarts = training.restarts
    assert [restart["hosts"] for restart in restarts] == [
        ["node1", "node2"],
        ["node1", "node2", "node3"],
        ["node1", "node3"],
    ]
    assert "rank 2 on node3" in restarts[0]["reason"] and "node3 does not answer" in restarts[0]["reason"]
    assert restarts[1]["reason"] == "node3 is back"
    assert "rank 1 on node2" in restarts[2]["reason"] and "node2 does not answer" in restarts[2]["reason"]
    begins = [0, *(restart["step"] for restart in restarts)]
    assert begins[1] >= 5 and begins == sorted(set(begins))  # each attempt added to the history
    assert_each_sample_once_an_epoch(training.history(), few_words, steps, global_batch=6)

    quiet = groups.train(3, tmp_path / "quiet", **{**SMALL, **settings})
    assert quiet.returncode == 0, quiet.stdout[-3000:] + quiet.stderr[-3000:]
    loss, undisturbed = train_losses(training.run), train_losses(tmp_path / "quiet/runs/it")
    assert loss.keys() >= undisturbed.keys()
    assert loss[steps] == pytest.approx(undisturbed[steps], rel=0.01)
    weights, same = (load_checkpoint(run, LAST)["model"] for run in (training.run, tmp_path / "quiet/runs/it"))
    assert largest_difference(weights, same) < 1e-9


@contextmanager
def slowed_to_half(pid: int) -> Iterator[None]:
    """The process runs for 50 ms, is stopped for 50 ms, and so on."""
    ended = threading.Event()

    def stop_and_go() -> None:
        while not ended.wait(0.05):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.05)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_rank_slowed_to_half_is_named_with_its_host_within_two_intervals(bed, few_words, tmp_path):
    settings = {"steps": 10_000, "global_batch": 48, "height": 64, "log_every_steps": 10, "save_every_steps": 10_000}
    training = Launched(bed, tmp_path, shards=few_words, **settings)
    training.wait_for(r"step 10/")
    (pid,) = training.pids("node2", "train")
    before = len(training.said)

    def intervals() -> list[str]:
        """The lines after the log line of each interval."""
        return re.split(r"step \d+/.*\n", training.said[before:])[1:]

    with slowed_to_half(pid):
        training.wait_until(lambda: len(intervals()) > 2, "two intervals, and what is said of them")
    assert any("straggler: rank 1 on node2 takes " in said for said in intervals()[:2]), training.said
