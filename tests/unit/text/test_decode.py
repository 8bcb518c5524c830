"""Greedy CTC decoding."""

import numpy as np

from horovod_ocr.text.charset import Charset
from horovod_ocr.text.decode import greedy_decode
from sharding.format.script.profile import build_profile

CHARSET = Charset.build("abc", build_profile("latin"))


def logits_of(*rows: list[int], sharpness: float = 20.0) -> np.ndarray:
    """Scores (T, N, C) whose best outputs are the rows."""
    return np.eye(len(CHARSET), dtype=np.float32)[np.array(rows).T] * np.float32(sharpness)


def texts(logits_TNC, frames):
    return [reading.text for reading in greedy_decode(logits_TNC, np.array(frames), CHARSET)]


def test_runs_merge_and_blanks_part_them():
    assert texts(logits_of([1, 1, 0, 1, 2, 2, 0]), [7]) == ["aab"]
    assert texts(logits_of([0, 0, 0]), [3]) == [""]


def test_frames_past_the_image_are_not_read():
    assert texts(logits_of([1, 0, 2, 3], [1, 2, 3, 3]), [2, 4]) == ["a", "abc"]


def test_confidence_falls_with_doubt_and_an_empty_reading_has_none():
    (sure,) = greedy_decode(logits_of([1, 0, 2]), np.array([3]), CHARSET)
    (unsure,) = greedy_decode(logits_of([1, 0, 2], sharpness=1.0), np.array([3]), CHARSET)
    (empty,) = greedy_decode(logits_of([0, 0, 0]), np.array([3]), CHARSET)
    assert 0.99 < sure.confidence <= 1 and 0 < unsure.confidence < 0.5 and empty.confidence == 0


def test_a_batch_of_none():
    assert greedy_decode(np.zeros((5, 0, 4)), np.zeros(0, np.int64), CHARSET) == []


def test_a_temperature_changes_the_confidence_alone():
    (usual,), (flat,) = (greedy_decode(logits_of([1, 0, 2], sharpness=4.0), np.array([3]), CHARSET, t) for t in (1, 3))
    assert usual.text == flat.text == "ab" and flat.confidence < usual.confidence
