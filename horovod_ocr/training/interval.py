"""What is summed between two log lines.

Shapes: N images.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.world import Traffic, World
from horovod_ocr.tasks.base import Losses, Task


class Interval:
    """This rank's sums since the last log line. They stay on the device until the line is written: no host sync a
    step."""

    def __init__(self, task: Task, device: torch.device):
        self.task, self.device = task, device
        self.exchanged = Traffic()  # of this rank when the interval began
        self.reset()

    def begin(self, world: World) -> None:
        """Count the bytes of the first interval from here: the broadcast of the weights is not training."""
        self.exchanged = replace(world.traffic)

    def reset(self) -> None:
        """Begin the next interval."""
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self.sums: dict[str, Tensor | float] = dict.fromkeys(self.task.log_sums, 0)  # see Losses.sums
        self.steps = self.samples = self.read_bytes = 0
        self.data_wait_s = 0.0
        self.ranks_wait_s = 0.0  # for the other ranks
        self.decode_s = 0.0
        self.started_s = time.monotonic()

    def count(self, batch: Batch, waited_s: float) -> None:
        """Add what it took to make a batch, and the wait for the other ranks."""
        self.ranks_wait_s += waited_s
        self.steps += 1
        self.samples += len(batch)
        self.decode_s += batch.decode_s
        self.read_bytes += batch.read_bytes

    def add(self, losses: Losses) -> None:
        """Add the losses of some samples. One that is not finite counts as zero: such updates are left out, and counted
        elsewhere."""
        self.loss_sum += losses.losses_N.nan_to_num(0, 0, 0).sum()
        for name, value in losses.sums.items():
            self.sums[name] = self.sums[name] + value

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around the wait for a batch."""
        started_s = time.monotonic()
        yield
        self.data_wait_s += time.monotonic() - started_s

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Around what is not training: its time does not count."""
        started_s = time.monotonic()
        yield
        self.started_s += time.monotonic() - started_s

    def summarise(self, world: World) -> dict[str, float]:
        """The sums of all ranks as figures a person reads. Collective.

        loss of a sample, what the task says (`Task.log_values`), images_per_s of all ranks together, data_wait_share of
        the time, decode_us of a sample (augmentation included), read_bytes of images, sent_bytes from rank to rank,
        most_sent_bytes and most_received_bytes of one rank, slowest_rank and slowest_ratio (see `slowest`), passed_s.
        """
        passed_s = time.monotonic() - self.started_s
        before, self.exchanged = self.exchanged, replace(world.traffic)
        own = np.zeros((3, world.world_size))  # a column for each rank
        own[:, world.rank] = (
            passed_s - self.ranks_wait_s,
            self.exchanged.sent - before.sent,
            self.exchanged.received - before.received,
        )
        sums = [float(self.sums[name]) for name in self.task.log_sums]
        mine = [float(self.loss_sum), self.samples, self.data_wait_s, passed_s, self.decode_s, self.read_bytes]
        loss_sum, samples, wait_s, all_s, decode_s, read_bytes, *more = world.sum_array(
            np.array([*mine, *sums, *own.flat])
        ).tolist()
        own_s, sent, received = np.reshape(more[len(sums) :], own.shape).tolist()
        slowest_rank, slowest_ratio = slowest(own_s)
        return {
            "loss": loss_sum / max(1, samples),
            **self.task.log_values(dict(zip(self.task.log_sums, more, strict=False))),
            "images_per_s": samples * world.world_size / all_s,
            "data_wait_share": wait_s / all_s,
            "decode_us": 1e6 * decode_s / max(1, samples),
            "read_bytes": int(read_bytes),
            "sent_bytes": int(sum(sent)),
            "most_sent_bytes": int(max(sent)),
            "most_received_bytes": int(max(received)),
            "slowest_rank": slowest_rank,
            "slowest_ratio": slowest_ratio,
            "passed_s": all_s / world.world_size,
        }


def slowest(own_s: list[float]) -> tuple[int, float]:
    """The rank that the others wait for, and its own time over the median of theirs; (0, 1.0) for one rank alone.

    own_s: of each rank, the time that it did not spend waiting for others.
    """
    if len(own_s) == 1:
        return 0, 1.0
    rank = int(np.argmax(own_s))
    return rank, float(own_s[rank] / max(1e-9, np.median(np.delete(own_s, rank))))
