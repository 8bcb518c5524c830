"""Bare collectives: what the link between the ranks costs, without a model."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from horovod_ocr.distributed.exchange.allreduce import GROUP_BYTES
from horovod_ocr.distributed.world import World
from horovod_ocr.scaling.ways import Way
from horovod_ocr.training.optim import build_optimizer

GROUPS = 5  # of small gradients, to tell a call from a message
LEAST_BYTES, LARGEST_BYTES = 1 << 20, 64 << 20  # of the largest collective


class Bare:
    """Measures what forecasts need, each only once."""

    def __init__(self, device: torch.device, seconds: float, reached: Callable[[str], None]):
        """seconds: for each kind of collective, about. reached: called with what comes next."""
        self.device, self.seconds, self.reached = device, seconds, reached
        self.bare_s: dict[str, dict[int, float]] = {}
        """See `Job.bare_s`."""
        self.call_s: dict[str, float] = {}
        """See `Job.call_s`."""

    def time_link(self, world: World, way: Way, most_bytes: int) -> None:
        """What this way is forecast from, unless it is known. most_bytes: of the model. Collective."""
        kind = "torch" if way.engine == "torch" else "fp32"
        if kind not in self.call_s:
            self.call_s[kind] = self.time_call(world)
        for collective in way.collectives:
            if collective not in self.bare_s:
                self.bare_s[collective] = self.time_collectives(world, collective, most_bytes)

    def time_call(self, world: World) -> float:
        """Seconds until ranks agree on a collective: what the first group of gradients costs beyond each further one,
        since they agree on all at once. Collective."""
        one_s, several_s = (self.time_groups(world, count) for count in (1, GROUPS))
        each_s = (several_s - one_s) / (GROUPS - 1)
        return max(0.0, one_s - max(0.0, each_s))

    def time_groups(self, world: World, count: int) -> float:
        """Median seconds until `count` small groups of gradients are summed. Collective."""
        self.reached(f"{count} sums")
        model = nn.ParameterList([nn.Parameter(torch.zeros(256, device=self.device)) for _ in range(count)])
        groups = [[parameter] for parameter in model]
        sums = world.sum_gradients(model, build_optimizer([{"params": list(model)}]), groups)

        def once() -> float:
            loss = sums.zero_loss()
            world.gather(None)
            started_s = time.perf_counter()
            with sums.backward_pass(is_last=True):
                loss.backward()  # type: ignore[no-untyped-call]
            sums.wait()
            return time.perf_counter() - started_s

        return float(world.broadcast(statistics.median([once() for _ in range(10)][1:])))

    def time_collectives(self, world: World, collective: str, most_bytes: int) -> dict[int, float]:
        """Bytes in fp32 -> median seconds, from few to about those of the model, while that is quick. Collective."""
        seconds: dict[int, float] = {}
        largest = min(LARGEST_BYTES, max(most_bytes, LEAST_BYTES))
        sizes = sorted({1 << 10, 1 << 16, LEAST_BYTES, min(GROUP_BYTES, largest), largest})
        for size, following in zip(sizes, [*sizes[1:], largest], strict=True):
            self.reached(f"a collective of {size} bytes")
            seconds[size] = self.time_collective(world, collective, size)
            # time grows by less than the size does
            is_slow = seconds[size] * following / size > 2 * self.seconds  # the same on all ranks
            if len(seconds) > 2 and is_slow:
                break
        return seconds

    def time_collective(self, world: World, collective: str, size: int) -> float:
        """Collective. collective: as in `Way`."""
        values = 1e-3 * torch.randn(size // 4, device=self.device)  # like gradients: fp16 takes longer for small ones

        def once() -> float:
            started_s = time.perf_counter()
            if collective == "star":
                send_to_root(world, values)
            elif collective == "neighbours":
                send_to_next(world, values)
            elif collective == "fp16":
                world.sum(values.half()).float()
            else:
                world.sum(values)
            wait_for(self.device)
            return time.perf_counter() - started_s

        once()  # opens the connections
        first_s = once()
        more = world.broadcast(max(1, min(20, int(self.seconds / 4 / first_s))))
        return float(world.broadcast(statistics.median([first_s, *(once() for _ in range(more))])))


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def send_to_next(world: World, values: torch.Tensor) -> None:
    """Each rank sends the values to the next one. Collective."""
    ranks = range(world.world_size)
    to, of = ([len(values) * (rank == (world.rank + step) % world.world_size) for rank in ranks] for step in (1, -1))
    world.all_to_all(values, to, of)


def send_to_root(world: World, values: torch.Tensor) -> None:
    """All ranks send the values to root at once. Collective."""
    nothing, size = [0] * world.world_size, len(values)
    if world.is_root:
        world.all_to_all(values[:0], nothing, [0, *[size] * (world.world_size - 1)])
    else:
        world.all_to_all(values, [size, *nothing[1:]], nothing)
