"""Updates of one rank; what several do is proved in tests/ranks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.exchange.allreduce import Allreduce, group_parameters
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.gradients import split_batch
from horovod_ocr.training.optim import build_optimizer
from horovod_ocr.training.update import Schedule, Update

CONSTANT = Schedule(peak=0.1, warmup_share=0.0, total_steps=1 << 30)


def update_of(model: nn.Module, weight_decay: float = 0.0) -> Update:
    """One rank's, with a learning rate of 0.1 and gradients clipped to 1."""
    return Update(model, Allreduce(AloneWorld(), model, build_optimizer(model, weight_decay)), CONSTANT, clip_norm=1.0)


def build(dtype: torch.dtype = torch.float32) -> tuple[nn.Linear, Update]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2, dtype=dtype)
    return model, update_of(model)


@given(st.integers(0, 300), st.integers(1, 20))
def test_parts_hold_each_sample_once_and_are_even(count, parts):
    slices = split_batch(count, parts)
    assert [n for part in slices for n in range(count)[part]] == list(range(count))
    sizes = [part.stop - part.start for part in slices]
    assert len(sizes) == parts and max(sizes) - min(sizes) <= 1


@pytest.mark.slow
@given(st.lists(st.integers(1, 9), min_size=1), st.integers(1, 80))
def test_groups_hold_each_parameter_once_from_the_last_and_none_is_too_large(sizes, most_bytes):
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    groups = group_parameters(parameters, most_bytes)
    assert [id(p) for group in groups for p in group] == [id(p) for p in reversed(parameters)]
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        size = sum(4 * p.numel() for p in group)
        assert size <= most_bytes or len(group) == 1
        assert following is None or size + 4 * following[0].numel() > most_bytes  # no group could be larger


def test_the_norm_before_clipping_is_told_and_the_step_taken():
    model, update = build()
    before = model.weight.detach().clone()
    (model(torch.ones(4, 3)).sum() * 10).backward()
    norm, is_finite, _ = update.take(0)
    assert is_finite.item() and norm.item() == pytest.approx(math.sqrt(6 * 40**2 + 2 * 40**2))
    clipped = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
    assert clipped == pytest.approx(1, rel=1e-4)
    assert (model.weight - before).abs().min() > 0.09  # AdamW's first step is lr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_that_is_not_finite_changes_nothing(bad, dtype):
    model, update = build(dtype)
    images = torch.ones(4, 3, dtype=dtype)
    model(images).sum().backward()
    update.take(0)
    before = [p.detach().clone() for p in model.parameters()]
    state = {k: v.clone() for k, v in update.optimizer.state[model.weight].items()}
    update.optimizer.zero_grad()
    (model(images).sum() * bad).backward()
    norm, is_finite, _ = update.take(0)
    assert not is_finite and not norm.isfinite()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert all(torch.equal(update.optimizer.state[model.weight][k], v) for k, v in state.items())


def test_an_update_that_is_not_finite_leaves_no_trace_in_the_statistics():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    update = update_of(model)
    for images, is_taken in ((torch.rand(4, 3), True), (torch.full((4, 3), math.nan), False)):
        before = {name: values.clone() for name, values in model.state_dict().items() if values.is_floating_point()}
        update.begin()
        model(images).square().sum().backward()
        assert update.take(0).is_finite == is_taken
        for name, values in before.items():
            assert torch.equal(model.state_dict()[name], values) != is_taken


def test_the_loss_without_samples_gives_gradients_of_zero():
    model, update = build()
    update.exchange.zero_loss().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_a_parameter_that_no_loss_reaches_is_one_sentence():
    model, update = build()
    model.weight.sum().backward()
    with pytest.raises(ConfigError, match="1 of the model's parameters get no gradient"):
        update.take(0)


def test_an_update_asks_for_no_value_of_the_device():
    """A GPU would have to be waited for. Fake tensors have none: to ask for one is an error."""
    with FakeTensorMode():
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        update = update_of(model, weight_decay=0.1)
        for _ in range(2):
            update.begin()
            model(torch.ones(4, 3)).sum().backward()
            norm, is_finite, _ = update.take(0)
        with pytest.raises(DataDependentOutputException):
            bool(is_finite)
