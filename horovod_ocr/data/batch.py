"""A rank's share of one step, from the loader's workers to the device.

Shapes: N images, H height, W width, C channels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.data.reader import Damage


@dataclass
class Batch:
    """A rank's share of one step; it may hold no sample."""

    step: int
    """Of the run, counted over all epochs."""
    images_NHWC: Tensor
    """uint8; C is 1, grey, or 3, RGB."""
    valid_width_N: Tensor
    """int64: columns of each image that are not padding."""
    labels: list[str]
    """The label of each sample, as the shard holds it."""
    subsets_N: np.ndarray
    """uint8: each sample's subset, as a number in the index's `subsets`."""
    shards_N: np.ndarray
    """int64: each sample's shard, as a number among the split's shards."""
    rows_N: np.ndarray
    """int64: each sample's row in its shard."""
    global_samples: int
    """Samples of the step over all ranks."""
    damage: list[Damage] = field(default_factory=list)
    """What could not be read."""
    decode_s: float = 0.0
    """Seconds spent to decode and augment."""
    read_bytes: int = 0
    """Bytes of the encoded images."""

    def __len__(self) -> int:
        return len(self.labels)

    def cut(self) -> "Batch":
        """Without the rows at the end that hold no sample."""
        n = len(self)
        return replace(
            self,
            images_NHWC=self.images_NHWC[:n],
            valid_width_N=self.valid_width_N[:n],
            subsets_N=self.subsets_N[:n],
            shards_N=self.shards_N[:n],
            rows_N=self.rows_N[:n],
        )

    def pin_memory(self) -> "Batch":
        """Called by the loader, so that the copy to the GPU does not wait."""
        self.images_NHWC = self.images_NHWC.pin_memory()
        return self


def prefetch(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches whose images are on the device: while one is computed with, the next one is copied, beside it."""
    if device.type != "cuda":
        yield from batches
        return
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(side):
            batch.images_NHWC = batch.images_NHWC.to(device, non_blocking=True)
            copied = side.record_event()
        if ahead:
            yield arrived(*ahead)
        ahead = (batch, copied)
    if ahead:
        yield arrived(*ahead)


def arrived(batch: Batch, copied: torch.cuda.Event) -> Batch:
    """The batch, for the current stream: which waits for the copy, and whose memory is not given away before it."""
    stream = torch.cuda.current_stream(batch.images_NHWC.device)
    stream.wait_event(copied)
    batch.images_NHWC.record_stream(stream)
    return batch


def normalise_images(images_NHWC: Tensor, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 (N, H, W, C) to floats (N, C, H, W) on the device: white at -0.5, black at 0.5."""
    images = images_NHWC.to(device, non_blocking=True).permute(0, 3, 1, 2).to(dtype)
    return images.div_(-255).add_(0.5)
