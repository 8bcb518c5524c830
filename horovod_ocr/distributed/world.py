"""The ranks of a job as one object. The only file that imports Horovod.

A world of one needs no Horovod: every command runs on a laptop without it.
"""

import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from horovod_ocr.distributed.launcher import rank_of_process
from horovod_ocr.errors import ClusterError, ConfigError, DataError, OcrError

# Each cycle of Horovod's background loop takes time from the computation on CPU ranks, and our build of it goes on at
# once where a rank waits: cycles may be long (ms)
CPU_CYCLE_TIME_MS = "25"
SIZE_VARIABLES = ("SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")  # how many processes a launcher started
# What Horovod and Gloo say if another process is gone. Anything else is a reason of its own.
OTHER_IS_GONE = re.compile(r"has been shut down|closed by peer|reset by peer|broken pipe|pair closure", re.IGNORECASE)


class World:
    """Rank, size, and what ranks do together.

    Every method that talks to other ranks is a collective: every rank must call it, in the same order.
    """

    def __init__(self, horovod=None):
        self._hvd = horovod
        self.rank = horovod.rank() if horovod else 0
        self.world_size = horovod.size() if horovod else 1
        self.local_rank = horovod.local_rank() if horovod else 0
        self.local_size = horovod.local_size() if horovod else 1
        # without NCCL, Horovod waits for ever for a tensor on a GPU
        self.sums_on_gpus = bool(horovod.nccl_built()) if horovod else True

    @property
    def is_root(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over the ranks; equal on all. It has no gradient. Collective."""
        if self.world_size == 1:
            return values
        # Horovod's default name counts gradients too, which a rank without samples sends later. Names that come again
        # find what was agreed on them before; one name stands for one type and shape.
        name = f"sum.{values.dtype}.{'x'.join(map(str, values.shape))}"
        return self._hvd.allreduce(values, name=name, op=self._hvd.Sum)

    def begin_sum(self, values: Tensor) -> Callable[[], Tensor]:
        """Begin a sum over the ranks, and return what waits for it. One at a time. Collective."""
        if self.world_size == 1:
            return lambda: values
        handle = self._hvd.allreduce_async(values, name="wishes", op=self._hvd.Sum)
        return lambda: self._hvd.synchronize(handle)

    def sum_array(self, values):
        """Sum of a numpy array over the ranks, in float64. Collective."""
        return self.sum(torch.as_tensor(values, dtype=torch.float64)).numpy()

    def broadcast(self, value: Any) -> Any:
        """Root's object, on every rank. Collective."""
        # by default named after the object's type: ranks with objects of other types would wait for each other
        return value if self.world_size == 1 else self._hvd.broadcast_object(value, 0, name="broadcast")

    def gather(self, value: Any) -> list:
        """The objects of all ranks, by rank, on every rank. Collective."""
        return [value] if self.world_size == 1 else self._hvd.allgather_object(value, name="gather")

    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Overwrite tensors, in place, by root's. Collective."""
        if self.world_size > 1:
            self._hvd.broadcast_parameters(tensors, root_rank=0)

    def reduce_gradients(self, optimizer, named_parameters, groups: list[list[Tensor]], fp16=False, passes=1):
        """Wrap an optimizer so that gradients are summed over the ranks while the last of `passes` backwards runs.

        groups: parameters whose gradients travel together, once all of them are there. fp16: they travel as such. The
        wrapped one has `synchronize()` and `skip_synchronize()`; a world of one returns it as it is.
        """
        if self.world_size == 1:
            return optimizer
        return self._hvd.DistributedOptimizer(
            optimizer,
            named_parameters=named_parameters,
            compression=self._hvd.Compression.fp16 if fp16 else self._hvd.Compression.none,
            backward_passes_per_step=passes,
            op=self._hvd.Sum,
            groups=groups,
        )

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Turn what Horovod, NCCL and CUDA raise into one sentence: another rank is gone, or this one's own reason."""
        try:
            yield
        except Exception as error:
            if why := explain(error):
                # without memory, a run that is started again would end the same
                kind = ConfigError if isinstance(error, torch.OutOfMemoryError) else ClusterError
                raise kind(f"rank {self.rank} on {socket.gethostname()}: {what} {why}") from error
            raise

    def collectively(self, action: Callable[[], Any]) -> Any:
        """Run `action` on every rank; where it raises an OcrError on any, raise the first such on all. Collective.

        An OSError counts as one. What is returned is each rank's own result.
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


def explain(error: Exception) -> str:
    """Why a device or a collective failed, after "training"; "" for any other error."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"stopped: {reason.partition('. ')[0]}; give a smaller --global-batch, or --accumulate 2"
    if isinstance(error, torch.AcceleratorError) or reason.startswith(("CUDA error", "cuDNN error")):
        return f"stopped: {reason}"
    if type(error).__name__ != "HorovodInternalError":
        return ""
    if "network error" in reason:  # NCCL cannot tell
        return f"stopped because another rank ended, whose own message says why, or because of the network ({reason})"
    if OTHER_IS_GONE.search(reason):
        return "stopped because another rank ended; its own message says why"
    return f"stopped: {reason}"


def open_world() -> World:
    """The world this process belongs to: Horovod's under horovodrun, of one otherwise. Collective."""
    if rank_of_process() is None:
        check_alone(1)
        return World()
    if not has_nvidia_driver():
        os.environ.setdefault("HOROVOD_CYCLE_TIME", CPU_CYCLE_TIME_MS)
    # A group of tensors travels alone and in its own order; or else what else is ready decides where in the ring's
    # blocks a number lies, and so in which order three or more ranks' are added.
    os.environ.setdefault("HOROVOD_DISABLE_GROUP_FUSION", "1")
    os.environ.setdefault("NCCL_DEBUG", "WARN")  # without it, NCCL's errors have no reason
    try:
        import horovod.torch as hvd
    except ImportError as error:
        raise ClusterError(f"Horovod is not in this environment ({error}); build it with: make setup") from error
    hvd.init()
    check_alone(hvd.size())
    return World(hvd)


def has_nvidia_driver() -> bool:
    """Is a driver for NVIDIA GPUs loaded? /dev/dxg: that of Windows, under WSL."""
    return any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/dxg")))


def check_alone(ranks: int) -> None:
    """ClusterError if srun or mpiexec started several processes and Horovod sees one rank: each would train for itself,
    in one folder."""
    if ranks > 1 or "HOROVOD_RANK" in os.environ or (sys.stdin and sys.stdin.isatty()):  # a shell that srun started
        return
    started = max(int(os.environ.get(name) or 1) for name in SIZE_VARIABLES)
    if started > 1:
        raise ClusterError(
            f"{started} processes were started, but each of them is alone: Horovod learns no ranks from this launcher; "
            "start them with horovodrun, or with srun --mpi=pmix and a Horovod built with that MPI"
        )


def describe_horovod() -> dict:
    """Horovod's version, and whether gloo, mpi and nccl were built. ClusterError where it does not load."""
    try:
        import horovod.torch as hvd
        from horovod import __version__ as version
    except ImportError as error:
        raise ClusterError(f"Horovod does not load ({error}); build it with: make setup") from error
    built = {"gloo": hvd.gloo_built(), "mpi": hvd.mpi_built(), "nccl": hvd.nccl_built()}
    return {"version": version, **{name: bool(there) for name, there in built.items()}}
