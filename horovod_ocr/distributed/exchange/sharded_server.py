"""Each rank is the server of its part of the weights: gradients are reduce-scattered, each rank updates its part, and
the parts are gathered. The optimizer's state is N times smaller on each of N ranks.

Rajbhandari et al., "ZeRO", 2020, stage 1. Of S bytes of weights, 2 (N - 1) / N S go in and out of every rank in each
step, as in a ring.

Shapes: N ranks, P elements of a rank's part.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.exchange.base import Exchange, Groups, MakeOptimizer, gradient_of
from horovod_ocr.distributed.exchange.flat import flatten, views_like
from horovod_ocr.distributed.exchange.own_state import gather_states
from horovod_ocr.distributed.world import World


class FlatGroup:
    """The parameters of one group in one flat tensor, padded so that each rank has a part of the same size."""

    @torch.no_grad()
    def __init__(self, parameters: list[nn.Parameter], world: World):
        """The parameters become views of the flat tensor."""
        self.parameters, self.world = parameters, world
        self.size = sum(parameter.numel() for parameter in parameters)
        self.part = -(-self.size // world.world_size)
        self.flat = self.pad(flatten(parameters))
        for parameter, view in zip(parameters, views_like(self.flat[: self.size], parameters), strict=True):
            parameter.data = view
        start = world.rank * self.part
        self.own = nn.Parameter(self.flat[start : start + self.part])
        """What this rank updates; a view of the flat tensor."""

    def pad(self, flat: Tensor) -> Tensor:
        return nn.functional.pad(flat, (0, self.part * self.world.world_size - self.size))

    def reduce_scatter(self) -> None:
        """The gradient of `own` becomes the sum over the ranks, in the order of the ranks. Collective."""
        rank, ranks = self.world.rank, self.world.world_size
        mine_NP = self.pad(flatten([gradient_of(parameter) for parameter in self.parameters])).view(-1, self.part)
        theirs_NP = torch.empty_like(mine_NP)
        theirs_NP[rank] = mine_NP[rank]
        # One peer at a time: when several ranks send to one at once, they slow each other down: by a third on 3 hosts
        for distance in range(1, ranks):
            to, of = (rank + distance) % ranks, (rank - distance) % ranks
            theirs_NP[of] = self.world.all_to_all(mine_NP[to], self.only(to), self.only(of))
        self.own.grad = theirs_NP.sum(0)

    def only(self, peer: int) -> list[int]:
        """Elements for, or of, each rank: a part for one, none for the others."""
        return [self.part if rank == peer else 0 for rank in range(self.world.world_size)]

    @torch.no_grad()
    def gather(self) -> None:
        """All ranks get the weights of all parts. Collective."""
        self.flat.copy_(self.world.all_gather(self.own.detach()))

    def whole(self, parts: list[Tensor]) -> list[Tensor]:
        """A tensor for each parameter, of what each rank holds for its part."""
        return views_like(torch.cat(parts)[: self.size], self.parameters)

    def part_of(self, whole: list[Tensor]) -> Tensor:
        """This rank's part of a tensor for each parameter."""
        start = self.world.rank * self.part
        return self.pad(flatten(whole))[start : start + self.part].clone()


class ShardedServer(Exchange):
    """Each rank updates its part of every group. See `Exchange`."""

    def __init__(self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer):
        # cuDNN then copies those of an LSTM in each step; to make them one block again would take them out of the views
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        self.groups = [FlatGroup(group["params"], world) for group in groups]
        parts = [{**group, "params": [flat.own]} for group, flat in zip(groups, self.groups, strict=True)]
        super().__init__(world, model, parts, make)
        self.weights = [weight for flat in self.groups for weight in flat.parameters]

    def wait(self) -> None:
        for group in self.groups:
            group.reduce_scatter()

    def waits_again(self, step: int) -> bool:
        return True

    def norm_of_all(self, norm: Tensor) -> Tensor:
        return self.world.sum(norm.square()).sqrt()

    def share(self, step: int, samples: int) -> None:
        for group in self.groups:
            group.gather()

    def optimizer_state(self) -> dict[str, Any]:
        """Of all parts, in root's host memory: the whole may not fit a device. A number, such as AdamW's step, is the
        same on all ranks; a tensor is as long as the part."""
        mine = self.optimizer.state_dict()
        states = gather_states(self.world, mine["state"])
        if not states:
            return mine
        state: dict[int, dict[str, Any]] = {}
        groups, first = [], 0
        for number, (flat, options) in enumerate(zip(self.groups, mine["param_groups"], strict=True)):
            numbers = range(first, first + len(flat.parameters))
            first = numbers.stop
            groups.append({**options, "params": list(numbers)})
            wholes = {
                name: flat.whole([each[number][name] for each in states])
                if is_of_part(value)
                else [value] * len(numbers)
                for name, value in states[0].get(number, {}).items()
            }
            state |= {at: {name: each[n] for name, each in wholes.items()} for n, at in enumerate(numbers) if wholes}
        return {"state": state, "param_groups": groups}

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        parts: dict[int, dict[str, Any]] = {}
        groups = []
        for number, (flat, options) in enumerate(zip(self.groups, state["param_groups"], strict=True)):
            groups.append({**options, "params": [number]})
            slots = [state["state"][at] for at in options["params"] if at in state["state"]]
            if slots:
                parts[number] = {
                    name: flat.part_of([slot[name] for slot in slots]) if is_of_part(value) else value
                    for name, value in slots[0].items()
                }
        super().load_optimizer_state({"state": parts, "param_groups": groups})


def is_of_part(value: object) -> bool:
    """Whether an optimizer holds a number for each weight, and not one for all, as AdamW's `step` is."""
    return isinstance(value, Tensor) and value.ndim > 0
