"""Batches without images, for scores."""

from collections.abc import Sequence

import numpy as np
import torch

from horovod_ocr.data.batch import Batch


def batch_of(labels: Sequence[str], subsets: Sequence[int] | None = None, shard: int = 0, first_row: int = 0) -> Batch:
    """A batch with these labels, from consecutive rows of a shard."""
    count = len(labels)
    return Batch(
        step=0,
        images_NHWC=torch.zeros(count, 1, 1, 1, dtype=torch.uint8),
        valid_width_N=torch.ones(count, dtype=torch.int64),
        labels=list(labels),
        subsets_N=np.array(subsets if subsets is not None else [0] * count, np.uint8),
        shards_N=np.full(count, shard),
        rows_N=np.arange(first_row, first_row + count),
        global_samples=count,
    )
