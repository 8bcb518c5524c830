"""The best validation so far is the one with the lowest deciding score."""

from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from torch import nn

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.tasks.figures import FIGURES
from horovod_ocr.training.hooks import Validate
from horovod_ocr.training.state import Due, TrainState


@pytest.mark.parametrize("kind", list(FIGURES))
def test_a_validation_without_a_readable_sample_is_never_the_best(kind):
    figures = FIGURES[kind]
    values = [
        {**dict.fromkeys([each.key for each in figures.figures], 0.0), figures.best: score, "samples": samples}
        for score, samples in ((0.5, 8), (0.0, 0), (0.6, 8), (0.4, 8))
    ]
    scores = iter([SimpleNamespace(values=lambda each=each: each) for each in values])
    interval, save = SimpleNamespace(paused=nullcontext), MagicMock()
    hook = Validate(AloneWorld(), MagicMock(), interval, nn.Linear(1, 1), figures, lambda: next(scores), save)
    state, found = TrainState(total_steps=9, steps_per_epoch=9), []
    for state.step in range(1, 5):
        state.due = Due(validates=True)
        hook.after_step(state, MagicMock())
        found.append((state.is_best, state.best))
    assert found == [(True, 0.5), (False, 0.5), (False, 0.5), (True, 0.4)]
