"""Gradients summed over the ranks by ring allreduce, while backward still runs.

Patarasuk and Yuan, "Bandwidth Optimal All-reduce Algorithms for Clusters of Workstations", 2009.
"""

import torch
from torch import nn

from horovod_ocr.distributed.world import World

# Small enough that the first sums travel while backward still runs, large enough that few messages do. With 9 million
# parameters on 2 CPU ranks faster than 1 and 64 MB; Li et al., "PyTorch Distributed", 2020, take 25 MB.
GROUP_BYTES = 8 << 20


class Allreduce:
    """Sums in fixed groups, so in one order: on CPUs, runs on the same ranks are bit-equal. See `Exchange`."""

    def __init__(
        self, world: World, model: nn.Module, optimizer: torch.optim.Optimizer, fp16: bool = False, passes: int = 1
    ):
        """fp16: gradients travel as fp16. passes: backward passes before each update; those of a rank without samples
        are of a loss of zero."""
        self.is_alone = world.world_size == 1
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        groups = group_parameters(parameters, GROUP_BYTES)
        self.optimizer = world.reduce_gradients(optimizer, model.named_parameters(), groups, fp16, passes)

    def wait(self) -> None:
        if not self.is_alone:
            self.optimizer.synchronize()

    def apply(self) -> None:
        if self.is_alone:
            self.optimizer.step()
        else:
            with self.optimizer.skip_synchronize():
                self.optimizer.step()


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
