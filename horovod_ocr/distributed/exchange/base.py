"""What an update asks of an exchange."""

from typing import Protocol

import torch


class Exchange(Protocol):
    """How the gradients of all ranks meet. Load the optimizer's state after this is built: it wraps the optimizer."""

    optimizer: torch.optim.Optimizer
    """Wrapped."""

    def wait(self) -> None:
        """Return when the gradients of all ranks are summed. Every rank must call this, after its backward passes."""

    def apply(self) -> None:
        """Take the optimizer's step with the gradients as they are now."""
