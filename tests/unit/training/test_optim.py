"""The learning rate is a function of the step; decay spares one-dimensional weights."""

import pytest
from torch import nn

from horovod_ocr.training.optim import build_optimizer, decay_groups, learning_rate


def test_warm_up_then_cosine_to_zero():
    rates = [learning_rate(step, 1000, 2e-3, 0.1) for step in range(1000)]
    top = max(range(1000), key=rates.__getitem__)
    assert 98 <= top <= 101 and rates[top] == pytest.approx(2e-3, rel=0.02)
    assert 0 < rates[0] < 5e-5 and rates[-1] < 1e-7
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)


def test_without_warm_up_and_for_one_step():
    assert learning_rate(0, 10, 1.0, 0.0) == 1.0
    assert 0 < learning_rate(0, 1, 1.0, 0.1) <= 1.0


def test_biases_and_norms_do_not_decay():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    decaying, others = build_optimizer(decay_groups(model, 0.02)).param_groups
    assert decaying["weight_decay"] == 0.02 and [p.ndim for p in decaying["params"]] == [2]
    assert others["weight_decay"] == 0 and [p.ndim for p in others["params"]] == [1, 1, 1]
