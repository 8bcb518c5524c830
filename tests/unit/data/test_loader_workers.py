"""Loader workers: they start light, leave signals to the rank, and a killed one is named."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import webdataset as wds

from horovod_ocr.data.loader_workers import batches_of, killed_loader_workers_named
from horovod_ocr.errors import ClusterError, ShardError
from tests.unit.data.streams import open_stream

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed.*:ResourceWarning")


@pytest.mark.slow
def test_workers_leave_signals_of_a_terminal_and_of_slurm_to_the_rank(word_shards):
    stream = open_stream(word_shards, workers=1)
    batches = stream.batches()
    read = [next(batches)]
    (worker,) = multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        os.kill(worker.pid, number)
    read.extend(batches)
    assert [batch.step for batch in read] == list(range(stream.steps))


@pytest.mark.slow
def test_workers_share_what_is_imported(word_shards):
    """A worker that imported torch itself would share only two fifths of its memory, and start slowly.

    The test needs a new process, because a fork server that runs imports nothing more.
    """
    command = [sys.executable, __file__, str(word_shards)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    resident, private = map(int, done.stdout.split())
    assert 0 < private < 0.3 * resident


def print_memory_of_a_worker(shards: str) -> None:
    """Resident and private memory, kB."""
    batches = open_stream(shards, workers=1).batches()
    next(batches)
    (worker,) = multiprocessing.active_children()
    lines = Path(f"/proc/{worker.pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines}
    print(kilobytes["Rss"], kilobytes["Private_Dirty"])


@pytest.mark.parametrize("to_gpu", [True, False])
def test_memory_is_pinned_for_a_gpu_alone(word_shards, monkeypatch, to_gpu):
    """And not for a GPU that the machine has and training does not use: pinning makes a CUDA context on it."""
    asked = {}
    monkeypatch.setattr(wds, "WebLoader", lambda pipeline, **options: asked.update(options) or ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert list(open_stream(word_shards, to_gpu=to_gpu).batches()) == []
    assert asked["pin_memory"] == to_gpu


def test_a_killed_loader_worker_is_said_in_a_sentence_and_nothing_else_is_taken_for_it():
    with pytest.raises(ClusterError, match="out of memory"), killed_loader_workers_named():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    with pytest.raises(RuntimeError, match="^shape"), killed_loader_workers_named():
        raise RuntimeError("shape of a tensor")

    def loader():
        yield "batch"
        raise ConnectionResetError

    with pytest.raises(ClusterError, match="out of memory"):
        list(batches_of(loader()))


def test_an_error_that_a_worker_returns_is_raised():
    read = []
    with pytest.raises(ShardError, match="gone"):
        read.extend(batches_of(["batch", ShardError("gone"), "batch"]))


if __name__ == "__main__":
    print_memory_of_a_worker(sys.argv[1])
