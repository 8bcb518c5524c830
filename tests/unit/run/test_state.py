"""Others see where a run is, and ask something of it."""

import json
import time

import pytest

from horovod_ocr.run import state
from horovod_ocr.run.folder import Ownership
from horovod_ocr.run.state import JOB_VARIABLE, REQUEST, STATE, Heartbeat, RunState, RunStatus, read_state, request_stop


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(state, "BEAT_S", 0.01)
    monkeypatch.setenv(JOB_VARIABLE, "it/2")


def wait_until(says) -> bool:
    for _ in range(500):
        if says():
            return True
        time.sleep(0.01)
    return False


def test_the_step_is_told_while_it_trains_and_the_last_word_stays(tmp_path, fast):
    with Heartbeat(tmp_path, Ownership(tmp_path), total_steps=40, ranks=3) as heartbeat:
        heartbeat.step = 7
        assert wait_until(lambda: (told := read_state(tmp_path)) and told.step == 7)
        told = read_state(tmp_path)
        assert (told.state, told.total_steps, told.ranks, told.job) == (RunStatus.TRAINING, 40, 3, "it/2")
        heartbeat.step = 40
        heartbeat.leave(RunStatus.STOPPED, "SIGTERM (rank 1 on node1)")
    told = read_state(tmp_path)
    assert (told.state, told.step, told.reason) == ("stopped", 40, "SIGTERM (rank 1 on node1)")


def test_a_request_is_heard_by_the_job_it_was_made_to(tmp_path, fast):
    with Heartbeat(tmp_path, Ownership(tmp_path), 40, 1) as heartbeat:
        request_stop(tmp_path, "it/1", "of the job before")
        assert wait_until(lambda: not (tmp_path / REQUEST).exists()) and heartbeat.request is None
        request_stop(tmp_path, "it/2", "node2 is back")
        assert wait_until(lambda: heartbeat.request == "node2 is back")
        assert not (tmp_path / REQUEST).exists()


def test_storage_that_goes_away_and_comes_back_ends_no_heartbeat(tmp_path, fast):
    run, away = tmp_path / "run", tmp_path / "away"
    run.mkdir()
    with Heartbeat(run, Ownership(run), 40, 1) as heartbeat:
        assert wait_until(lambda: read_state(run))
        run.rename(away)
        heartbeat.step = 9
        time.sleep(0.05)
        assert heartbeat.thread.is_alive() and not run.exists()
        away.rename(run)
        assert wait_until(lambda: read_state(run).step == 9)


def test_a_job_that_was_replaced_writes_nothing_and_asks_itself_to_stop(tmp_path, fast):
    with Heartbeat(tmp_path, Ownership(tmp_path), 40, 1) as replaced:
        assert wait_until(lambda: read_state(tmp_path))
        with Heartbeat(tmp_path, Ownership(tmp_path), 60, 2) as heartbeat:
            assert wait_until(lambda: replaced.request)
            request_stop(tmp_path, "it/2", "node2 is back")  # both have this name: the one that owns the run hears it
            assert wait_until(lambda: heartbeat.request == "node2 is back")
            heartbeat.leave(RunStatus.FINISHED)
        assert "another job" in replaced.request and "this one ends, and saves nothing more" in replaced.request
        replaced.leave(RunStatus.FAILED, "too late")
    told = read_state(tmp_path)
    assert (told.state, told.total_steps) == (RunStatus.FINISHED, 60)


def test_other_ranks_are_silent(tmp_path, fast):
    with Heartbeat(tmp_path, None, 40, 2) as heartbeat:
        heartbeat.leave(RunStatus.FINISHED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"state": "training"}',
        '{"state": 1, "step": 2, "total_steps": 3}',
        '{"state": "resting", "step": 2, "total_steps": 3}',
        "\0" * 50,
    ],
)
def test_a_state_that_is_damaged_is_none(tmp_path, content):
    (tmp_path / STATE).write_text(content)
    assert read_state(tmp_path) is None


def test_a_run_that_says_nothing_any_more_is_silent(tmp_path):
    told = RunState(RunStatus.TRAINING, 5, 40, time=time.time() - 2 * state.SILENT_S)
    assert told.is_silent
    state.write_state(tmp_path, told)
    assert not read_state(tmp_path).is_silent and json.loads((tmp_path / STATE).read_text())["step"] == 5
