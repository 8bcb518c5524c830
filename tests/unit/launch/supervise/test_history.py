"""What follows from the end of an attempt."""

import pytest

from horovod_ocr.launch.supervise.history import AttemptHistory, AttemptResult, Outcome, decide_next
from horovod_ocr.run.state import RunState, RunStatus


def result(code: int, status: str = "training", took_steps: bool = False, forced: bool = False) -> AttemptResult:
    return AttemptResult(code, "why", RunState(RunStatus(status), 10, 100), took_steps, forced=forced)


def test_the_last_state_of_the_run_counts_more_than_exit_codes():
    new = AttemptHistory()
    assert decide_next(result(0, "finished"), new) == decide_next(result(139, "finished"), new) == Outcome.FINISHED
    assert decide_next(result(0, "stopped"), new) == Outcome.STOPPED
    assert decide_next(result(-9, "stopped", forced=True), new) == Outcome.AGAIN  # the supervisor ended it
    assert decide_next(result(0), new) == Outcome.AGAIN  # ended with 0, but has not said that it is finished


def test_data_errors_are_final_unless_storage_may_be_on_its_way_back():
    history = AttemptHistory()
    history.add(first := result(3), None)
    assert decide_next(first, history) == Outcome.FAILED
    history.add(stepped := result(3, took_steps=True), None)
    assert decide_next(stepped, history) == Outcome.AGAIN
    outcomes = []
    for _ in range(5):
        history.add(result(3), None)
        outcomes.append(decide_next(result(3), history))
    assert outcomes == [Outcome.AGAIN] * 4 + [Outcome.FAILED]


@pytest.mark.parametrize("code", [1, 4, 134, 137, 143, 255, -9, -15])
def test_what_may_go_better_next_time_is_tried_again(code):
    assert decide_next(result(code), AttemptHistory()) == Outcome.AGAIN
