"""A rank's share of one step, from the loader's workers to the device.

Shapes: N images, H height, W width.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.data.reader import Damage


@dataclass
class Batch:
    """A rank's share of one step; it may hold no sample.

    images_NHW: uint8. reach_N: columns of each image that are not padding (int64). labels: the text of each sample, as
    the shard holds it. subsets_N: place of each in the index's subsets. shards_N, rows_N: which samples these are,
    as numbers of the split's shards and rows in them. global_samples: samples of the step, all ranks.

    damage: what could not be read. decode_s: time to decode and augment. read_bytes: of encoded images.
    """

    step: int
    images_NHW: Tensor
    reach_N: Tensor
    labels: list[str]
    subsets_N: np.ndarray
    shards_N: np.ndarray
    rows_N: np.ndarray
    global_samples: int
    damage: list[Damage] = field(default_factory=list)
    decode_s: float = 0.0
    read_bytes: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def cut(self) -> "Batch":
        """Without the places that no sample was found for."""
        n = len(self)
        return replace(
            self,
            images_NHW=self.images_NHW[:n],
            reach_N=self.reach_N[:n],
            subsets_N=self.subsets_N[:n],
            shards_N=self.shards_N[:n],
            rows_N=self.rows_N[:n],
        )

    def pin_memory(self) -> "Batch":
        """Called by the loader, so that the copy to the GPU does not wait."""
        self.images_NHW = self.images_NHW.pin_memory()
        return self


def prefetch(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches whose images are on the device: while one is computed with, the next one is copied, beside it."""
    if device.type != "cuda":
        yield from batches
        return
    side = torch.cuda.Stream(device)
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(side):
            batch.images_NHW = batch.images_NHW.to(device, non_blocking=True)
            copied = side.record_event()
        if ahead:
            yield arrived(*ahead)
        ahead = (batch, copied)
    if ahead:
        yield arrived(*ahead)


def arrived(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """The batch, for the current stream: which waits for the copy, and whose memory is not given away before it."""
    stream = torch.cuda.current_stream(batch.images_NHW.device)
    stream.wait_event(copied)
    batch.images_NHW.record_stream(stream)
    return batch


def normalise_images(images_NHW: Tensor, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (N, H, W) to floats (N, 1, H, W) on the device: paper at about -0.5, ink at about 0.5."""
    images = images_NHW.to(device, non_blocking=True).unsqueeze(1).to(dtype)
    return images.div_(-255).add_(0.5)
