"""Scores are sums first: the score of two halves is the score of the whole."""

from collections import Counter

import numpy as np
import pytest

from horovod_ocr.text.metrics import build_counts, count_reading, scores_by_length, scores_of

PAIRS = [("کتاب", "کتاب"), ("کتاب", "کباب"), ("اب", ""), ("ا", "اب"), ("ابپتٹثجچحخد", "ابپتٹثجچحخد")]


def count(pairs, subset=0):
    counts, confusions = build_counts(2), Counter()
    for label, reading in pairs:
        count_reading(counts, confusions, subset, reading, label)
    return counts, confusions


def test_scores_by_hand():
    scores = scores_of(count(PAIRS)[0])
    assert scores["samples"] == 5
    assert scores["word_accuracy"] == 2 / 5
    assert scores["cer"] == (0 + 1 + 2 + 1 + 0) / (4 + 4 + 2 + 1 + 11)
    assert scores["one_minus_ned"] == pytest.approx(1 - (0 + 1 / 4 + 2 / 2 + 1 / 2 + 0) / 5)


def test_halves_add_up():
    whole, parts = count(PAIRS)[0], count(PAIRS[:2])[0] + count(PAIRS[2:])[0]
    np.testing.assert_array_equal(whole, parts)


def test_by_length_and_subset():
    counts = count(PAIRS)[0] + count([("اب", "اب")], subset=1)[0]
    by_length = scores_by_length(counts)
    assert list(by_length) == ["1", "2", "4", "11-20"]
    assert by_length["2"] == {**by_length["2"], "samples": 2, "word_accuracy": 0.5}
    assert scores_of(counts[1])["word_accuracy"] == 1


def test_confusions_name_what_was_read_left_out_and_put_in():
    confusions = count(PAIRS)[1]
    assert confusions["ت", "ب"] == 1 and confusions["ا", ""] == 1 and confusions["", "ب"] == 1


def test_an_empty_reference_is_refused():
    with pytest.raises(ValueError, match="empty"):
        count([("", "")])
