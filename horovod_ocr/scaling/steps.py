"""Steps of training in one way, as the trainer takes them."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from horovod_ocr.config.train import ExchangeConfig
from horovod_ocr.distributed.exchange.allreduce import GROUP_BYTES, group_parameters
from horovod_ocr.distributed.exchange.build import build_exchange
from horovod_ocr.distributed.exchange.powersgd import shares_of_bytes
from horovod_ocr.distributed.world import World
from horovod_ocr.scaling.bare import wait_for
from horovod_ocr.scaling.figures import Timeline
from horovod_ocr.scaling.subject import Subject
from horovod_ocr.scaling.ways import Way
from horovod_ocr.training.optim import build_optimizer, decay_groups
from horovod_ocr.training.update import Schedule, Update

WARM_UP = 2  # steps
MOST_ROUNDS = 30
ENDLESS = 10**9  # steps: the learning rate stays at its peak


class Steps:
    """A new model that is trained in one way."""

    def __init__(self, subject: Subject, world: World, way: Way, local_steps: int, powersgd_rank: int = 4):
        """Collective. local_steps, powersgd_rank: see ExchangeConfig."""
        model = subject.build_model()
        settings = ExchangeConfig(way.exchange, way.compression, local_steps, powersgd_rank)  # type: ignore[arg-type]
        exchange = build_exchange(settings, world, model, decay_groups(model, 0.0), build_optimizer, ENDLESS)
        exchange.begin()
        self.update = Update(model, exchange, Schedule(1e-3, 0.0, ENDLESS), 5.0, world.world_size > 1)
        self.compute = subject.computation(model, self.update)
        self.samples = subject.samples
        self.device = next(model.parameters()).device
        self.round_steps = local_steps if way.is_local else 1
        self.taken = 0
        self.started_s = 0.0

    def take(self) -> float:
        """One step; its seconds. Collective."""
        self.started_s = time.perf_counter()
        self.compute()
        self.update.take(self.taken, self.samples)
        wait_for(self.device)
        self.taken += 1
        return time.perf_counter() - self.started_s


def timeline_of(steps: Steps, world: World) -> Timeline:
    """Of steps in which this rank exchanges nothing. Collective in `world`."""
    groups = group_parameters(list(steps.update.parameters), GROUP_BYTES)
    ready = [0.0] * len(groups)

    def note(number: int) -> Callable[[nn.Parameter], None]:
        def arrived(parameter: nn.Parameter) -> None:
            wait_for(steps.device)
            ready[number] = time.perf_counter() - steps.started_s  # of its last parameter

        return arrived

    hooks = [
        parameter.register_post_accumulate_grad_hook(note(number))  # type: ignore[no-untyped-call]
        for number, group in enumerate(groups)
        for parameter in group
    ]
    seen = []
    for _ in range(WARM_UP + 3):
        meet(world)
        steps.take()
        seen.append(list(ready))
    for hook in hooks:
        hook.remove()
    medians = [statistics.median(times) for times in zip(*seen[WARM_UP:], strict=True)]
    return Timeline(tuple(medians), tuple(sum(each.nbytes for each in group) for group in groups))


def travelling(model: nn.Module, powersgd_rank: int) -> tuple[tuple[float, float], int]:
    """(of the bytes of all gradients, those that powersgd sums and those of its bases; groups of parameters)."""
    weights = [each for each in model.parameters() if each.requires_grad]
    return shares_of_bytes(weights, powersgd_rank), len(decay_groups(model, 0.0))


def time_steps(
    steps: Steps, seconds: float, world: World, reached: Callable[[str], None], begin_together: bool = False
) -> tuple[float, int]:
    """(seconds of a step of the slowest rank, steps measured): median over rounds, which end with a meeting.

    seconds: to be measured, about. world: whose ranks call this. reached: called before each step. begin_together: the
    ranks do not exchange, and begin each round together. Collective.
    """
    length = steps.round_steps

    def take_round() -> float:
        taken_s = 0.0
        for _ in range(length):
            reached("the next step")
            taken_s += steps.take()
        return taken_s

    warm_up_s = [take_round() for _ in range(-(-WARM_UP // length))]
    rounds = world.broadcast(max(3 if length == 1 else 1, min(MOST_ROUNDS, int(seconds / warm_up_s[-1]))))
    seen: list[float] = []
    for _ in range(rounds):
        if begin_together or not seen:
            meet(world)
        seen.append(take_round() / length)
    return max(world.gather(statistics.median(seen))), rounds * length


def meet(world: World) -> None:
    """Wait for all ranks, so that those that share cores compete for them as they do in an exchange. Collective."""
    world.sum(torch.zeros(1))
