"""The ranks of a job as one object. Code that trains receives a `World` and imports no engine."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from horovod_ocr.errors import ClusterError, ConfigError, DataError, OcrError


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
    sums_on_gpus: bool = True
    """Whether this engine can sum tensors that are on a GPU."""

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
    def reduce_gradients(
        self,
        optimizer: torch.optim.Optimizer,
        named_parameters: Iterator[tuple[str, Tensor]],
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> Any:
        """Wrap an optimizer so that gradients are summed over the ranks while the last of `passes` backwards runs.

        groups: parameters whose gradients travel together, once all of them are there. fp16: gradients travel as fp16.
        The wrapped optimizer has `synchronize()` and `skip_synchronize()`; a world of one returns it as it is.
        """

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
        except Exception as error:
            if why := explain_device(error) or self.explain(error):
                # without memory, a run that is started again would end the same
                kind = ConfigError if isinstance(error, torch.OutOfMemoryError) else ClusterError
                raise kind(f"rank {self.rank} on {socket.gethostname()}: {what} {why}") from error
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


def raised_on_all_ranks(error: OcrError) -> OcrError:
    """An error that every rank raises: root alone prints it."""
    error.shown_by = 0
    return error


def explain_device(error: Exception) -> str | None:
    """Why a device failed, as the end of a sentence; None for any other error."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"stopped: {reason.partition('. ')[0]}; give a smaller --global-batch, or --accumulate 2"
    if isinstance(error, torch.AcceleratorError) or reason.startswith(("CUDA error", "cuDNN error")):
        return f"stopped: {reason}"
    return None
