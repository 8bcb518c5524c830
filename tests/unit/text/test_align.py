"""Forced alignment: every frame belongs to a letter, the cut is the best one, letters come in the order of people."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.errors import LabelError
from horovod_ocr.text.align import align_ids, align_text
from horovod_ocr.text.charset import Charset
from sharding.format.script.profile import build_profile

URDU = Charset.build("ابپتٹ ۱۲۳", build_profile("urdu"))
THAI = Charset.build("กขี่", build_profile("thai"))


def score_of(logits_TC: np.ndarray, ids: list[int], cuts: tuple[int, ...]) -> float:
    """Of a cut: log probabilities of the letters among each other."""
    letters_TC = logits_TC[:, 1:].astype(np.float64)
    letters_TC = letters_TC - np.log(np.exp(letters_TC).sum(1, keepdims=True))
    return sum(letters_TC[start:stop, i - 1].sum() for i, start, stop in zip(ids, cuts, cuts[1:], strict=False))


@given(seed=st.integers(0, 1 << 30), frames=st.integers(1, 9), letters=st.integers(1, 5), repeats=st.booleans())
def test_the_cut_is_the_best_of_all(seed, frames, letters, repeats):
    if letters > frames:
        return
    rng = np.random.default_rng(seed)
    logits_TC = rng.normal(0, 3, (frames, 5)).astype(np.float32)
    ids = [2] * letters if repeats else rng.integers(1, 5, letters).tolist()
    every = [(0, *inner, frames) for inner in combinations(range(1, frames), letters - 1)]
    best = max(score_of(logits_TC, ids, cuts) for cuts in every)
    cuts = tuple(align_ids(logits_TC, ids))
    assert cuts in every
    assert score_of(logits_TC, ids, cuts) == pytest.approx(best)


def logits_for(ids: list[int], each: int, outputs: int) -> np.ndarray:
    """Peaks as CTC makes them: a letter in the middle frame of its part, the blank in the others, where the letter is
    still the best of the letters."""
    logits_TC = np.zeros((len(ids) * each, outputs), np.float32)
    for place, number in enumerate(ids):
        part = logits_TC[place * each : (place + 1) * each]
        part[:, number] = 3.0
        part[:, 0] = 9.0
        part[each // 2, number] = 12.0
    return logits_TC


def test_letters_take_the_frames_between_the_peaks():
    """The bare peaks would be one frame wide."""
    text = "پتا"
    spans = align_text(logits_for(URDU.encode(text), 7, len(URDU)), text, URDU)
    assert [(span.text, span.start, span.stop) for span in spans] == [("پ", 14, 21), ("ت", 7, 14), ("ا", 0, 7)]
    assert all(0.9 < span.confidence < 1 for span in spans)


def test_numbers_keep_their_order_among_letters():
    text = "اب ۱۲۳"
    spans = align_text(logits_for(URDU.encode(text), 3, len(URDU)), text, URDU)
    assert "".join(span.text for span in spans) == text
    starts = {span.text: span.start for span in spans}
    assert starts["۱"] < starts["۲"] < starts["۳"] < starts[" "] < starts["ب"] < starts["ا"]


def test_marks_are_part_of_their_letter():
    text = "กี่ข"
    spans = align_text(logits_for(THAI.encode(text), 2, len(THAI)), text, THAI)
    assert [(span.text, span.start, span.stop) for span in spans] == [("กี่", 0, 6), ("ข", 6, 8)]


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(LabelError, match="3 letters do not fit into 2 frames"):
        align_text(np.zeros((2, len(URDU)), np.float32), "پتا", URDU)
    with pytest.raises(LabelError, match="is not in the charset"):
        align_text(np.zeros((9, len(URDU)), np.float32), "x", URDU)
    assert align_text(np.zeros((2, len(URDU)), np.float32), "", URDU) == []
