"""The demo's training step on batches of one bucket against the same samples padded to one width for all.

One width for all is the width of the widest bucket. A few long words decide that one, so there is also the width of the
narrowest bucket that is wide enough for 99 % of the words; longer words keep their bucket's width there.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sides.demo_step import build_step
from sides.word_readers import open_stream
from torch import Tensor

from horovod_ocr.config.sources import load_config
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.stream import Stream
from horovod_ocr.tasks.build import task_of

MOST_WORDS = 0.99
KINDS = ("bucket", "most words", "widest")


def compare_widths(shards: Path, global_batch: int | None = None, rounds: int = 3) -> dict:
    """Of each of KINDS: _s, seconds of an epoch's steps; _px, the mean width.

    One whole batch of each bucket stands for all of its batches: its step is the median of the rounds, in which the
    kinds take turns.

    global_batch: None for the demo's.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = load_config("demo", {})
    stream = open_stream(shards, global_batch=global_batch or config.plan.global_batch)
    step = build_step(config, task_of(stream.store.index, config))
    wide = one_width_for_all(stream.store.index.counts.bucket_samples, stream.geometry.width_px)
    figures = dict.fromkeys([f"{kind}_{unit}" for kind in KINDS for unit in ("s", "px")], 0.0)
    steps = Counter(batch.images_NHWC.shape[2] for batch in stream.batches())
    for bucket_px, batch in whole_batches(stream).items():
        widths = (bucket_px, *(max(bucket_px, width) for width in wide))
        seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(rounds):
            for kind, width in zip(KINDS, widths, strict=True):
                padded = replace(batch, images_NHWC=pad_images(batch.images_NHWC, width))
                started_s = time.perf_counter()
                step.take(padded)
                seconds[kind].append(time.perf_counter() - started_s)
        for kind, width in zip(KINDS, widths, strict=True):
            figures[f"{kind}_s"] += steps[bucket_px] * statistics.median(seconds[kind])
            figures[f"{kind}_px"] += width * steps[bucket_px] / stream.steps
    return figures | {"precision": step.gradients.precision}


def one_width_for_all(bucket_samples: tuple[int, ...], width_px: Callable[[int], int]) -> tuple[int, int]:
    """The widths that hold MOST_WORDS, and all words."""
    held = np.cumsum(bucket_samples) / sum(bucket_samples)
    return width_px(int(np.argmax(held >= MOST_WORDS))), width_px(int(np.argmax(held >= 1)))


def whole_batches(stream: Stream) -> dict[int, Batch]:
    """The largest batch of each bucket, by the bucket's width."""
    batches: dict[int, Batch] = {}
    for batch in stream.batches():
        width = batch.images_NHWC.shape[2]
        if width not in batches or len(batch) > len(batches[width]):
            batches[width] = batch
    return batches


def pad_images(images_NHWC: Tensor, width_px: int) -> Tensor:
    """Wider by copies of each row's last column."""
    more_px = width_px - images_NHWC.shape[2]
    return torch.cat([images_NHWC, images_NHWC[:, :, -1:].expand(-1, -1, more_px, -1)], dim=2)
