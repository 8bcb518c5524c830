"""Frame scores to readings. Shapes: T frames, N images, C outputs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from horovod_ocr.text.charset import BLANK_ID, Charset


@dataclass(frozen=True)
class Reading:
    """What a model read in an image."""

    text: str
    """In logical order; empty if no frame has a letter."""
    confidence: float
    """0 to 1: over the letters, the product of each one's score in its best frame. 0 for an empty text."""


def greedy_decode(logits_TNC: Tensor, frames_N: Tensor, charset: Charset) -> list[Reading]:
    """The best output of each frame; runs are merged, then blanks dropped (Graves et al., CTC, 2006).

    frames_N: int64; later frames of an image are padding and are not read.
    """
    if not logits_TNC.shape[1]:
        return []
    best_NT, ids_NT = (values.T.cpu() for values in logits_TNC.softmax(-1).max(-1))
    inside_NT = torch.arange(ids_NT.shape[1]) < frames_N.cpu()[:, None]
    ids_NT = torch.where(inside_NT, ids_NT, BLANK_ID)
    starts_NT = torch.ones_like(inside_NT)
    starts_NT[:, 1:] = ids_NT[:, 1:] != ids_NT[:, :-1]
    readings = []
    rows = zip(ids_NT.numpy(), best_NT.numpy(), starts_NT.numpy(), strict=True)
    for ids, best, starts in rows:
        confidence, letters = 1.0, []
        for start, stop in _runs(starts):
            if ids[start] != BLANK_ID:
                letters.append(ids[start])
                confidence *= float(best[start:stop].max())
        readings.append(Reading(charset.decode(letters), confidence if letters else 0.0))
    return readings


def _runs(starts: np.ndarray) -> list[tuple[int, int]]:
    """(start, stop) of each run, from whether each frame starts one (bool)."""
    positions = [*starts.nonzero()[0].tolist(), len(starts)]
    return list(zip(positions, positions[1:], strict=False))
