"""PowerSGD: what travels, what is left out, and the same bits on every rank."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange
from horovod_ocr.distributed.exchange.own_state import gather_states
from horovod_ocr.distributed.exchange.powersgd import PowerSGD, put_product
from horovod_ocr.distributed.world import World
from horovod_ocr.training.optim import build_optimizer, decay_groups
from tests.unit.distributed.thread_world import ThreadWorld, on_ranks


def wide_model() -> nn.Module:
    """One matrix that is worth compressing. Threads share torch's own generator."""
    model, generator = nn.Linear(40, 30).double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 6)
    return model


def of_wide_model() -> tuple:
    """What an exchange is built of."""
    model = wide_model()
    return model, decay_groups(model, 0.0), build_optimizer


def gradient_of_wide(exchange: Exchange, world: World) -> None:
    """This rank's, which is the same in each step."""
    exchange.model.zero_grad()
    x = torch.randn(4, 40, generator=torch.Generator().manual_seed(world.rank), dtype=torch.float64)
    exchange.model(x).square().sum().backward()


def fed(world: World, exchange: PowerSGD, steps: int) -> PowerSGD:
    for _ in range(steps):
        gradient_of_wide(exchange, world)
        exchange.wait()
    return exchange


def compressed(world: World, rank: int, steps: int = 1) -> tuple[Tensor, float]:
    """The gradient of the latest step as it has travelled, and the bytes sent."""
    exchange = fed(world, PowerSGD(world, *of_wide_model(), rank), steps)
    return exchange.weights[0].grad.clone(), world.traffic.sent


def test_a_gradient_travels_as_a_product_of_its_rank():
    (gradient, sent), _ = on_ranks(2, partial(compressed, rank=2))
    assert torch.linalg.matrix_rank(gradient) == 2
    assert sent == 8 * (30 + 2 * (30 + 40) + 2 * 30)  # the bias, P and Q, and the basis of root's


def test_what_a_product_leaves_out_comes_with_the_next_ones():
    """The mean of what has travelled comes near the gradient, which stays the same here."""
    whole = wide_model()
    for rank in (0, 1):
        x = torch.randn(4, 40, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)
        whole(x).square().sum().backward()
    exact = whole.weight.grad
    travelled = [on_ranks(2, partial(compressed, rank=1, steps=steps))[0][0] for steps in range(1, 25)]
    first = (travelled[0] - exact).norm() / exact.norm()
    mean = (torch.stack(travelled).mean(0) - exact).norm() / exact.norm()
    assert first > 0.5 and mean < 0.25 * first


def test_a_product_has_the_same_bits_with_any_number_of_threads():
    p, q, own = torch.randn(700, 4), torch.randn(900, 4), torch.randn(700, 900)
    products, threads = [], torch.get_num_threads()
    for number in (1, 2, 4):
        torch.set_num_threads(number)
        gradient, left_out = own.clone(), torch.zeros_like(own)
        put_product(gradient, left_out, p, q, ranks=2)
        products.append(gradient)
    torch.set_num_threads(threads)
    assert all(torch.equal(products[0], other) for other in products)
    torch.testing.assert_close(products[0], p @ q.T)
    torch.testing.assert_close(left_out, own - products[0] / 2)


def test_ranks_whose_libraries_round_otherwise_have_the_same_gradient(monkeypatch):
    """As a factorization does on CPUs of several generations."""
    factorize = torch.linalg.qr

    def qr(p: Tensor) -> tuple[Tensor, Tensor]:
        q, r = factorize(p)
        return q + 1e-9 * torch.randn_like(q), r

    monkeypatch.setattr(torch.linalg, "qr", qr)
    gradients = [gradient for gradient, _ in on_ranks(3, partial(compressed, rank=2, steps=3))]
    assert all(torch.equal(gradients[0], other) for other in gradients)


@pytest.mark.parametrize("before, after", [(2, 3), (3, 2), (2, 1), (1, 2)])
def test_another_number_of_ranks_goes_on_with_all_that_was_left_out(before, after):
    saved = deepcopy(on_ranks(before, left_out)[0])
    total = sum(state["errors"][0] for state in saved)

    def go_on(world: ThreadWorld) -> Tensor:
        exchange = PowerSGD(world, *of_wide_model(), rank=2)
        exchange.load_own_states(iter(deepcopy(saved)), len(saved))
        assert torch.equal(exchange.qs[0], saved[0]["qs"][0])
        return exchange.errors[0]

    torch.testing.assert_close(sum(on_ranks(after, go_on)), total, rtol=0, atol=1e-12)


def left_out(world: ThreadWorld) -> list[dict]:
    return gather_states(world, fed(world, PowerSGD(world, *of_wide_model(), rank=2), steps=3).own_state())


@pytest.mark.parametrize("rank", [1, 4])
def test_another_rank_of_the_products_begins_anew_with_what_was_left_out(rank):
    saved = deepcopy(on_ranks(2, left_out)[0])

    def go_on(world: ThreadWorld) -> None:
        exchange, new = (PowerSGD(world, *of_wide_model(), rank=rank) for _ in range(2))
        exchange.load_own_states(iter(saved), len(saved))
        assert torch.equal(exchange.errors[0], saved[world.rank]["errors"][0])
        assert torch.equal(exchange.qs[0], new.qs[0])

    on_ranks(2, go_on)


def test_nothing_of_an_update_that_is_not_finite_is_left_in_what_comes_next():
    """Also where only a gradient that travels as it is was not finite."""

    def program(world: ThreadWorld) -> bool:
        exchange = fed(world, PowerSGD(world, *of_wide_model(), rank=2), steps=2)
        before = deepcopy(exchange.own_state())
        gradient_of_wide(exchange, world)
        exchange.others[0].grad[0] = float("nan") if world.rank else 0.0
        exchange.wait()
        after = exchange.own_state()
        return all(torch.equal(before[name][0], after[name][0]) for name in after) and before["errors"][0].norm() > 0

    assert on_ranks(2, program) == [True, True]
