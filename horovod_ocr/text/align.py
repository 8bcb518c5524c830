"""Which frames each letter of a text takes: a forced alignment.

A model trained by CTC answers with a letter in one or two frames, and with the blank in all others: where its scores
peak says where a letter is, but not how far it reaches. In the frames between two peaks the letters still differ, only
below the blank. So the blank is left out here, and every frame belongs to a letter.

Shapes: T frames, C outputs, L letters.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from horovod_ocr.errors import LabelError
from horovod_ocr.text.charset import Charset
from sharding.format.script.order import reading_positions, units_of


class LetterSpan(NamedTuple):
    """A letter of a text, and where it is."""

    text: str
    """A base with the marks on it."""
    confidence: float
    """Its probability in its best frame; of several characters the product."""
    start: int
    """Its first frame, from the left of the image."""
    stop: int
    """The frame after its last one."""


def align_ids(logits_TC: np.ndarray, ids: Sequence[int]) -> list[int]:
    """Cut the frames into one part for each id, in their order: the most probable cut, by the probabilities of the
    letters among each other.

    ids: in reading order, no blanks; at least one, at most T. Returns L + 1 frames: id i takes those from the i-th to
    the (i+1)-th, at least one.
    """
    frames, letters = len(logits_TC), len(ids)
    # sums_LT: of the logits of a letter in the frames before t. Every cut takes each frame once, so what would make
    # probabilities of the logits of a frame is the same in all of them, and is left out.
    sums_LT = np.zeros((letters, frames + 1))
    logits_TC.T[ids].cumsum(1, np.float64, out=sums_LT[:, 1:])
    gains_LT = np.empty_like(sums_LT)  # what it gains to start a letter in frame t
    best_T = np.full(frames + 1, -np.inf)  # of the letters so far, in the frames before t
    best_T[0] = 0.0
    for sums_T, gains_T in zip(sums_LT, gains_LT, strict=True):
        np.subtract(best_T, sums_T, out=gains_T)
        np.maximum.accumulate(gains_T[:-1], out=best_T[1:])
        best_T[0] = -np.inf
        best_T += sums_T
    cuts = [frames]
    for gains_T in gains_LT[::-1]:  # a letter starts in the last of the frames before its end that gain the most
        cuts.append(cuts[-1] - 1 - int(gains_T[: cuts[-1]][::-1].argmax()))
    return cuts[::-1]


def align_text(logits_TC: np.ndarray, text: str, charset: Charset, temperature: float = 1.0) -> list[LetterSpan]:
    """Where each letter of a text is, in the order in which people read it. The texts of the letters make up the text.

    logits_TC: of the frames that are not padding. text: normalised. Raises LabelError if the charset lacks a letter of
    it, or if it has more characters than there are frames.
    """
    if not text:
        return []
    ids = charset.encode(text)
    if len(ids) > len(logits_TC):
        raise LabelError(f"{len(ids)} letters do not fit into {len(logits_TC)} frames")
    cuts = align_ids(logits_TC, ids)
    odds_TC = np.exp((logits_TC - logits_TC.max(1, keepdims=True)) / temperature)
    probabilities_TL = odds_TC[:, ids] / odds_TC.sum(1, keepdims=True)
    best_L = np.maximum.reduceat(probabilities_TL, cuts[:-1]).diagonal().tolist()  # of each id in its best frame
    place_of = {position: place for place, position in enumerate(reading_positions(text, charset.profile.direction))}
    spans, at = [], 0
    for unit in units_of(text):
        places = [place_of[position] for position in range(at, at + len(unit))]
        at += len(unit)
        confidence = math.prod(best_L[place] for place in places)
        spans.append(LetterSpan(unit, confidence, cuts[min(places)], cuts[max(places) + 1]))
    return spans
