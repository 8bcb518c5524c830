"""Frame scores to readings, on numpy. Shapes: T frames, N images, C outputs."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from horovod_ocr.text.charset import BLANK_ID, Charset


class Letter(NamedTuple):
    """A letter that was read, and where it is."""

    text: str
    """A base with the marks on it."""
    confidence: float
    """0 to 1."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom: in pixels of the image, upright."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        box = [round(edge, 1) for edge in self.box]
        return {"text": self.text, "confidence": round(self.confidence, 4), "box": box}


@dataclass(frozen=True)
class Reading:
    """What a model read in an image."""

    text: str
    """In logical order; empty if no frame has a letter."""
    confidence: float
    """0 to 1: over the letters, the product of each one's probability in its best frame. 0 for an empty text."""
    letters: tuple[Letter, ...] = ()
    """In the order in which people read them; empty until they are looked for."""

    def with_letters(self, letters: tuple[Letter, ...]) -> "Reading":
        """The same with other letters."""
        return replace(self, letters=letters)


def greedy_decode(
    logits_TNC: np.ndarray, frames_N: np.ndarray, charset: Charset, temperature: float = 1.0
) -> list[Reading]:
    """The best output of each frame; runs are merged, then blanks dropped (Graves et al., CTC, 2006).

    frames_N: int64; later frames of an image are padding and are not read. temperature: what logits are divided by
    before the softmax; it changes confidences alone.
    """
    if not logits_TNC.shape[1]:
        return []
    ids_TN = logits_TNC.argmax(-1)
    distances_TNC = (logits_TNC - logits_TNC.max(-1, keepdims=True)) / temperature
    best_NT = (1 / np.exp(distances_TNC).sum(-1)).T
    inside_NT = np.arange(len(ids_TN)) < frames_N[:, None]
    ids_NT = np.where(inside_NT, ids_TN.T, BLANK_ID)
    starts_NT = np.ones_like(inside_NT)
    starts_NT[:, 1:] = ids_NT[:, 1:] != ids_NT[:, :-1]
    readings = []
    for ids, best, starts in zip(ids_NT, best_NT, starts_NT, strict=True):
        runs = np.flatnonzero(starts)
        has_letter = ids[runs] != BLANK_ID
        letters = ids[runs][has_letter].tolist()
        confidence = float(np.maximum.reduceat(best, runs)[has_letter].prod()) if letters else 0.0
        readings.append(Reading(charset.decode(letters), confidence))
    return readings
