"""The processes that are left of a run are killed, and no others."""

import os
import subprocess
import sys

import pytest

from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import Answer, Ssh
from horovod_ocr.launch.supervise.kill_leftovers import (
    PROGRAM,
    Cleared,
    cleared,
    kill_on_hosts,
    kill_processes,
    processes_of,
)
from horovod_ocr.run.state import JOB_VARIABLE


@pytest.fixture
def sleeper():
    """Starts processes of jobs, which are killed after the test."""
    started = []

    def start(job: str) -> subprocess.Popen:
        started.append(subprocess.Popen(["sleep", "60"], env={**os.environ, JOB_VARIABLE: job}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_ends_all_attempts_of_one_run_only(sleeper):
    mine, older, other = sleeper("left-a/2"), sleeper("left-a/1"), sleeper("left-ab/1")
    assert kill_processes("left-a") == 2
    assert (mine.wait(), older.wait(), other.poll()) == (-9, -9, None)
    assert kill_processes("left-a") == 0


def test_spares_the_attempt_that_runs(sleeper):
    running, older, longer = sleeper("left-b/1"), sleeper("left-b/2"), sleeper("left-b/11")
    assert {process.pid for process in processes_of("left-b", "left-b/1")} == {older.pid, longer.pid}
    assert kill_processes("left-b", "left-b/1") == 2
    assert running.poll() is None


def test_ends_what_would_not_end_by_itself(sleeper):
    stopped = sleeper("left-c/1")
    os.kill(stopped.pid, 19)  # SIGSTOP: deaf to everything but SIGKILL
    assert kill_processes("left-c") == 1 and stopped.wait() == -9


@pytest.mark.slow
def test_never_ends_itself(monkeypatch):
    monkeypatch.setenv(JOB_VARIABLE, "left-d/1")
    done = subprocess.run([sys.executable, "-m", PROGRAM, "left-d"], timeout=60)
    assert done.returncode == 0


@pytest.mark.slow
def test_hosts_are_cleared_and_say_what_they_lack(sleeper, tmp_path, monkeypatch):
    left = sleeper("left-e/1")
    here = Host("localhost")
    waits = sleeper("left-e/2")
    found = kill_on_hosts(Ssh((here,), tmp_path), (here,), "left-e", ["left-e/2", "left-e/3"])
    assert found == {"localhost": Cleared(None, frozenset({"left-e/2"}))}
    assert (left.wait(), waits.poll()) == (-9, None)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "cannot be used" in kill_on_hosts(Ssh((here,), tmp_path), (here,), "left-e")["localhost"].problem


def test_a_host_that_does_not_answer_is_told_from_one_that_lacks_something():
    assert cleared(Answer(0, "", "Warning: added to known hosts")).problem is None
    silent, lacking = (
        cleared(Answer(255, "", "ssh: connect to host node2 port 22: No route to host\n")),
        cleared(Answer(1, "", "...\nNo module named horovod_ocr")),
    )
    assert silent.problem == "does not answer (ssh: connect to host node2 port 22: No route to host)"
    assert lacking.problem == "cannot be used: No module named horovod_ocr"
