"""How gradients meet: summed over the ranks by ring allreduce while backward still runs, clipped, applied.

Patarasuk and Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations", 2009.
"""

import time

from torch import Tensor, nn

from horovod_ocr.training.optim import build_optimizer
from horovod_ocr.world import World


class Exchange:
    """The optimizer of all ranks as one.

    fp16: gradients travel as fp16. passes: backward passes before each update (`Exchange.pass_empty` for one without
    samples). ordered: sums in one order, so that three or more ranks get the same bits in every run; slower.
    """

    def __init__(
        self, world: World, model: nn.Module, weight_decay: float, fp16: bool = False, passes: int = 1,
        ordered: bool = False,
    ):  # fmt: skip
        self.world = world
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = world.reduce_gradients(
            build_optimizer(model, weight_decay), model.named_parameters(), fp16, passes, ordered
        )
        self.waited_s = 0.0  # for the other ranks' gradients, since it was last set to 0

    def pass_empty(self) -> None:
        """The backward pass of a rank without samples: gradients of zero, sent under the names the others send."""
        sum(parameter.sum() * 0 for parameter in self.parameters).backward()

    def update(self, lr: float, clip_norm: float) -> Tensor | None:
        """Wait for the sums, clip them by their global norm, step with this learning rate. Collective.

        Returns the norm before clipping; None, on every rank alike, where it is not finite: then no weight has changed.
        """
        started_s = time.monotonic()
        if self.world.world_size > 1:
            self.optimizer.synchronize()
        self.waited_s += time.monotonic() - started_s
        norm = nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        if not bool(norm.isfinite()):
            return None
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.world.world_size == 1:
            self.optimizer.step()
        else:
            with self.optimizer.skip_synchronize():
                self.optimizer.step()
        return norm


def split_batch(count: int, parts: int) -> list[slice]:
    """`count` samples in `parts` slices whose sizes differ by at most one; some may be empty."""
    bounds = [count * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in zip(bounds[:-1], bounds[1:], strict=True)]
