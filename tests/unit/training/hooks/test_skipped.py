"""Updates that were left out."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.errors import DivergedError
from horovod_ocr.training.hook_list import remedies_for
from horovod_ocr.training.hooks import SkippedUpdates, Step
from horovod_ocr.training.state import Due, TrainState
from horovod_ocr.training.update import UpdateResult
from tests.unit.distributed.other_ranks import OtherRanks


def same(finite_S: torch.Tensor) -> torch.Tensor:
    """What all ranks say of steps that all of them take together."""
    return finite_S


def step_of(is_finite: bool, rows: tuple[int, ...], finite: list[bool]) -> Step:
    batch = SimpleNamespace(shards_N=np.zeros(len(rows), int), rows_N=np.array(rows))
    computed = SimpleNamespace(finite_N=torch.tensor(finite))
    return Step(batch, computed, UpdateResult(torch.tensor(0.0), torch.tensor(is_finite), 0.0))


@pytest.mark.parametrize("on_gpu", [False, True], ids=["each step", "when a line is due"])
def test_updates_left_out_in_a_row_stop_the_run_with_the_samples(on_gpu):
    ranks = OtherRanks(["train-000009.tar, sample 5"])
    skipped = SkippedUpdates(ranks, 2, lambda shard, row: f"shard {shard}, row {row}", on_gpu, same, "lower lr")
    steps = [
        step_of(False, (3, 4), [False, True]),
        step_of(True, (3, 4), [True, True]),
        step_of(False, (5, 6), [True, False]),
        step_of(False, (7,), [False]),
    ]
    state = TrainState(total_steps=9, steps_per_epoch=9)
    with pytest.raises(DivergedError) as raised:
        for step in steps:
            state.step += 1
            state.due = Due(logs=state.step == 4)
            skipped.after_step(state, step)
    assert state.step == 4 and (skipped.count, skipped.in_a_row) == (3, 2)
    sentence = str(raised.value)
    assert "step 4: the loss or a gradient was not finite 2 times in a row" in sentence
    assert sentence.splitlines()[1:] == [
        "  rank 0: shard 0, row 6",
        "  rank 0: shard 0, row 7",
        "  rank 1: train-000009.tar, sample 5",
    ]
    assert raised.value.exit_code == 5


def test_gradients_that_overflow_without_a_bad_loss_are_said_without_samples():
    skipped = SkippedUpdates(AloneWorld(), 1, str, False, same, remedies_for("bf16", "fp16"))
    remedies = "lower lr or give --precision fp32 or give --compression none"
    with pytest.raises(DivergedError, match=f"{remedies}, and go on with --resume$"):
        skipped.after_step(TrainState(9, 9, step=1), step_of(False, (1,), [True]))


def test_on_a_gpu_nothing_is_looked_at_until_a_line_is_due():
    """To look would wait for the device."""
    skipped = SkippedUpdates(AloneWorld(), 10, str, True, same, "lower lr")
    state = TrainState(total_steps=9, steps_per_epoch=9)
    for state.step in range(1, 4):
        skipped.after_step(state, step_of(False, (1,), [True]))
    assert (skipped.count, len(skipped.pending)) == (0, 3)
    state.due = Due(saves=True)
    skipped.after_step(state, step_of(True, (1,), [True]))
    assert (skipped.count, skipped.in_a_row, skipped.pending) == (3, 0, [])
