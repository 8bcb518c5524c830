"""torch.distributed as the engine. The only file that imports it.

It needs no build of its own: gloo on CPUs and NCCL on GPUs come with torch.
"""

import atexit
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from horovod_ocr.distributed.launcher import Meeting, times_restarted
from horovod_ocr.distributed.world import (
    GradientSum,
    World,
    bytes_of_gradients,
    explain_collective,
    first_line_of,
    zero_loss_of,
)
from horovod_ocr.errors import ClusterError, exit_code_of

START_TIMEOUT = timedelta(seconds=240)  # until all ranks are there; shorter than the watchdog's, for a better sentence
set_timeout = dist.distributed_c10d._set_pg_timeout  # torch's only way, and not public
COLLECTIVE_TIMEOUT = timedelta(days=30)  # a rank that waits for longer than `stall_timeout_s` is ended by the watchdog

WITHOUT_NCCL = (
    f"torch {torch.__version__} is built without NCCL, so its ranks cannot sum what is on GPUs; take one with NCCL, "
    "such as PyPI's for Linux"
)


class TorchWorld(World):
    """The ranks that torchrun or srun has started. torch's process group must be there."""

    engine = "torch"

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.gpu_problem = None if dist.is_nccl_available() else WITHOUT_NCCL
        host = socket.gethostname()
        self.local_size = self.gather(host).count(host)

    def sum(self, values: Tensor) -> Tensor:
        return self.begin_sum(values)()

    def begin_sum(self, values: Tensor) -> Callable[[], Tensor]:
        self.count_sum(values.nbytes)
        total = values.detach().clone(memory_format=torch.contiguous_format)
        work = dist.all_reduce(total, async_op=True)

        def wait() -> Tensor:
            work.wait()
            return total

        return wait

    def broadcast(self, value: Any) -> Any:
        values = [value]
        dist.broadcast_object_list(values, 0)
        return values[0]

    def gather(self, value: Any) -> list[Any]:
        values = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def broadcast_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.count_broadcast(sum(tensor.nbytes for tensor in tensors.values()))
        for work in [dist.broadcast(tensor.detach(), 0, async_op=True) for tensor in tensors.values()]:
            work.wait()

    def broadcast_tensor(self, values: Tensor) -> None:
        self.broadcast_tensors({"": values})

    def all_gather(self, values: Tensor) -> Tensor:
        self.count_gather(values.nbytes)
        gathered = values.new_empty(self.world_size * len(values))
        dist.all_gather_single(gathered, values)
        return gathered

    def all_to_all(self, values: Tensor, counts: Sequence[int], received: Sequence[int]) -> Tensor:
        self.count_parts(values, counts, received)
        parts = values.new_empty(sum(received))
        dist.all_to_all_single(parts, values, list(received), list(counts))
        return parts

    def sum_gradients(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[Sequence[Tensor]],
        fp16: bool = False,
        passes: int = 1,
    ) -> GradientSum:
        return TorchGradients(self, model, optimizer, groups, fp16)

    def explain(self, error: Exception) -> str | None:
        reason = first_line_of(error)
        # gloo's errors have no type of their own
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in reason):
            return explain_collective(reason)
        return None


