"""What an update asks of an exchange."""

from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn


class Exchange(Protocol):
    """How the gradients of all ranks meet. Load the optimizer's state after this is built: it wraps the optimizer."""

    model: nn.Module
    """Forward goes through it; its backward may already send."""
    optimizer: torch.optim.Optimizer
    """Wrapped."""

    def backward_pass(self, is_last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of a part of a batch. is_last: of the passes before an update."""

    def zero_loss(self) -> Tensor:
        """The loss of a rank without samples: gradients of zero, sent as the others send theirs."""

    def wait(self) -> None:
        """Return when the gradients of all ranks are summed. Every rank must call this, after its backward passes."""

    def apply(self) -> None:
        """Take the optimizer's step with the gradients as they are now."""
