"""Each rank steps alone for some steps; then weights and the optimizer's moments are averaged, weighted by the samples
of each rank.

Local SGD: Stich, "Local SGD Converges Fast and Communicates Little", 2019. Averaged by a master as MPI programs do it:
Zinkevich et al., "Parallelized Stochastic Gradient Descent", 2010.
"""

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer
from horovod_ocr.distributed.exchange.flat import flatten, unflatten_into
from horovod_ocr.distributed.world import World


class LocalSteps(Exchange):
    """Ranks that step alone and meet after every `local_steps` steps of the run, and after the last. See `Exchange`."""

    is_local = True

    def __init__(
        self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer, local_steps: int, total_steps: int
    ):
        super().__init__(world, model, groups, make)
        self.local_steps, self.total_steps = local_steps, total_steps
        self.samples = 0  # of this rank since the last meeting

    def is_met(self, step: int) -> bool:
        return step % self.local_steps == 0 or step == self.total_steps

    def waits_again(self, step: int) -> bool:
        return self.is_met(step)

    def all_finite(self, finite_S: Tensor) -> Tensor:
        return self.world.sum((~finite_S).int()) == 0

    @torch.no_grad()
    def share(self, step: int, samples: int) -> None:
        self.samples += samples
        if self.is_met(step):
            self.meet()
            self.samples = 0

    def meet(self) -> None:
        """Collective."""
        raise NotImplementedError

    def average(self, tensors: list[Tensor]) -> Tensor:
        """The mean over the ranks, weighted by their samples since the last meeting; flat. Collective."""
        flat = flatten(tensors)
        # in one message: how many samples there are in all is not known before
        sums = self.world.sum(torch.cat([flat * self.samples, flat.new_tensor([self.samples])]))
        return sums[:-1] / sums[-1]


class WeightAverage(LocalSteps):
    """Averages weights and the optimizer's moments."""

    def meet(self) -> None:
        slots = [slot for parameter in self.parameters for slot in moments_of(self.optimizer, parameter)]
        tensors = [*self.parameters, *slots]
        unflatten_into(self.average(tensors), tensors)


def moments_of(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> list[Tensor]:
    """The optimizer's tensors of one parameter, in the order of their names."""
    state = optimizer.state[parameter]
    return [state[name] for name in sorted(state) if isinstance(state[name], Tensor)]
