"""A rank's share of one step, from the loader's workers to the device.

Shapes: N images, H height, W width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass
class Batch:
    """A rank's share of one step; it may hold no sample.

    images_NHW: uint8. reach_N: columns of each image that are not padding (int64). labels: the text of each sample, as
    the shard holds it. subsets_N: place of each in the index's subsets. global_samples: samples of the step, all ranks.
    """

    step: int
    images_NHW: Tensor
    reach_N: Tensor
    labels: list[str]
    subsets_N: np.ndarray
    global_samples: int

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> "Batch":
        """Called by the loader, so that the copy to the GPU does not wait."""
        self.images_NHW = self.images_NHW.pin_memory()
        return self


def normalise_images(images_NHW: Tensor, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (N, H, W) to floats (N, 1, H, W) on the device: paper at about -0.5, ink at about 0.5."""
    images = images_NHW.to(device, non_blocking=True).unsqueeze(1).to(dtype)
    return images.div_(-255).add_(0.5)
