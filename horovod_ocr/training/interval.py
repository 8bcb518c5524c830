"""What is summed between two log lines. Shapes: T frames, N images, C classes."""

import time

import torch
from torch import Tensor

from horovod_ocr.text.charset import BLANK_ID
from horovod_ocr.world import World


class Interval:
    """This rank's sums. They stay on the device until the line is written: no host sync a step."""

    def __init__(self, device: torch.device):
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self.blank_frames = torch.zeros((), dtype=torch.int64, device=device)
        self.frames = 0
        self.samples = 0
        self.wait_s = 0.0
        self.started_s = time.monotonic()

    def add(self, loss_sum: Tensor, logits_TNC: Tensor, samples: int) -> None:
        self.loss_sum += loss_sum
        self.blank_frames += (logits_TNC.argmax(-1) == BLANK_ID).sum()
        self.frames += logits_TNC.shape[0] * logits_TNC.shape[1]
        self.samples += samples

    def summarise(self, world: World) -> dict[str, float]:
        """Loss a sample, share of blank frames, images a second of all ranks, share of time spent waiting for data, and
        the seconds passed, over all ranks. Collective."""
        passed_s = time.monotonic() - self.started_s
        mine = [float(self.loss_sum), float(self.blank_frames), self.frames, self.samples, self.wait_s, passed_s]
        loss_sum, blank_frames, frames, samples, wait_s, all_s = world.sum_array(mine).tolist()
        return {
            "loss": loss_sum / max(1, samples),
            "blank_share": blank_frames / max(1, frames),
            "images_per_s": samples * world.world_size / all_s,
            "data_wait_share": wait_s / all_s,
            "passed_s": all_s / world.world_size,
        }
