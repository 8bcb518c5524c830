"""Ranks of a job that waits begin when it is its turn, and leave when the run has ended."""

import threading

import pytest

from horovod_ocr.run.state import JOB_VARIABLE, RunState, RunStatus, write_state
from horovod_ocr.run.turn import TURN_VARIABLE, give_turn, wait_for_turn


@pytest.fixture
def waits(monkeypatch, tmp_path):
    """This process is a rank of the job it/2, which waits; the folder of its run."""
    monkeypatch.setenv(TURN_VARIABLE, str(tmp_path))
    monkeypatch.setenv(JOB_VARIABLE, "it/2")
    return tmp_path


def test_other_ranks_do_not_wait(monkeypatch):
    monkeypatch.delenv(TURN_VARIABLE, raising=False)
    assert wait_for_turn()


@pytest.mark.slow
def test_waits_for_its_own_turn(waits):
    answers = []
    write_state(waits, RunState(RunStatus.TRAINING, 3, 9))
    give_turn(waits, "it/1")
    rank = threading.Thread(target=lambda: answers.append(wait_for_turn()))
    rank.start()
    rank.join(0.3)
    assert rank.is_alive() and not answers
    give_turn(waits, "it/2")
    rank.join()
    assert answers == [True]


def test_leaves_when_the_run_has_finished(waits):
    write_state(waits, RunState(RunStatus.FINISHED, 9, 9))
    assert not wait_for_turn()


@pytest.mark.slow
def test_leaves_when_nobody_trains_any_more(waits, monkeypatch):
    """Such as after the end of the machine on which launch ran."""
    monkeypatch.setattr("horovod_ocr.run.turn.SILENT_S", 0.1)
    write_state(waits, RunState(RunStatus.FAILED, 9, 9))
    assert not wait_for_turn()
