"""Which frames each letter of a text takes: a forced alignment.

A model trained by CTC answers with a letter in one or two frames, and with the blank in all others: where its scores
peak says where a letter is, but not how far it reaches. In the frames between two peaks the letters still differ, only
below the blank. So the blank is left out here, and every frame belongs to a letter.

Shapes: T frames, C outputs, L letters.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from horovod_ocr.errors import LabelError
from horovod_ocr.text.charset import BLANK_ID, Charset
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
    letters_TC = np.delete(logits_TC, BLANK_ID, 1).astype(np.float64)
    letters_TC -= letters_TC.max(1, keepdims=True)
    letters_TC -= np.log(np.exp(letters_TC).sum(1, keepdims=True))
    scores_LT = letters_TC[:, [each - 1 for each in ids]].T
    frames, letters = len(logits_TC), len(ids)
    # sums[l, t]: of the scores of letter l in the frames before t
    sums = np.concatenate([np.zeros((letters, 1)), scores_LT.cumsum(1)], 1)
    best = np.full(frames + 1, -np.inf)  # best[t]: of the letters so far, in the frames before t
    best[0] = 0.0
    starts = []
    for number in range(letters):
        gains = best - sums[number]
        highest = np.maximum.accumulate(gains)
        # where the letter starts if it stops before frame t + 1: the last of the frames up to t that reach the highest
        starts.append(np.maximum.accumulate(np.where(gains == highest, np.arange(frames + 1), 0)))
        best = np.concatenate([[-np.inf], highest[:-1] + sums[number, 1:]])
    cuts = [frames]
    for start in reversed(starts):
        cuts.append(int(start[cuts[-1] - 1]))
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
    scaled_TC = logits_TC / temperature
    highest_T1 = scaled_TC.max(1, keepdims=True)
    totals_T = np.exp(scaled_TC - highest_T1).sum(1)
    # of each id its probability in its best frame
    probabilities = [
        float((np.exp(scaled_TC[start:stop, each] - highest_T1[start:stop, 0]) / totals_T[start:stop]).max())
        for each, start, stop in zip(ids, cuts, cuts[1:], strict=False)
    ]
    place_of = {position: place for place, position in enumerate(reading_positions(text, charset.profile.direction))}
    spans, at = [], 0
    for unit in units_of(text):
        places = [place_of[position] for position in range(at, at + len(unit))]
        at += len(unit)
        confidence = float(np.prod([probabilities[place] for place in places]))
        spans.append(LetterSpan(unit, confidence, cuts[min(places)], cuts[max(places) + 1]))
    return spans
