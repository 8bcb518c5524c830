"""What ranks decide together before one of them acts: to stop, to save; and that they hold the same weights."""

import hashlib
import socket

import torch
from torch import Tensor

from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import DivergedError


class StopSaveVote:
    """What any rank wants, made known to all ranks during the same step: it costs no wait of its own."""

    def __init__(self, world: World, stop: str | None, save: bool):
        """stop: why this rank wants to stop; None if it does not. save: whether it wants to save. Collective."""
        self.world, self.reason = world, stop
        self.sum = world.begin_sum(torch.tensor([bool(stop), save], dtype=torch.int32))

    def agree(self) -> tuple[str | None, bool]:
        """Why to stop, None if no rank wants to; and whether to save. Equal on all ranks. Collective."""
        stops, saves = self.sum().tolist()
        if not stops:
            return None, bool(saves)
        reasons = enumerate(self.world.gather((self.reason, socket.gethostname())))
        return next(f"{why} (rank {rank} on {host})" for rank, (why, host) in reasons if why), bool(saves)


def check_same_weights(world: World, tensors: dict[str, Tensor], when: str) -> None:
    """DivergedError, on every rank, unless all hold the same bits. Collective."""
    sums = checksum(tensors)
    digest = hashlib.sha256(repr(sums).encode()).hexdigest()
    found = world.gather((digest, socket.gethostname()))
    differing = [f"rank {rank} on {host}" for rank, (other, host) in enumerate(found) if other != found[0][0]]
    if not differing:
        return
    others = world.gather(sums)
    names = [name for name in sums if any(other[name] != others[0][name] for other in others)]
    raise raised_on_all_ranks(
        DivergedError(
            f"{when}: {', '.join(differing)} hold other weights than rank 0, in {len(names)} of {len(sums)} tensors, "
            f"first {names[0]}: memory, a driver or a library of those hosts is at fault, or their GPUs are of another "
            "kind (see horovod-ocr doctor); go on from the last checkpoint with --resume"
        )
    )


def checksum(tensors: dict[str, Tensor]) -> dict[str, int]:
    """A sum over the bits of each tensor, computed on its device; one small copy to the host for all of them."""
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        tensor.detach().contiguous().view(-1).view(words[tensor.element_size()]).sum(dtype=torch.int64)
        for tensor in tensors.values()
    ]
    return dict(zip(tensors, torch.stack(sums).tolist(), strict=True)) if sums else {}
