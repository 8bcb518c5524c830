"""Ranks as threads of one process: collectives without an engine, so that what is exchanged can be tested in
milliseconds, in float64, for any number of ranks."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.world import World, bytes_of_gradients, zero_loss_of


class Meeting:
    """Where the threads meet: each leaves a value and takes those of all."""

    def __init__(self, ranks: int):
        self.barrier, self.values = threading.Barrier(ranks, timeout=30), [None] * ranks

    def swap(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        values = list(self.values)
        self.barrier.wait()
        return values


class ThreadWorld(World):
    """One rank among threads. Sums are in the order of the ranks."""

    def __init__(self, rank: int, meeting: Meeting):
        super().__init__()
        self.rank, self.world_size, self.meeting = rank, len(meeting.values), meeting

    def swap(self, value: Any) -> list[Any]:
        return self.meeting.swap(self.rank, value)

    def sum(self, values: Tensor) -> Tensor:
        self.count_sum(values.nbytes)
        return self.sum_uncounted(values)

    def sum_uncounted(self, values: Tensor) -> Tensor:
        found = self.swap(values.clone())
        assert len({(each.dtype, each.shape) for each in found}) == 1, "Horovod would wait for ever"
        return torch.stack(found).sum(0)

    def begin_sum(self, values: Tensor) -> Callable[[], Tensor]:
        return lambda: self.sum(values)

    def broadcast(self, value: Any) -> Any:
        return self.swap(value)[0]

    def gather(self, value: Any) -> list[Any]:
        return self.swap(value)

    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.count_broadcast(sum(tensor.nbytes for tensor in tensors.values()))
        for name, values in self.swap({name: tensor.clone() for name, tensor in tensors.items()})[0].items():
            tensors[name].copy_(values)

    def broadcast_tensor(self, values: Tensor) -> None:
        self.broadcast_tensors({"": values})

    def all_to_all(self, values: Tensor, counts: Sequence[int], received: Sequence[int]) -> Tensor:
        assert len(values) == sum(counts) and len(counts) == len(received) == self.world_size
        self.count_parts(values, counts, received)
        parts = [parts[self.rank] for parts in self.swap(torch.split(values.clone(), list(counts)))]
        assert [len(part) for part in parts] == list(received)
        return torch.cat(parts)

    def all_gather(self, values: Tensor) -> Tensor:
        self.count_gather(values.nbytes)
        return torch.cat(self.swap(values.clone()))

    def sum_gradients(self, model, optimizer, groups, fp16=False, passes=1) -> "SummedAfterwards":
        return SummedAfterwards(self, model, optimizer, bytes_of_gradients(groups, fp16))

    def explain(self, error: Exception) -> None:
        return None


class SummedAfterwards:
    """Sums gradients when they are waited for. See `GradientSum`."""

    def __init__(self, world: ThreadWorld, model: nn.Module, optimizer: torch.optim.Optimizer, size: int):
        self.world, self.model, self.optimizer, self.size = world, model, optimizer, size

    def backward_pass(self, is_last: bool):
        return nullcontext()

    def zero_loss(self) -> Tensor:
        return zero_loss_of(self.model)

    def wait(self) -> None:
        for parameter in self.model.parameters():
            parameter.grad = self.world.sum_uncounted(parameter.grad)
        self.world.count_sum(self.size)

    def step(self) -> None:
        self.optimizer.step()


def on_ranks(ranks: int, program: Callable[[ThreadWorld], Any]) -> list[Any]:
    """Run the program on every rank. Returns what each gave; raises what the first that failed has raised."""
    meeting = Meeting(ranks)
    results: list[Any] = [None] * ranks
    errors: list[BaseException | None] = [None] * ranks

    def run(rank: int) -> None:
        try:
            results[rank] = program(ThreadWorld(rank, meeting))
        except BaseException as error:
            errors[rank] = error
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [error for error in errors if error is not None]
    if failed:
        raise next((error for error in failed if not isinstance(error, threading.BrokenBarrierError)), failed[0])
    return results
