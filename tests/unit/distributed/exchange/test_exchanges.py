"""Ways to exchange against each other, on ranks that are threads, in float64."""

import time
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from horovod_ocr.config.train import ExchangeConfig
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.data_parallel import DataParallelWorld
from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.distributed.exchange.build import build_exchange
from horovod_ocr.distributed.exchange.own_state import gather_states
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.optim import build_optimizer, decay_groups
from horovod_ocr.training.update import Schedule, Update
from tests.unit.distributed.thread_world import ThreadWorld, on_ranks

STEPS, SAMPLES, FEATURES = 20, 24, 5
EXACT = ("allreduce", "parameter-server", "sharded-server")
LOCAL = ("weight-average", "diloco")
MATRICES, VECTORS = 8 * 5 + 8, 8 + 1  # numbers in the two groups of the model's parameters
NUMBERS = MATRICES + VECTORS


def tiny_model() -> nn.Module:
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(torch.linspace(-0.6 - number / 10, 0.7, parameter.numel()).view_as(parameter))
    return model


def share_of(step: int, world: World) -> tuple[Tensor, Tensor]:
    """A rank's part of a batch: of another size on each rank, and in every fifth step empty on the last one."""
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(SAMPLES, FEATURES, generator=generator, dtype=torch.float64)
    y = torch.randn(SAMPLES, 1, generator=generator, dtype=torch.float64)
    weights = torch.arange(world.world_size, 0, -1)
    if world.world_size > 1 and step % 5 == 4:
        weights[-1] = 0
    ends = (SAMPLES * weights.cumsum(0) // weights.sum()).tolist()
    part = slice([0, *ends][world.rank], ends[world.rank])
    return x[part], y[part]


class Training:
    """A rank of a training of the tiny model."""

    def __init__(
        self,
        world: World,
        name: str,
        make=build_optimizer,
        local_steps: int = 4,
        clip_norm: float = 0.5,
        weight_decay: float = 0.1,
    ):
        config = ExchangeConfig(exchange=name, local_steps=local_steps, powersgd_rank=1)
        self.world, self.model = world, tiny_model()
        groups = decay_groups(self.model, weight_decay)
        self.exchange: Exchange = build_exchange(config, world, self.model, groups, make, STEPS)
        self.exchange.begin()
        self.update = Update(self.model, self.exchange, Schedule(0.05, 0.0, 1 << 40), clip_norm)

    def run(self, first: int, last: int) -> "Training":
        for step in range(first, last):
            x, y = share_of(step, self.world)
            self.update.begin()
            samples = max(1, len(x)) if self.exchange.is_local else SAMPLES
            ((self.exchange.model(x) - y).square().sum() / samples).backward()
            self.update.take(step, len(x))
        return self

    @property
    def weights(self) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in self.model.parameters()]).clone()


def trained(world: World, name: str, **options) -> Tensor:
    return Training(world, name, **options).run(0, STEPS).weights


