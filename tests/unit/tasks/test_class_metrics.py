"""Scores of classes against their definitions, counted the slow way."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.tasks.class_metrics import (
    area_under_curve,
    expit,
    midranks,
    most_confused,
    scores_by_class,
    scores_of,
)

CONFUSION = np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]])  # the third class has no sample and is never read
SCORES = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=12)


@pytest.mark.parametrize("read_as_the_third", [0, 2])
def test_macro_f1_is_the_mean_over_the_classes_that_have_samples(read_as_the_third):
    confusion = CONFUSION.copy()
    confusion[0] = 8, 2 - read_as_the_third, read_as_the_third
    scores = scores_of(confusion)
    assert scores["samples"] == 14 and scores["accuracy"] == 11 / 14 and scores["error_rate"] == pytest.approx(3 / 14)
    f1 = [2 * 8 / (10 + 9), 2 * 3 / (4 + 5 - read_as_the_third)]
    assert scores["macro_f1"] == pytest.approx(sum(f1) / 2)


def test_each_class_by_its_definition():
    first, second, third = scores_by_class(CONFUSION)
    assert (first["precision"], first["recall"], first["samples"], first["read"]) == (8 / 9, 8 / 10, 10, 9)
    assert (second["precision"], second["recall"]) == (3 / 5, 3 / 4)
    assert third == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "samples": 0, "read": 0}


def test_the_most_confused_come_first():
    assert most_confused(CONFUSION, 5) == [(0, 1, 2), (1, 0, 1)]
    assert most_confused(CONFUSION, 1) == [(0, 1, 2)]


def test_no_samples_are_no_error():
    assert scores_of(np.zeros((2, 2), np.int64)) == {
        "accuracy": 0.0,
        "error_rate": 0.0,
        "macro_f1": 0.0,
        "samples": 0,
    }
    assert area_under_curve(np.array([]), np.array([0.5])) is None


@given(SCORES, SCORES)
def test_the_area_is_the_share_of_pairs_in_the_right_order(positive, negative):
    pairs = [(high > low) + (high == low) / 2 for high in positive for low in negative]
    area = area_under_curve(np.array(positive), np.array(negative))
    assert area is not None and area.value == pytest.approx(np.mean(pairs))
    assert 0 <= area.low <= area.value <= area.high <= 1
    assert area.low < area.high, "a dozen samples of a class are never certain"


def test_the_interval_holds_the_true_area_as_often_as_it_says():
    """Two normal distributions one apart: the true area is the normal distribution's at 1 / sqrt 2."""
    rng = np.random.default_rng(0)
    true = 0.5 * (1 + math.erf(0.5))
    intervals = [area_under_curve(rng.normal(1, 1, 40), rng.normal(0, 1, 60)) for _ in range(400)]
    held = sum(each.low <= true <= each.high for each in intervals)
    assert 0.92 * 400 < held < 0.98 * 400


@pytest.mark.parametrize("alone", ["positive", "negative"])
def test_one_sample_of_a_class_says_little(alone):
    """Its share of pairs would be the area itself, without any spread."""
    many = np.arange(1000.0)
    one = np.array([699.5])
    area = area_under_curve(one, many) if alone == "positive" else area_under_curve(many, one)
    assert area is not None and area.value == pytest.approx(0.7 if alone == "positive" else 0.3)
    assert area.high - area.low > 0.9


def test_equal_scores_are_not_certain():
    small, large = (area_under_curve(np.ones(count), np.ones(2 * count)) for count in (4, 400))
    assert small is not None and large is not None and small.value == large.value == 0.5
    # as wide as a share of one half among the samples of each class, on the logit scale
    assert small.low == pytest.approx(expit(-1.959964 * math.sqrt(0.25 * (1 / 4 + 1 / 8)) / 0.25))
    assert 0.05 < 0.5 - large.low < 0.07 and large.high == pytest.approx(1 - large.low)


def test_two_samples_that_say_the_same_say_little():
    area = area_under_curve(np.array([699.4, 699.5]), np.arange(1000.0))
    assert area is not None and area.value == pytest.approx(0.7) and area.high - area.low > 0.7


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20))
def test_equal_values_share_the_mean_of_their_ranks(values):
    ranks = midranks(np.array(values))
    for value, rank in zip(values, ranks, strict=True):
        below, equal = sum(other < value for other in values), values.count(value)
        assert rank == below + (equal + 1) / 2


def test_a_perfect_separation_is_not_certain():
    area = area_under_curve(np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3]))
    assert area == (1.0, pytest.approx(0.025**0.5), 1.0)
    assert area_under_curve(np.array([0.1]), np.array([0.9])) == (0.0, 0.0, pytest.approx(0.975))


def test_expit_takes_any_number():
    assert [expit(x) for x in (-1e6, 0.0, 1e6)] == [0.0, 0.5, 1.0]
    assert expit(1.3) == pytest.approx(1 / (1 + math.exp(-1.3)))