class TorchGradients:
    """DistributedDataParallel with sums instead of means, since losses are divided by the global count already.

    Its backward begins the sums and does not wait for them: gradients are views of the buckets, which are summed in
    place until `wait` returns. See `GradientSum`; Li et al., "PyTorch Distributed", 2020.
    """

    def __init__(
        self,
        world: World,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[Sequence[Tensor]],
        fp16: bool,
    ):
        """groups, fp16: see `World.sum_gradients`. Collective."""
        self.world, self.optimizer, self.fp16 = world, optimizer, fp16
        self.size = bytes_of_gradients(groups, fp16)
        self.sums: list[tuple[dist.Work, Tensor, Tensor]] = []  # begun: of a bucket, as it travels and as it is
        # the gradient of a convolution over one channel, which is small, is copied into its bucket
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        self.ddp = DistributedDataParallel(
            Forward(model),
            init_sync=False,  # the weights are broadcast when they are loaded
            forward_sync_buffers=False,  # statistics of BatchNorm are each rank's own
            gradient_as_bucket_view=True,
            bucket_cap_mb_list=[sum(each.nbytes for each in group) / 2**20 for group in groups],  # type: ignore[misc]  # takes fractions
        )
        self.model: nn.Module = self.ddp
        self.ddp.register_comm_hook(None, lambda state, bucket: self.begin_bucket(bucket))
        # The buckets of the first backward are in the order of the model. From the second on they are `groups`: so that
        # a run that is resumed adds in the order in which it did before, the first one is not a step.
        with self.backward_pass(is_last=True):
            self.zero_loss().backward()  # type: ignore[no-untyped-call]
        self.wait()
        optimizer.zero_grad()

    def begin_bucket(self, bucket: Any) -> torch.futures.Future[Tensor]:
        """Begin the sum of a GradBucket, and let backward go on."""
        gradients = bucket.buffer()
        travelling = gradients.half() if self.fp16 else gradients
        work = dist.all_reduce(travelling, async_op=True)
        self.sums.append((cast("dist.Work", work), travelling, gradients))
        done: torch.futures.Future[Tensor] = torch.futures.Future(
            devices=[gradients.device] if gradients.is_cuda else None
        )
        done.set_result(gradients)
        return done

    @contextmanager
    def backward_pass(self, is_last: bool) -> Iterator[None]:
        if is_last:
            yield
        else:
            with self.ddp.no_sync():
                yield

    def zero_loss(self) -> Tensor:
        return cast(Tensor, self.model())

    def wait(self) -> None:
        for work, travelling, gradients in self.sums:
            work.wait()
            if self.fp16:
                gradients.copy_(travelling)
        if self.sums and self.sums[0][2].is_cuda:
            torch.cuda.current_stream().synchronize()  # NCCL's wait is one of the GPU, and not of this process
        self.sums.clear()
        self.world.count_sum(self.size)

    def step(self) -> None:
        self.optimizer.step()


class Forward(nn.Module):
    """A model; without images a loss of zero: DistributedDataParallel sends the gradients of its own forward only."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images_NCHW: Tensor | None = None) -> Any:
        return zero_loss_of(self.model) if images_NCHW is None else self.model(images_NCHW)


def init_torch(meeting: Meeting) -> TorchWorld:
    """Join the other ranks. Collective. ClusterError if they do not all come, or if torch has no torch.distributed."""
    if not dist.is_available():
        raise ClusterError(
            f"torch {torch.__version__} is built without torch.distributed; start the ranks with horovodrun"
        )
    os.environ.setdefault("NCCL_DEBUG", "WARN")  # without it, NCCL's errors have no reason
    address = f"[{meeting.address}]" if ":" in meeting.address else meeting.address
    try:
        if not dist.is_initialized():
            meet(f"tcp://{address}:{meeting.port}", meeting.rank, meeting.world_size)
        world = TorchWorld()  # which is the first to talk to the others: one may have ended since
        set_timeout(COLLECTIVE_TIMEOUT)
        return world
    except (dist.DistError, RuntimeError) as error:
        reason = first_line_of(error)
        raise ClusterError(
            f"rank {meeting.rank} of {meeting.world_size} on {socket.gethostname()} did not meet the others at "
            f"{address}, port {meeting.port} ({reason}); is this port blocked, has a rank ended, or is the network "
            "interface the wrong one? Name it: GLOO_SOCKET_IFNAME=eth0"
        ) from error


def meet(url: str, rank: int, world_size: int) -> None:
    """Make the process group. Collective."""
    store, *_ = next(rendezvous(url, rank, world_size, timeout=START_TIMEOUT))
    # torchrun keeps its store when it starts ranks again, and with it the addresses of those that have ended
    store = dist.distributed_c10d.PrefixStore(f"{times_restarted()} of {world_size}", store)
    backends = "cpu:gloo,cuda:nccl" if has_nccl() else "gloo"
    dist.init_process_group(backends, store=store, rank=rank, world_size=world_size, timeout=START_TIMEOUT)
    atexit.register(leave)


def has_nccl() -> bool:
    return torch.cuda.is_available() and dist.is_nccl_available()


def leave() -> None:
    """Take leave of the other ranks, at the end of the process.

    With NCCL that waits for the ranks of this host, which may wait for this one: a rank that has failed ends at once.
    """
    if World.failure is None or not has_nccl():
        dist.destroy_process_group()
        return
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(exit_code_of(World.failure))