@pytest.mark.parametrize("ranks", [2, 3, 5])
@pytest.mark.parametrize("name", (*EXACT, "powersgd"))
def test_gradients_that_meet_give_the_weights_of_a_rank_alone(name, ranks):
    """Also with clipping, unequal shares, and shares of none."""
    alone = trained(AloneWorld(), "powersgd" if name == "powersgd" else "allreduce")
    for weights in on_ranks(ranks, partial(trained, name=name)):
        torch.testing.assert_close(weights, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ranks", [2, 3])
def test_averaging_after_each_step_of_plain_sgd_is_allreduce(ranks):
    """True of plain SGD only: the mean of the weights after a step along each rank's mean gradient is a step along the
    mean gradient of all. AdamW divides each rank's gradient by its own moments first."""
    options = {"make": partial(torch.optim.SGD, lr=0.0, fused=True), "clip_norm": 1e9}
    summed = on_ranks(ranks, partial(trained, name="allreduce", **options))
    averaged = on_ranks(ranks, partial(trained, name="weight-average", local_steps=1, **options))
    torch.testing.assert_close(averaged[0], summed[0], rtol=0, atol=1e-12)
    adamw = on_ranks(ranks, partial(trained, name="weight-average", local_steps=1))
    assert (adamw[0] - on_ranks(ranks, partial(trained, name="allreduce"))[0]).abs().max() > 1e-4


@pytest.mark.parametrize("name", LOCAL)
def test_ranks_differ_until_they_meet(name):
    def program(world: ThreadWorld) -> list[Tensor]:
        training = Training(world, name)
        return [training.run(step, step + 1).weights for step in range(10)]

    one, other = on_ranks(2, program)
    met = [step for step in range(1, 11) if torch.equal(one[step - 1], other[step - 1])]
    assert met == [4, 8]
    is_met = Training(AloneWorld(), name).exchange.is_met
    assert [is_met(step) for step in (3, 4, 19, STEPS)] == [False, True, False, True]


@pytest.mark.parametrize("name", LOCAL)
def test_a_rank_that_steps_alone_stands_still_without_samples(name):
    """Its momentum and weight decay would move it."""
    training = Training(AloneWorld(), name, local_steps=9).run(0, 3)
    before, state = training.weights, clone(training.exchange.optimizer.state_dict()["state"])
    training.update.begin()
    training.exchange.zero_loss().backward()
    result = training.update.take(3, 0)
    assert result.is_finite and torch.equal(training.weights, before)
    for slot, was in zip(training.exchange.optimizer.state.values(), state.values(), strict=True):
        assert all(torch.equal(slot[name], was[name]) for name in was)


def test_moments_are_averaged_with_the_weights():
    def program(world: ThreadWorld) -> list[Tensor]:
        training = Training(world, "weight-average").run(0, 4)
        return [slot["exp_avg_sq"] for slot in training.update.optimizer.state.values()]

    one, other = on_ranks(2, program)
    assert all(map(torch.equal, one, other)) and all(each.abs().sum() > 0 for each in one)


def test_the_outer_step_is_nesterovs():
    """With one rank and local steps of plain SGD, which may be computed by hand."""
    sgd = partial(torch.optim.SGD, lr=0.0, fused=True)
    training = Training(AloneWorld(), "diloco", make=sgd, local_steps=2, clip_norm=1e9, weight_decay=0.0)
    by_hand, momentum = tiny_model(), None
    for step in range(0, 8, 2):
        begin = torch.cat([p.detach().flatten() for p in by_hand.parameters()])
        for inner in (step, step + 1):
            x, y = share_of(inner, AloneWorld())
            by_hand.zero_grad()
            ((by_hand(x) - y).square().sum() / SAMPLES).backward()
            with torch.no_grad():
                for parameter in by_hand.parameters():
                    parameter -= 0.05 * parameter.grad
        way = begin - torch.cat([p.detach().flatten() for p in by_hand.parameters()])
        momentum = way if momentum is None else 0.9 * momentum + way
        end = begin - 0.7 * (way + 0.9 * momentum)
        torch.nn.utils.vector_to_parameters(end, by_hand.parameters())
        torch.testing.assert_close(training.run(step, step + 2).weights, end, rtol=0, atol=1e-12)


def resumed(world: ThreadWorld, name: str) -> tuple[Tensor, Tensor]:
    """Weights of an undisturbed training, and of one that a new process goes on with after step 12."""
    whole = trained(world, name)
    before = Training(world, name).run(0, 12)
    weights = {key: value.clone() for key, value in before.model.state_dict().items()}
    state, own = clone(world.broadcast(clone(before.exchange.optimizer_state()))), own_states(world, before)
    after = Training(world, name)
    after.model.load_state_dict(weights)
    after.exchange.load_optimizer_state(state)
    if own[0]:
        after.exchange.load_own_states(iter(own), len(own))
    after.exchange.begin()
    return whole, after.run(12, STEPS).weights


def own_states(world: World, training: "Training") -> list[dict]:
    """As a checkpoint brings them to every rank."""
    return clone(world.broadcast(gather_states(world, training.exchange.own_state())))


def clone(value):
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: clone(each) for key, each in value.items()}
    return [clone(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", (*EXACT, *LOCAL, "powersgd"))
def test_a_training_goes_on_bit_by_bit(name, ranks):
    for whole, again in on_ranks(ranks, partial(resumed, name=name)):
        assert torch.equal(whole, again)


@pytest.mark.parametrize("name", EXACT)
def test_a_run_goes_on_under_any_other_exchange(name):
    """The optimizer's state is that of the whole model, whoever held it."""
    alone = trained(AloneWorld(), "allreduce")

    def program(world: ThreadWorld) -> Tensor:
        before = Training(world, name).run(0, 12)
        state = world.broadcast(clone(before.exchange.optimizer_state()))
        for other in EXACT:
            after = Training(world, other)
            after.model.load_state_dict({key: value.clone() for key, value in before.model.state_dict().items()})
            after.exchange.load_optimizer_state(clone(state))
            torch.testing.assert_close(after.run(12, STEPS).weights, alone, rtol=0, atol=1e-6)

    on_ranks(3, program)


@pytest.mark.slow
@pytest.mark.parametrize("name", (*EXACT, "powersgd", *LOCAL))
def test_all_but_the_slow_rank_have_waited(name):
    """So the rank that waited least is the one that the others wait for, wherever in an update they do that."""

    def program(world: ThreadWorld) -> float:
        training, is_slow, waited_s = Training(world, name, local_steps=2), world.rank == 1, 0.0
        for step in range(4):
            training.update.begin()
            training.exchange.zero_loss().backward()
            time.sleep(0.1 * is_slow)
            waited_s += training.update.take(step, 1).waited_s
        return waited_s

    first, slow, last = on_ranks(3, program)
    assert slow < min(first, last)


def bytes_of(ranks: int, name: str, steps: int, **options) -> list[tuple[float, float]]:
    """(sent, received) of each rank."""

    def program(world: ThreadWorld) -> tuple[float, float]:
        training = Training(world, name, **options).run(0, steps)
        return training.world.traffic.sent, training.world.traffic.received

    return on_ranks(ranks, program)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_bytes_are_those_of_theory(ranks):
    """S bytes of weights: a ring moves 2 (N - 1) / N S in and out of every rank, a server (N - 1) S in and out. Beside
    it servers sum one number, the norm of the gradient."""
    size, ring = 8 * NUMBERS, 2 * (ranks - 1) / ranks
    norm = 8 * ring
    assert bytes_of(ranks, "allreduce", 3) == [(pytest.approx(3 * ring * size),) * 2] * ranks
    server, *others = bytes_of(ranks, "parameter-server", 3)
    assert server == (pytest.approx(3 * ((ranks - 1) * size + norm)),) * 2
    assert others == [(pytest.approx(3 * (size + norm)),) * 2] * (ranks - 1)
    padded = 8 * sum(-(-group // ranks) * ranks for group in (MATRICES, VECTORS))
    assert bytes_of(ranks, "sharded-server", 3) == [(pytest.approx(3 * (ring * padded + norm)),) * 2] * ranks
    diloco = bytes_of(ranks, "diloco", 8, local_steps=4)
    assert diloco == [(pytest.approx(2 * ring * (size + 8)),) * 2] * ranks
    moments = 3 * size + 4 * 8 + 8  # weights, two moments, a step of each parameter, and the samples
    averaged = bytes_of(ranks, "weight-average", 8, local_steps=4)
    assert averaged == [(pytest.approx(2 * ring * moments),) * 2] * ranks


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_rank_of_the_sharded_server_holds_its_part_of_the_moments(ranks):
    def program(world: ThreadWorld) -> int:
        state = Training(world, "sharded-server").run(0, 2).update.optimizer.state
        return sum(slot["exp_avg"].numel() for slot in state.values())

    assert on_ranks(ranks, program) == [sum(-(-group // ranks) for group in (MATRICES, VECTORS))] * ranks


def not_finite(world: ThreadWorld, name: str) -> tuple[bool, bool]:
    """A gradient of the last rank is not a number in step 2: which steps count, and whether the weights are finite."""
    training = Training(world, name).run(0, 2)
    x, y = share_of(2, world)
    training.update.begin()
    loss = (training.exchange.model(x) - y).square().sum() / SAMPLES
    (loss * (float("nan") if world.rank == world.world_size - 1 else 1.0)).backward()
    before = training.weights
    result = training.update.take(2, len(x))
    finite = training.exchange.all_finite(result.is_finite[None])
    return bool(finite[0]), torch.equal(before, training.weights)


@pytest.mark.parametrize("name", (*EXACT, "powersgd"))
def test_no_rank_takes_an_update_that_is_not_finite(name):
    assert on_ranks(3, partial(not_finite, name=name)) == [(False, True)] * 3


@pytest.mark.parametrize("name", LOCAL)
def test_of_ranks_that_step_alone_the_others_go_on_and_all_know(name):
    assert on_ranks(3, partial(not_finite, name=name)) == [(False, False), (False, False), (False, True)]


def test_one_process_for_all_gpus_exchanges_nothing():
    with pytest.raises(ConfigError, match="is one rank, which has no other to exchange with by sharded-server"):
        config = ExchangeConfig(exchange="sharded-server")
        build_exchange(config, DataParallelWorld([0, 1]), tiny_model(), [], build_optimizer, total_steps=1)
