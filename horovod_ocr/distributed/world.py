"""The ranks of a job as one object. Code that trains receives a `World` and imports no engine."""

import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from horovod_ocr.console import STOPPED_BY_ANOTHER
from horovod_ocr.errors import ClusterError, ConfigError, DataError, OcrError

# What Horovod and Gloo say if another process is gone. Anything else is a reason of its own.
OTHER_IS_GONE = re.compile(r"has been shut down|closed by peer|reset by peer|broken pipe|pair closure", re.IGNORECASE)


@dataclass
class Traffic:
    """Bytes of tensors that a rank has exchanged with other ranks, as they travelled, without headers.

    Computed from the sizes, by the algorithms of Gloo and NCCL for large tensors. Objects are not counted: there are
    few, between steps.
    """

    sent: float = 0.0
    """To other ranks."""
    received: float = 0.0
    """From other ranks."""

    def add(self, sent: float, received: float) -> None:
        self.sent += sent
        self.received += received


class GradientSum(Protocol):
    """Sums the gradients of all ranks while backward still runs."""

    model: nn.Module
    """Forward goes through it; weights are loaded into, and saved from, the model that was given."""
    optimizer: torch.optim.Optimizer
    """Of this rank. Load its state after this was built: it may be wrapped."""

    def backward_pass(self, is_last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of a part of a batch. is_last: of the passes before an update."""

    def zero_loss(self) -> Tensor:
        """The loss of a rank without samples: gradients of zero, sent as the others send theirs."""

    def wait(self) -> None:
        """Return when the gradients of all ranks are summed. Collective."""

    def step(self) -> None:
        """Take the optimizer's step with the gradients as they are now."""


class World(ABC):
    """Rank, size, and what ranks do together. Each engine is a subclass in a file of its own.

    Every method that talks to other ranks is a collective: every rank must call it, in the same order.
    """

    rank: int = 0
    """Number of this process; 0 is root."""
    world_size: int = 1
    """The number of ranks."""
    local_size: int = 1
    """Ranks on this host."""
    engine: str = ""
    """What moves the bytes, as in RanksConfig; empty for a rank alone."""
    gpu_problem: str | None = None
    """Why this engine cannot sum tensors that are on a GPU, and what to do; None if it can."""
    failure: ClassVar[BaseException | None] = None
    """What has left a `guard` of this process: it ends because of that."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        """Of this rank so far."""

    @property
    def is_root(self) -> bool:
        return self.rank == 0

    @abstractmethod
    def sum(self, values: Tensor) -> Tensor:
        """Sum over the ranks; equal on all. It has no gradient. Collective."""

    @abstractmethod
    def begin_sum(self, values: Tensor) -> Callable[[], Tensor]:
        """Begin a sum over the ranks, and return the function that waits for it. One at a time. Collective."""

    @abstractmethod
    def broadcast(self, value: Any) -> Any:
        """Root's object, on every rank. Collective."""

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """The objects of all ranks, by rank, on every rank. Collective."""

    @abstractmethod
    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Overwrite tensors, in place, with root's. Collective."""

    @abstractmethod
    def broadcast_tensor(self, values: Tensor) -> None:
        """Overwrite a flat tensor, in place, with root's. Collective."""

    @abstractmethod
    def all_gather(self, values: Tensor) -> Tensor:
        """Flat tensors of the same size on all ranks, end to end in the order of the ranks. Collective."""

    @abstractmethod
    def all_to_all(self, values: Tensor, counts: Sequence[int], received: Sequence[int]) -> Tensor:
        """Send counts[r] elements of a flat tensor to each rank r, one part after the other. Collective.

        received: how many elements come from each rank. Returns them in the order of the ranks.
        """

    @abstractmethod
    def sum_gradients(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> GradientSum:
        """Sum gradients over the ranks while the last of `passes` backwards runs. Collective.

        groups: all parameters that are trained, in the order in which backward reaches them; the gradients of a group
        travel together, once all of them are there. fp16: gradients travel as fp16.
        """

    def count_sum(self, size: float) -> None:
        """Count a sum of `size` bytes in a ring: every rank sends and receives 2 (N - 1) / N of them."""
        moved = 2 * (self.world_size - 1) / self.world_size * size
        self.traffic.add(moved, moved)

    def count_gather(self, size: float) -> None:
        """Count an `all_gather` of `size` bytes of each rank in a ring: N - 1 of these go in and out of every rank."""
        moved = (self.world_size - 1) * size
        self.traffic.add(moved, moved)

    def count_broadcast(self, size: float) -> None:
        """Count a broadcast of `size` bytes in a binomial tree: in round i, rank r < 2^i sends to rank r + 2^i."""
        rounds = range(self.rank.bit_length(), self.world_size.bit_length())
        sends = sum(self.rank + (1 << number) < self.world_size for number in rounds)
        self.traffic.add(sends * size, 0 if self.is_root else size)

    def count_parts(self, values: Tensor, counts: Sequence[int], received: Sequence[int]) -> None:
        """Count an `all_to_all`; what a rank sends to itself does not travel."""
        size = values.element_size()
        self.traffic.add(size * (sum(counts) - counts[self.rank]), size * (sum(received) - received[self.rank]))

    @abstractmethod
    def explain(self, error: Exception) -> str | None:
        """Why a collective of this engine failed, as the end of a sentence; None for any other error."""

    def sum_array(self, values: ArrayLike) -> NDArray[np.float64]:
        """Sum of a numpy array over the ranks. Collective."""
        return self.sum(torch.as_tensor(values, dtype=torch.float64)).numpy()

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn what the engine, NCCL and CUDA raise into one sentence: another rank is gone, or this one's own
        reason."""
        try:
            yield
        except BaseException as error:
            World.failure = error
            if isinstance(error, Exception) and (why := explain_device(error) or self.explain(error)):
                # without memory, a run that is started again would end the same
                kind = ConfigError if isinstance(error, torch.OutOfMemoryError) else ClusterError
                World.failure = kind(f"rank {self.rank} on {socket.gethostname()}: {what} {why}")
                raise World.failure from error
            raise

    def collectively(self, action: Callable[[], Any]) -> Any:
        """Run `action` on every rank; if it raises an OcrError on any, raise the first such error on all. Collective.

        An OSError counts as one. Returns each rank's own result.
        """
        result, error = None, None
        try:
            result = action()
        except OcrError as raised:
            error = raised
        except OSError as raised:
            error = DataError(f"{raised.filename or 'a file'}: {raised.strerror or raised} (rank {self.rank})")
        errors = [error for error in self.gather(error) if error is not None]
        if errors:
            raise raised_on_all_ranks(errors[0])
        return result


def zero_loss_of(model: nn.Module) -> Tensor:
    """A loss of zero that gives every parameter a gradient, of zero; that of the last parameter first."""
    return torch.stack([each.sum() * 0 for each in model.parameters() if each.requires_grad]).sum()


def bytes_of_gradients(groups: Sequence[Sequence[Tensor]], fp16: bool) -> int:
    """As they travel. groups, fp16: see `World.sum_gradients`."""
    return sum(2 * each.numel() if fp16 else each.nbytes for group in groups for each in group)


def raised_on_all_ranks(error: OcrError) -> OcrError:
    """An error that every rank raises: root alone prints it."""
    error.shown_by = 0
    return error


def explain_collective(reason: str) -> str:
    """Why a collective failed, as the end of a sentence. reason: what the engine said."""
    if "network error" in reason:  # NCCL cannot tell
        return f"{STOPPED_BY_ANOTHER}, whose own message says why, or because of the network ({reason})"
    if OTHER_IS_GONE.search(reason):
        return f"{STOPPED_BY_ANOTHER}; its own message says why"
    return f"stopped: {reason}"


def first_line_of(error: Exception) -> str:
    """What it says, or its type."""
    return (str(error) or type(error).__name__).splitlines()[0]


def explain_device(error: Exception) -> str | None:
    """Why a device failed, as the end of a sentence; None for any other error."""
    reason = first_line_of(error)
    if isinstance(error, torch.OutOfMemoryError):
        what = reason.partition(". ")[0]
        return f"stopped: {what}; give --accumulate 2, or begin a new run with a smaller --global-batch"
    if isinstance(error, torch.AcceleratorError) or reason.startswith(("CUDA error", "cuDNN error")):
        return f"stopped: {reason}"
    return None
