"""The learning rate is a function of the step; decay spares one-dimensional weights; no compiler is loaded."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from horovod_ocr.training.optim import BETAS, build_optimizer, decay_groups, learning_rate


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


def test_updates_are_those_of_torch_s_own():
    torch.manual_seed(0)
    ours = nn.Linear(3, 2)
    theirs = nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    optimizers = [build_optimizer(decay_groups(ours, 0.02))]
    groups = [{"params": [theirs.weight], "weight_decay": 0.02}, {"params": [theirs.bias], "weight_decay": 0.0}]
    optimizers += [torch.optim.AdamW(groups, lr=0.0, betas=BETAS, fused=True)]
    for _ in range(3):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = 0.1
            optimizer.zero_grad()
            model(torch.ones(4, 3)).square().sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)
    assert float(ours.weight.detach().abs().max()) > 0.1  # they have learned


@pytest.mark.slow
def test_the_compiler_is_not_loaded():
    """It takes a third of the time in which a rank starts."""
    program = """
import sys, torch
from horovod_ocr.training.optim import build_optimizer, decay_groups
model = torch.nn.Linear(3, 3)
optimizer = build_optimizer(decay_groups(model, 0.02))
model(torch.ones(1, 3)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
