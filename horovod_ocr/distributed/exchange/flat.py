"""Tensors end to end in one flat tensor: one message instead of many."""

from collections.abc import Sequence

import torch
from torch import Tensor


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """All elements, end to end: 1-dim, of their common type."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def unflatten_into(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy a flat tensor back into the tensors that it was made of."""
    for tensor, part in zip(tensors, views_like(flat, tensors), strict=True):
        tensor.copy_(part)


def views_like(flat: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Views of a flat tensor, with the shapes of the tensors that it is made of."""
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
