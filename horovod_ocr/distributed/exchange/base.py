"""What an update asks of an exchange: the way in which gradients, or weights, of all ranks meet."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from horovod_ocr.distributed.world import World, zero_loss_of

Groups = list[dict[str, Any]]  # parameter groups, as torch's optimizers take them
MakeOptimizer = Callable[[Groups], torch.optim.Optimizer]


class Exchange:
    """One way to exchange. Subclasses replace what is different with them.

    A step: `backward_pass` around each part; `wait`; clip the gradients of `parameters` by `norm_of_all`; `apply`;
    `share`.
    """

    is_local: bool = False
    """Whether a rank steps with its own gradients, so that weights differ between ranks until they meet."""

    def __init__(self, world: World, model: nn.Module, groups: Groups, make: MakeOptimizer):
        """model: on its device. groups: the parameters that are trained. make: makes an optimizer of groups."""
        self.world = world
        self.model = model
        """Forward goes through this; its backward may already send."""
        self.optimizer = make(groups)
        """Of this rank. Its state is loaded with `load_optimizer_state`."""
        self.weights: list[nn.Parameter] = [each for group in groups for each in group["params"]]
        """All that are trained."""
        self.parameters: list[nn.Parameter] = self.weights
        """Those that this rank updates."""

    def begin(self) -> None:
        """Called once the weights are those that the run begins with, or goes on with."""

    def backward_pass(self, is_last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of a part of a batch. is_last: of the passes before an update."""
        return nullcontext()

    def zero_loss(self) -> Tensor:
        """The loss of a rank without samples: every parameter gets a gradient, of zero."""
        return zero_loss_of(self.model)

    def wait(self) -> None:
        """Return when the gradients of `parameters` are summed over the ranks. Every rank must call this, after its
        backward passes."""

    def norm_of_all(self, norm: Tensor) -> Tensor:
        """The norm of the whole gradient. norm: that of `parameters`; 0-dim. Collective."""
        return norm

    def all_finite(self, finite_S: Tensor) -> Tensor:
        """bool [S]: in which of S steps the gradient was finite; the same on all ranks. finite_S: of this rank.
        Collective."""
        return finite_S

    def apply(self) -> None:
        """Take the optimizer's step with the gradients of `parameters` as they are now."""
        self.optimizer.step()

    def share(self, step: int, samples: int) -> None:
        """Let the new weights meet. step: of the run, counted with this one. samples: this rank's, of this step.
        Collective."""

    def waits_again(self, step: int) -> bool:
        """Whether ranks wait for each other in `norm_of_all` or `share` of this step of the run too."""
        return False

    def is_met(self, step: int) -> bool:
        """Whether all ranks hold the same weights after this step of the run."""
        return True

    def optimizer_state(self) -> dict[str, Any]:
        """On root, the optimizer's state_dict for the whole model, as that of a rank alone has it; other ranks may get
        less. Collective."""
        return self.optimizer.state_dict()

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Load what `optimizer_state` gave, of any exchange. Raises ValueError, KeyError or RuntimeError if it does not
        fit."""
        load_moments(self.optimizer, state)

    def own_state(self) -> dict[str, Any]:
        """What this rank must keep, beside weights and the optimizer's state, to be resumed exactly: dictionaries and
        lists of tensors and numbers. What is equal on all ranks is in root's alone."""
        return {}

    def load_own_states(self, states: Iterator[dict[str, Any]], count: int) -> None:
        """Load what `own_state` gave on each of `count` ranks, of which there may now be another number. KeyError,
        TypeError, ValueError or RuntimeError if it does not fit."""


def load_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state_dict but for the options of its groups, such as the weight decay: those of the optimizer stay, since
    a run may go on with others. ValueError, KeyError or RuntimeError if it does not fit."""
    groups = zip(optimizer.state_dict()["param_groups"], state["param_groups"], strict=True)
    its_groups = [{**mine, "params": saved["params"]} for mine, saved in groups]
    optimizer.load_state_dict({"state": state["state"], "param_groups": its_groups})


def gradient_of(parameter: nn.Parameter) -> Tensor:
    """`Update.take` has checked that there is one."""
    assert parameter.grad is not None
    return parameter.grad
