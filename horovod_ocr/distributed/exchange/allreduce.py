"""Gradients summed over the ranks by ring allreduce, while backward still runs.

Patarasuk and Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations", 2009.
"""

from contextlib import AbstractContextManager

from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer
from horovod_ocr.distributed.world import World

# Small enough that the first sums travel while backward still runs, large enough that messages are few. With 9 million
# parameters on 2 CPU ranks faster than 1 and 64 MB; Li et al., "PyTorch Distributed", 2020, take 25 MB.
GROUP_BYTES = 8 << 20


class Allreduce(Exchange):
    """Sums in fixed groups, so in one order: on CPUs, runs on the same ranks are bit-equal. See `Exchange`."""

    def __init__(
        self,
        world: World,
        model: nn.Module,
        groups: Groups,
        make: MakeOptimizer,
        fp16: bool = False,
        passes: int = 1,
    ):
        """fp16: gradients travel as fp16. passes: backward passes before each update; those of a rank without samples
        are of a loss of zero."""
        super().__init__(world, model, groups, make)
        in_order = [parameter for parameter in model.parameters() if parameter.requires_grad]
        together = group_parameters(in_order, GROUP_BYTES)
        self.sums = world.sum_gradients(model, self.optimizer, together, fp16, passes)
        self.model, self.optimizer = self.sums.model, self.sums.optimizer

    def backward_pass(self, is_last: bool) -> AbstractContextManager[None]:
        return self.sums.backward_pass(is_last)

    def zero_loss(self) -> Tensor:
        return self.sums.zero_loss()

    def wait(self) -> None:
        self.sums.wait()

    def apply(self) -> None:
        self.sums.step()


def group_parameters(parameters: list[nn.Parameter], most_bytes: int) -> list[list[nn.Parameter]]:
    """Groups of at most `most_bytes` each (or of one parameter), in the order backward reaches them: the last first."""
    groups: list[list[nn.Parameter]] = []
    size = 0
    for parameter in reversed(parameters):
        if not groups or size + parameter.nbytes > most_bytes:
            groups.append([])
            size = 0
        groups[-1].append(parameter)
        size += parameter.nbytes
    return groups
