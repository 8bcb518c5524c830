"""What is summed between two log lines. Shapes: T frames, N images, C classes."""

import time

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.world import World
from horovod_ocr.text.charset import BLANK_ID


class Interval:
    """This rank's sums. They stay on the device until the line is written: no host sync a step."""

    def __init__(self, device: torch.device):
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.blank_frames = torch.zeros((), dtype=torch.int64, device=device)
        self.frames = 0
        self.steps = 0
        self.samples = 0
        self.too_long = 0  # samples whose labels do not fit their frames
        self.wait_s = 0.0  # for data
        self.waited_s = 0.0  # for the other ranks
        self.decode_s = 0.0
        self.read_bytes = 0
        self.started_s = time.monotonic()

    def count(self, batch: Batch) -> None:
        """What it took to make a batch."""
        self.steps += 1
        self.samples += len(batch)
        self.decode_s += batch.decode_s
        self.read_bytes += batch.read_bytes

    def add(self, losses_N: Tensor, logits_TNC: Tensor, too_long: int) -> None:
        """A loss that is not finite counts as none: such updates are left out, and counted elsewhere."""
        self.loss_sum += losses_N.nan_to_num(0, 0, 0).sum()
        self.too_long += too_long
        self.blank_frames += (logits_TNC.argmax(-1) == BLANK_ID).sum()
        self.frames += logits_TNC.shape[0] * logits_TNC.shape[1]

    def summarise(self, world: World) -> dict[str, float]:
        """The sums of all ranks as figures a person reads. Collective.

        loss a sample, share of blank frames, images a second of all ranks together, share of the time spent waiting
        for data, time to decode and augment a sample, bytes of images read, samples whose labels are too
        long for their frames, seconds passed; the slowest rank, and its own time over that of the others (`slowest`).
        """
        passed_s = time.monotonic() - self.started_s
        own_s = np.zeros(world.world_size)
        own_s[world.rank] = passed_s - self.waited_s
        mine = [float(self.loss_sum), float(self.blank_frames), self.frames, self.samples, self.wait_s, passed_s]
        sums = world.sum_array(np.array([*mine, self.decode_s, self.read_bytes, self.too_long, *own_s])).tolist()
        loss_sum, blank_frames, frames, samples, wait_s, all_s, decode_s, read_bytes, too_long, *own_s = sums
        slowest_rank, slowest_ratio = slowest(own_s)
        return {
            "loss": loss_sum / max(1, samples),
            "blank_share": blank_frames / max(1, frames),
            "images_per_s": samples * world.world_size / all_s,
            "data_wait_share": wait_s / all_s,
            "decode_us": 1e6 * decode_s / max(1, samples),
            "read_bytes": int(read_bytes),
            "too_long": int(too_long),
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
