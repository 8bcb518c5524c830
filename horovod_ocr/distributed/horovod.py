"""Horovod as the engine. The only file that imports it."""

import os
import pickle
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.alone import OwnGradients
from horovod_ocr.distributed.world import GradientSum, World, bytes_of_gradients, explain_collective, first_line_of
from horovod_ocr.errors import ClusterError

# Each cycle of Horovod's background loop takes time from the computation on CPU ranks, and our build of it continues at
# once if a rank waits: cycles may be long (ms)
CPU_CYCLE_TIME_MS = "25"
PIECE = 1 << 28  # bytes of an object in a message

WITHOUT_NCCL = (
    "Horovod is built without NCCL, and would wait for ever for tensors on a GPU; build it with: "
    "scripts/build_horovod.sh --nccl"
)


class HorovodWorld(World):
    """The ranks that horovodrun has started."""

    engine = "horovod"

    def __init__(self, hvd: Any):
        """hvd: the module horovod.torch, after its init()."""
        super().__init__()
        self._hvd = hvd
        self.rank, self.world_size = hvd.rank(), hvd.size()
        self.local_size = hvd.local_size()
        self.gpu_problem = None if hvd.nccl_built() else WITHOUT_NCCL
        self.calls = 0  # of all_to_all

    def sum(self, values: Tensor) -> Tensor:
        if self.world_size == 1:
            return values
        self.count_sum(values.nbytes)
        # Horovod's default name counts gradients too, which a rank without samples sends later. Names that come again
        # find what was negotiated for them before; one name stands for one type and shape.
        name = f"sum.{values.dtype}.{'x'.join(map(str, values.shape))}"
        return cast(Tensor, self._hvd.allreduce(values, name=name, op=self._hvd.Sum))

    def begin_sum(self, values: Tensor) -> Callable[[], Tensor]:
        if self.world_size == 1:
            return lambda: values
        self.count_sum(values.nbytes)
        handle = self._hvd.allreduce_async(values, name="vote", op=self._hvd.Sum)
        return lambda: self._hvd.synchronize(handle)

    def broadcast(self, value: Any) -> Any:
        # Horovod's own functions for objects copy byte by byte, a second for 14 MB, and count sizes in 32 bits
        if self.world_size == 1:
            return value
        pickled = as_bytes(value) if self.is_root else torch.empty(0, dtype=torch.uint8)
        size = int(self._hvd.broadcast(torch.tensor(len(pickled)), 0, name="broadcast.size"))
        if not self.is_root:
            pickled = torch.empty(size, dtype=torch.uint8)
        for piece in torch.split(pickled, PIECE):
            self._hvd.broadcast_(piece, 0, name="broadcast.piece")
        return value if self.is_root else pickle.loads(pickled.numpy().data)

    def gather(self, value: Any) -> list[Any]:
        if self.world_size == 1:
            return [value]
        pickled = as_bytes(value)
        sizes = self._hvd.allgather(torch.tensor([len(pickled)]), name="gather.sizes").tolist()
        objects = self._hvd.allgather(pickled, name="gather.objects")
        return [pickle.loads(each.numpy().data) for each in torch.split(objects, sizes)]

    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> None:
        if self.world_size > 1:
            self.count_broadcast(sum(tensor.nbytes for tensor in tensors.values()))
            self._hvd.broadcast_parameters(tensors, root_rank=0)

    def broadcast_tensor(self, values: Tensor) -> None:
        if self.world_size > 1:
            self.count_broadcast(values.nbytes)
            self._hvd.broadcast_(values, 0, name=f"broadcast.{values.dtype}.{len(values)}")

    def all_gather(self, values: Tensor) -> Tensor:
        if self.world_size == 1:
            return values
        self.count_gather(values.nbytes)
        return cast(Tensor, self._hvd.allgather(values, name=f"gather.{values.dtype}.{len(values)}"))

    def all_to_all(self, values: Tensor, counts: Sequence[int], received: Sequence[int]) -> Tensor:
        if self.world_size == 1:
            return values
        self.count_parts(values, counts, received)
        splits = torch.tensor(counts, dtype=torch.int32)
        # a name for each call: sizes differ between ranks, so none of them can be part of a name
        parts, _ = self._hvd.alltoall(values, splits, name=f"parts.{self.calls}")
        self.calls += 1
        return cast(Tensor, parts)

    def sum_gradients(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> GradientSum:
        if self.world_size == 1:
            return OwnGradients(model, optimizer)
        wrapped = self._hvd.DistributedOptimizer(
            optimizer,
            named_parameters=model.named_parameters(),
            compression=self._hvd.Compression.fp16 if fp16 else self._hvd.Compression.none,
            backward_passes_per_step=passes,
            op=self._hvd.Sum,
            groups=groups,
        )
        return HorovodGradients(self, model, wrapped, bytes_of_gradients(groups, fp16))

    def explain(self, error: Exception) -> str | None:
        if type(error).__name__ != "HorovodInternalError":
            return None
        return explain_collective(first_line_of(error))


def as_bytes(value: Any) -> Tensor:
    """uint8: a pickled object."""
    return torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)


class HorovodGradients(OwnGradients):
    """Horovod's wrapper of an optimizer, which counts the backward passes itself. See `GradientSum`."""

    optimizer: Any
    """A DistributedOptimizer."""

    def __init__(self, world: World, model: nn.Module, optimizer: Any, size: int):
        """size: bytes of the gradients, as they travel."""
        super().__init__(model, optimizer)
        self.world, self.size = world, size

    def wait(self) -> None:
        self.optimizer.synchronize()
        self.world.count_sum(self.size)

    def step(self) -> None:
        with self.optimizer.skip_synchronize():
            self.optimizer.step()


def init_horovod(on_cpus: bool) -> HorovodWorld:
    """Join the other ranks of horovodrun. Collective. ClusterError if Horovod does not load."""
    if on_cpus:
        os.environ.setdefault("HOROVOD_CYCLE_TIME", CPU_CYCLE_TIME_MS)
    # A group of tensors travels alone and in its own order. Otherwise, what else is ready decides where in the ring's
    # blocks a number is, and so in which order the numbers of three or more ranks are added.
    os.environ.setdefault("HOROVOD_DISABLE_GROUP_FUSION", "1")
    os.environ.setdefault("NCCL_DEBUG", "WARN")  # without it, NCCL's errors have no reason
    try:
        import horovod.torch as hvd
    except ImportError as error:
        raise ClusterError(
            f"Horovod is not in this environment ({error}); build it with: make setup; or start the ranks with "
            "torchrun, which needs no Horovod"
        ) from error
    hvd.init()
    return HorovodWorld(hvd)


def describe_horovod() -> dict[str, Any]:
    """Horovod's version, and whether gloo, mpi and nccl were built. ClusterError if it does not load."""
    try:
        import horovod.torch as hvd
        from horovod import __version__ as version
    except ImportError as error:
        raise ClusterError(f"Horovod does not load ({error}); build it with: make setup") from error
    built = {"gloo": hvd.gloo_built(), "mpi": hvd.mpi_built(), "nccl": hvd.nccl_built()}
    return {"version": version, **{name: bool(there) for name, there in built.items()}}
