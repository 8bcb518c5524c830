"""What is due after a step, and when ranks talk about it."""

import threading
from types import SimpleNamespace

import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.training.hooks import Agenda, CheckRanks, Periods, SaveClock, SkippedUpdates, Step
from horovod_ocr.training.state import TrainState
from horovod_ocr.training.update import UpdateResult
from tests.unit.distributed.exchange.test_exchanges import Training
from tests.unit.distributed.thread_world import ThreadWorld, on_ranks

MEETS_EVERY_4 = Periods(3, 5, 6, is_met=lambda step: step % 4 == 0 or step == 14)


class Counting(AloneWorld):
    """Counts the votes."""

    votes = 0

    def begin_sum(self, values):
        self.votes += 1
        return super().begin_sum(values)


def dues_of(periods: Periods, steps: int, asked_after: int = 99, step: int = 0) -> tuple[dict[str, list[int]], int]:
    """The steps after which each thing is due, up to `steps` or to a stop; and how often the ranks have voted."""
    world, state = Counting(), TrainState(total_steps=14, steps_per_epoch=14, step=step)
    asked = SimpleNamespace(step=asked_after)
    agenda = Agenda(world, periods, SaveClock(None, True), lambda: "SIGTERM" if state.step >= asked.step else None)
    dues: dict[str, list[int]] = {"logs": [], "validates": [], "saves": [], "stop_reason": []}
    while state.step < steps and not state.due.stop_reason:
        agenda.before_step(state, None)
        state.step += 1
        agenda.after_step(state, None)
        for name, of in dues.items():
            of += [state.step] * bool(getattr(state.due, name))
    return dues, world.votes


def test_ranks_that_meet_in_each_step_do_what_is_due_at_its_multiples():
    dues, votes = dues_of(Periods(3, 5, 6), 14)
    assert dues == {"logs": [3, 6, 9, 12, 14], "validates": [5, 10, 14], "saves": [5, 6, 10, 12, 14], "stop_reason": []}
    assert votes == 14


def test_ranks_that_step_alone_vote_and_do_what_is_due_when_they_meet():
    dues, votes = dues_of(MEETS_EVERY_4, 14)
    assert dues == {"logs": [4, 8, 12, 14], "validates": [8, 12, 14], "saves": [8, 12, 14], "stop_reason": []}
    assert votes == 4


def test_a_request_to_ranks_that_step_alone_is_heard_at_the_next_meeting():
    assert dues_of(MEETS_EVERY_4, 14, asked_after=5)[0]["stop_reason"] == [8]
    assert dues_of(Periods(3, 5, 6), 14, asked_after=5)[0]["stop_reason"] == [6]


def test_what_was_due_before_a_run_is_resumed_is_not_due_again():
    assert dues_of(MEETS_EVERY_4, 14, step=8)[0] == {
        "logs": [12, 14],
        "validates": [12, 14],
        "saves": [12, 14],
        "stop_reason": [],
    }


def test_between_two_meetings_a_rank_waits_for_no_other():
    """Rank 1 begins its first step when rank 0 has ended its third."""
    is_ahead = threading.Event()

    def program(world: ThreadWorld) -> int:
        training, state = Training(world, "weight-average", local_steps=4), TrainState(20, 20)
        periods = Periods(1, None, 1, training.exchange.is_met)
        hooks = [
            Agenda(world, periods, SaveClock(None, world.is_root), lambda: None),
            CheckRanks(world, training.model, 1),
            SkippedUpdates(world, 1, str, False, training.exchange.all_finite, "lower lr"),
        ]
        batch = SimpleNamespace(shards_N=[], rows_N=[])
        computed = SimpleNamespace(finite_N=torch.ones(0, dtype=torch.bool))
        if world.rank == 1:
            assert is_ahead.wait(60)
        for number in range(4):
            for hook in hooks:
                hook.before_step(state, batch)
            training.run(number, number + 1)
            state.step += 1
            for hook in hooks:
                hook.after_step(state, Step(batch, computed, UpdateResult(torch.ones(()), torch.tensor(True), 0.0)))
            if state.step == 3:
                is_ahead.set()
        return state.step

    assert on_ranks(2, program) == [4, 4]
