"""Streams of the shards that the tests share, and what to compare of their batches."""

import numpy as np
import torch

from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.store import open_store
from horovod_ocr.data.stream import Stream


def open_stream(shards, **options) -> Stream:
    store = open_store(str(shards))
    options = {"split": "train", "global_batch": 32, "augmentation": Augmentation(), **options}
    return Stream(store, Geometry(32, store.index.bucket_edges), StreamOptions(**options))


def assert_equal(one, other):
    assert one.step == other.step and one.labels == other.labels and one.global_samples == other.global_samples
    assert torch.equal(one.images_NHWC, other.images_NHWC) and torch.equal(one.valid_width_N, other.valid_width_N)


def images_of(batch) -> list[tuple[tuple[int, int], np.ndarray]]:
    """Each image with its position in the split: (shard, row)."""
    positions = zip(batch.shards_N.tolist(), batch.rows_N.tolist(), strict=True)
    return list(zip(positions, batch.images_NHWC.numpy(), strict=True))


def keys_of(batches) -> list[list[tuple[int, int]]]:
    return [[position for position, _ in images_of(batch)] for batch in batches]
