"""What each rank keeps for itself: brought to root for a checkpoint, and back to the ranks.

To root it goes as bytes of tensors, in pieces: it may be larger than the model, and an object would go to every rank.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from horovod_ocr.distributed.world import World

PIECE = 1 << 28  # bytes that arrive at root at a time: MPI counts them in 31 bits


class Slot(NamedTuple):
    """The place of a tensor in a state."""

    shape: tuple[int, ...]
    """Of the tensor."""
    dtype: torch.dtype
    """Of its elements."""

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def gather_states(world: World, state: dict[Any, Any]) -> list[dict[Any, Any]]:
    """The states of all ranks, by rank, on the CPU: on root; empty on other ranks. Collective.

    state: dictionaries and lists of tensors, numbers and texts.
    """
    if world.world_size == 1:
        return [state]
    tensors: list[Tensor] = []
    forms = world.gather(take_apart(state, tensors))
    sizes = [sum(slot.size for slot in slots_of(form)) for form in forms]
    found: list[list[Tensor]] = [[] for _ in forms]
    mine = bytes_of(tensors)
    piece = max(1, PIECE // world.world_size)  # of a rank
    for start in range(0, max(sizes), piece):
        lengths = [max(0, min(piece, size - start)) for size in sizes]
        to_root = [lengths[world.rank], *[0] * (world.world_size - 1)]
        received = lengths if world.is_root else [0] * world.world_size
        parts = world.all_to_all(mine[start : start + piece], to_root, received)
        for pieces, part in zip(found, torch.split(parts, received), strict=True):
            pieces.append(part)
    if not world.is_root:
        return []
    return [
        put_together(form, torch.cat(pieces) if pieces else mine) for form, pieces in zip(forms, found, strict=True)
    ]


def without_states(payload: dict[str, Any] | None) -> dict[str, Any] | None:
    """A checkpoint's payload that is to be sent to all ranks: for `states_from_root`."""
    if not payload or "exchange" not in payload:
        return payload
    kept = payload["exchange"]
    return {**payload, "exchange": {**kept, "ranks": [None] * len(kept["ranks"])}}


def states_from_root(world: World, states: Sequence[dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
    """The states of a checkpoint on every rank, one at a time: together they may be larger than a host's memory. Every
    rank must take all of them. states: root's; None on other ranks."""
    for state in states:
        yield world.broadcast(state)


def take_apart(value: Any, tensors: list[Tensor]) -> Any:
    """The value with slots in place of its tensors, which are appended to `tensors`."""
    if isinstance(value, Tensor):
        tensors.append(value.detach().cpu())
        return Slot(tuple(value.shape), value.dtype)
    if isinstance(value, dict):
        return {name: take_apart(part, tensors) for name, part in value.items()}
    return [take_apart(part, tensors) for part in value] if isinstance(value, list | tuple) else value


def slots_of(form: Any) -> Iterator[Slot]:
    """In the order in which `take_apart` has found the tensors."""
    if isinstance(form, Slot):
        yield form
    elif isinstance(form, dict | list):
        for part in form.values() if isinstance(form, dict) else form:
            yield from slots_of(part)


def bytes_of(tensors: list[Tensor]) -> Tensor:
    """uint8: the bytes of all tensors, end to end."""
    return torch.cat([torch.empty(0, dtype=torch.uint8), *(each.reshape(-1).view(torch.uint8) for each in tensors)])


def put_together(form: Any, flat: Tensor) -> Any:
    """The value that `take_apart` and `bytes_of` were given."""
    parts = iter(torch.split(flat, [slot.size for slot in slots_of(form)]))

    def fill(value: Any) -> Any:
        if isinstance(value, Slot):
            return next(parts).clone().view(value.dtype).view(value.shape)  # a clone is aligned for any type
        if isinstance(value, dict):
            return {name: fill(part) for name, part in value.items()}
        return [fill(part) for part in value] if isinstance(value, list) else value

    return fill(form)
