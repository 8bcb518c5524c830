"""What ranks agree on before one of them acts: to stop, to save, to leave an update out; and that they are equal."""

import hashlib
import socket
import tarfile
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.data.batch import Batch
from horovod_ocr.data.store import ShardStore
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.world import World, raised_on_all_ranks
from horovod_ocr.errors import DivergedError, OcrError
from horovod_ocr.run.log import RunLog
from sharding.format.idx import read_idx
from sharding.format.tar import BLOCK

MOST_LISTED = 20


class StopSaveVote:
    """What any rank wants, made known to all with the gradients of the same step: it costs no wait of its own.

    stop: why this rank wants to stop, "". save: does it want to save?
    """

    def __init__(self, world: World, stop: str, save: bool):
        self.world, self.reason = world, stop
        self.sum = world.begin_sum(torch.tensor([bool(stop), save], dtype=torch.int32))

    def agree(self) -> tuple[str, bool]:
        """Why to stop, "" not to; and whether to save; the same on all ranks. Collective."""
        stops, saves = self.sum().tolist()
        if not stops:
            return "", bool(saves)
        reasons = enumerate(self.world.gather((self.reason, socket.gethostname())))
        return next(f"{why} (rank {rank} on {host})" for rank, (why, host) in reasons if why), bool(saves)


class SkippedUpdates:
    """Updates that were left out because the loss or a gradient was not finite: the same ones on every rank.

    most: so many in a row stop the run. address: a shard's number and a row -> where that sample stands.
    """

    def __init__(self, world: World, most: int, address: Callable[[int, int], str]):
        self.world, self.most, self.address = world, most, address
        self.count = self.in_a_row = 0
        self.suspects: list[str] = []  # of this rank
        self.pending: list[tuple[int, Tensor, np.ndarray, np.ndarray, Tensor]] = []

    def note(self, step: int, is_finite: Tensor, batch: Batch, finite_N: Tensor) -> None:
        """Once a step; asks nothing of the device. is_finite: of `Exchange.update`. finite_N: which of this rank's
        samples have finite figures."""
        self.pending.append((step, is_finite, batch.shards_N, batch.rows_N, finite_N))

    def settle(self) -> None:
        """Look at the updates since the last time: this waits for the device. Every rank must call this, at the same
        step.

        Raises DivergedError, on every rank, with the samples, if too many in a row were left out.
        """
        pending, self.pending = self.pending, []
        taken = torch.stack([is_finite for _, is_finite, *_ in pending]).tolist() if pending else []
        for is_taken, (step, _, shards_N, rows_N, finite_N) in zip(taken, pending, strict=True):
            if is_taken:
                self.in_a_row, self.suspects = 0, []
                continue
            self.count += 1
            self.in_a_row += 1
            for position in (~finite_N).nonzero().flatten().tolist():
                self.suspects.append(self.address(int(shards_N[position]), int(rows_N[position])))
            if self.in_a_row >= self.most:
                raise raised_on_all_ranks(DivergedError(self.sentence(step)))

    def sentence(self, step: int) -> str:
        suspects = [
            f"rank {rank}: {name}" for rank, names in enumerate(self.world.gather(self.suspects)) for name in names
        ]
        if len(suspects) > MOST_LISTED:
            suspects[MOST_LISTED:] = [f"and {len(suspects) - MOST_LISTED:,} more"]
        found = "\n  ".join(["; samples that were not finite:", *suspects]) if suspects else ""
        return (
            f"step {step}: the loss or a gradient was not finite {self.in_a_row} times in a row; lower lr or give "
            f"--precision fp32, and go on with --resume{found}"
        )


def check_same_weights(world: World, tensors: dict[str, Tensor], when: str) -> None:
    """DivergedError, on every rank, unless all hold the same bits. Collective."""
    sums = checksum(tensors)
    digest = hashlib.sha256(repr(sums).encode()).hexdigest()
    found = world.gather((digest, socket.gethostname()))
    odd = [f"rank {rank} on {host}" for rank, (other, host) in enumerate(found) if other != found[0][0]]
    if not odd:
        return
    others = world.gather(sums)
    names = [name for name in sums if any(other[name] != others[0][name] for other in others)]
    raise raised_on_all_ranks(
        DivergedError(
            f"{when}: {', '.join(odd)} hold other weights than rank 0, in {len(names)} of {len(sums)} tensors, first "
            f"{names[0]}: memory, a driver or a library of those hosts is at fault, or their GPUs are of another kind "
            "(see horovod-ocr doctor); go on from the last checkpoint with --resume"
        )
    )


def share_warnings(world: World, log: RunLog, hosts: list[str]) -> None:
    """Root says what ranks have to say that is new: each text once, with the rank and host it came from. Collective."""
    if world.sum_array([len(log.fresh)])[0]:  # far cheaper than to gather nothing
        for rank, texts in enumerate(world.gather(log.fresh)):
            for text in texts:
                if text not in log.told:
                    log.told.add(text)
                    log.line(f"warning: rank {rank} on {hosts[rank]}: {text}")
        log.fresh.clear()


def address_of(store: ShardStore, stream: Stream, number: int, row: int) -> str:
    """Where a sample of a stream stands: the shard, its row, and its key as the tar has it."""
    shard = stream.shards[number]
    key = ""
    with suppress(OSError, OcrError):
        start = int(read_idx(store.idx_path(shard))["image_offset"][row])
        with open(store.tar_path(shard), "rb") as tar:
            tar.seek(start - BLOCK)
            key = f", key {tarfile.TarInfo.frombuf(tar.read(BLOCK), 'ascii', 'replace').name.split('.')[0]}"
    return f"{shard.name}, sample {row}{key}"


def checksum(tensors: dict[str, Tensor]) -> dict[str, int]:
    """A sum over the bits of each tensor, computed where it lies: one small copy to the host for all of them."""
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = [
        tensor.detach().contiguous().view(-1).view(words[tensor.element_size()]).sum(dtype=torch.int64)
        for tensor in tensors.values()
    ]
    return dict(zip(tensors, torch.stack(sums).tolist(), strict=True)) if sums else {}
