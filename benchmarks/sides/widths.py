"""The demo's training step on batches of one bucket against the same samples padded to one width for all.

One width for all: the widest class, and, since a few odd words decide that one, the narrowest class that is as wide as
99 % of the words need. Wider words keep their own width there.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sides.word_readers import open_stream
from torch import Tensor, nn

from horovod_ocr.config.settings import load_config
from horovod_ocr.data.batch import Batch, normalise_images
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.device import autocast, choose_precision
from horovod_ocr.distributed.world import World
from horovod_ocr.evaluation.evaluate import frames_of
from horovod_ocr.models.build import build_model
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.training.optim import build_optimizer

ROUNDS = 3
MOST_WORDS = 0.99
CPU = torch.device("cpu")
KINDS = ("class", "most words", "widest")


def compare_widths(shards: Path) -> dict:
    """Of each of KINDS: _s, seconds of an epoch's steps, _px, the mean width.

    One whole batch of each class stands for all of them: its step is the median of ROUNDS, the kinds taking turns.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = load_config("demo", {})
    stream = open_stream(shards, global_batch=config.global_batch)
    task = WordTask.of(stream.store.index)
    model = build_model(config.model, task.outputs, config.height, **config.model_options).train()
    optimizer = build_optimizer(model, config.weight_decay)
    precision = choose_precision(config.precision, CPU, World())
    wide = one_width_for_all(stream.store.index.bucket_samples, stream.geometry.width_px)
    figures = dict.fromkeys([f"{kind}_{unit}" for kind in KINDS for unit in ("s", "px")], 0.0)
    steps = Counter(batch.images_NHW.shape[2] for batch in stream.batches())
    for class_px, batch in whole_batches(stream).items():
        widths = (class_px, *(max(class_px, width) for width in wide))
        seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, width in zip(KINDS, widths, strict=True):
                images_NHW = pad_images(batch.images_NHW, width)
                started = time.perf_counter()
                take_step(model, optimizer, task, precision, images_NHW, batch.valid_width_N, batch.labels)
                seconds[kind].append(time.perf_counter() - started)
        for kind, width in zip(KINDS, widths, strict=True):
            figures[f"{kind}_s"] += steps[class_px] * statistics.median(seconds[kind])
            figures[f"{kind}_px"] += width * steps[class_px] / stream.steps
    return figures | {"precision": precision}


def one_width_for_all(histogram: tuple[int, ...], width_px: Callable[[int], int]) -> tuple[int, int]:
    """(that holds MOST_WORDS, that holds all), of classes with that many words."""
    held = np.cumsum(histogram) / sum(histogram)
    return width_px(int(np.argmax(held >= MOST_WORDS))), width_px(int(np.argmax(held >= 1)))


def whole_batches(stream: Stream) -> dict[int, Batch]:
    """Width of a class -> its largest batch."""
    batches: dict[int, Batch] = {}
    for batch in stream.batches():
        width = batch.images_NHW.shape[2]
        if width not in batches or len(batch) > len(batches[width]):
            batches[width] = batch
    return batches


def pad_images(images_NHW: Tensor, width_px: int) -> Tensor:
    """On with each row's last column."""
    more_px = width_px - images_NHW.shape[2]
    return torch.cat([images_NHW, images_NHW[:, :, -1:].expand(-1, -1, more_px)], dim=2)


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: WordTask,
    precision: str,
    images_NHW: Tensor,
    valid_width_N: Tensor,
    labels: list[str],
) -> None:
    optimizer.zero_grad()
    images_N1HW = normalise_images(images_NHW, CPU)
    with autocast(CPU, precision):
        logits_TNC = model(images_N1HW)
    losses_N, _ = task.losses(logits_TNC, frames_of(valid_width_N, model.frame_stride_px), labels)
    losses_N.mean().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
