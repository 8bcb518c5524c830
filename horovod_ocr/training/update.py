"""How gradients meet: summed over the ranks by ring allreduce while backward still runs, clipped, applied.

Patarasuk and Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations", 2009.
"""

import time

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ConfigError
from horovod_ocr.training.optim import build_optimizer

# Small enough that the first sums travel while backward still runs, large enough that few messages do. With 9 million
# parameters on 2 CPU ranks faster than 1 and 64 MB; Li et al., "PyTorch Distributed", 2020, take 25 MB.
GROUP_BYTES = 8 << 20


class Exchange:
    """The optimizer of all ranks as one.

    fp16: gradients travel as such. passes: backward passes before each update; without samples, of `zero_loss`.
    Gradients travel in fixed groups, so sums are made in one order: on CPUs, runs on the same ranks are bit-equal.
    """

    def __init__(self, world: World, model: nn.Module, weight_decay: float, fp16: bool = False, passes: int = 1):
        self.world = world
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = group_parameters(self.parameters, GROUP_BYTES)
        self.optimizer = world.reduce_gradients(
            build_optimizer(model, weight_decay), model.named_parameters(), groups, fp16, passes
        )
        self.statistics = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        self.statistics_before = [buffer.clone() for buffer in self.statistics]
        self.waited_s = 0.0  # for the other ranks' gradients, since it was last set to 0

    def begin(self) -> None:
        """Before the passes of an update: no gradients, and the model's statistics kept for the case that it fails."""
        self.optimizer.zero_grad()
        if self.statistics:
            torch._foreach_copy_(self.statistics_before, self.statistics)

    def zero_loss(self) -> Tensor:
        """The loss of a rank without samples: gradients of zero, sent under the names the others send."""
        return sum(parameter.sum() * 0 for parameter in self.parameters)

    def update(self, lr: float, clip_norm: float) -> tuple[Tensor, Tensor]:
        """Wait for the sums, clip them by their global norm, step with this learning rate. Every rank must call this.

        Returns the norm before clipping, and whether it is finite, as scalars on the device, equal on every rank: to
        know them, a GPU would be waited for. If it is not finite, neither weights nor statistics have changed since
        `begin`.
        Raises ConfigError where a parameter has no gradient.
        """
        if missing := sum(parameter.grad is None for parameter in self.parameters):  # a group would never be whole
            raise ConfigError(f"{missing} of the model's parameters get no gradient; freeze them (requires_grad)")
        if self.parameters[0].is_cuda and self.world.world_size > 1:
            torch.cuda.current_stream().synchronize()  # this rank's own backward is not waiting for others
        started_s = time.monotonic()
        if self.world.world_size > 1:
            self.optimizer.synchronize()
        self.waited_s += time.monotonic() - started_s
        norm = nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        is_finite = norm.isfinite()
        for values, before in zip(self.statistics, self.statistics_before, strict=True):
            torch.where(is_finite, values, before, out=values)
        self.optimizer.found_inf = (~is_finite).float()  # AdamW leaves the step out
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.world.world_size == 1:
            self.optimizer.step()
        else:
            with self.optimizer.skip_synchronize():
                self.optimizer.step()
        return norm, is_finite


def group_parameters(parameters: list[nn.Parameter], most_bytes: int) -> list[list[nn.Parameter]]:
    """Groups of at most so many bytes (or of one parameter), in the order backward reaches them: the last one first."""
    groups, size = [], 0
    for parameter in reversed(parameters):
        if not groups or size + parameter.nbytes > most_bytes:
            groups.append([])
            size = 0
        groups[-1].append(parameter)
        size += parameter.nbytes
    return groups


def split_batch(count: int, parts: int) -> list[slice]:
    """`count` samples in `parts` slices whose sizes differ by at most one; some may be empty."""
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
