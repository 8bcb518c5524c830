"""A checkpoint's weights and optimizer state come back whole, or a sentence says that they do not fit."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from horovod_ocr.checkpoint.restore import load_generator, load_state, restore
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.errors import CheckpointError
from horovod_ocr.training.optim import build_optimizer, decay_groups
from tests.unit.checkpoint.payload import tiny_payload


def trained(outputs: int = 2) -> tuple[nn.Module, Exchange]:
    model = nn.Linear(3, outputs)
    exchange = Exchange(AloneWorld(), model, decay_groups(model, 0.0), build_optimizer)
    model(torch.ones(1, 3)).sum().backward()
    exchange.apply()
    return model, exchange


def payload_of(model: nn.Module, exchange: Exchange) -> dict:
    state = exchange.optimizer_state()
    return {"model": model.state_dict(), "optimizer": state, "model_name": "crnn", "path": "step.pt"}


def test_weights_and_moments_come_back():
    model, exchange = trained()
    other, its_exchange = trained()
    load_state(payload_of(model, exchange), other, its_exchange)
    assert torch.equal(other.weight, model.weight)
    moments = its_exchange.optimizer.state[other.weight]["exp_avg"], exchange.optimizer.state[model.weight]["exp_avg"]
    assert torch.equal(*moments)


def test_a_run_goes_on_with_the_weight_decay_that_it_is_given():
    model, exchange = trained()
    other = nn.Linear(3, 2)
    its_exchange = Exchange(AloneWorld(), other, decay_groups(other, 0.5), build_optimizer)
    load_state(payload_of(model, exchange), other, its_exchange)
    assert [group["weight_decay"] for group in its_exchange.optimizer.param_groups] == [0.5, 0.0]
    assert [group["weight_decay"] for group in exchange.optimizer.param_groups] == [0.0, 0.0]


def test_what_does_not_fit_is_said_with_the_file():
    payload = payload_of(*trained())
    with pytest.raises(CheckpointError, match="step.pt: weights that do not fit model crnn"):
        load_state(payload, *trained(outputs=3))
    model, exchange = trained()
    with pytest.raises(CheckpointError, match="do not fit"):
        load_state({**payload, "optimizer": {**payload["optimizer"], "param_groups": []}}, model, exchange)


def test_random_numbers_go_on_but_not_those_of_another_device():
    generator = torch.Generator().manual_seed(5)
    states = [generator.get_state(), torch.zeros(16, dtype=torch.uint8)]  # as a GPU's
    drawn = torch.rand(3, generator=generator)
    for rank, goes_on in ((0, True), (1, False)):
        world = SimpleNamespace(rank=rank, world_size=2)
        resumed = torch.Generator().manual_seed(6)
        load_generator(states, resumed, world)
        assert torch.equal(torch.rand(3, generator=resumed), drawn) == goes_on


def test_no_memory_is_taken_for_what_a_crafted_file_asks_for():
    payload = {**tiny_payload(), "model_options": {"hidden": 1 << 20}}  # weights of 70 TB
    with pytest.raises(CheckpointError, match="weights that do not fit model crnn"):
        restore(payload, torch.device("cpu"))
