"""Counts are exact for any parts that numbers are added in; a chart of any numbers holds them all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.audit import int_histogram
from sharding.audit.int_histogram import MOST_BARS, IntHistogram, round_width


def histogram_of(*parts) -> IntHistogram:
    made = IntHistogram()
    for part in parts:
        made.add(np.array(part, np.uint32))
    return made


@pytest.mark.slow
@given(st.lists(st.lists(st.integers(0, 5000), max_size=30), min_size=1, max_size=8).filter(any))
def test_counts_quantiles_and_charts_are_exact(parts):
    numbers = np.sort(np.concatenate([np.array(part, int) for part in parts]))
    made = histogram_of(*parts)
    distinct, counts = made.counts()
    assert np.array_equal(np.repeat(distinct, counts), numbers) and made.total == len(numbers)
    assert made.mean == pytest.approx(numbers.mean())
    for share in (0, 0.25, 0.5, 0.99, 1):
        assert made.quantile(share) == np.quantile(numbers, share, method="inverted_cdf")
    labels, bars = made.bars()
    assert len(labels) == len(bars) <= MOST_BARS + 2 and sum(bars) == len(numbers)


def test_merging_early_changes_nothing(monkeypatch):
    parts = [np.random.default_rng(n).integers(0, 300, 100) for n in range(20)]
    whole = histogram_of(*parts).counts()
    monkeypatch.setattr(int_histogram, "BUFFERED", 150)
    made = histogram_of(*parts)
    assert made._waiting_size < 150
    assert np.array_equal(made.counts(), whole)


def test_numbers_that_were_counted_already_can_be_counted_further():
    made = IntHistogram.of(np.array([2, 5], np.uint64), np.array([3, 1]))
    assert made.total == 4 and made.quantile(0.5) == 2 and made.mean == pytest.approx(11 / 4)
    made.add(np.array([5, 7], np.uint32))
    assert [counts.tolist() for counts in made.counts()] == [[2, 5, 7], [3, 2, 1]]


def test_few_numbers_have_a_bar_each():
    assert histogram_of([3, 5, 5]).bars() == (["3", "4", "5"], [1, 0, 2])


def test_a_long_tail_is_one_bar():
    labels, bars = histogram_of(list(range(100)) * 10, [1_000_000]).bars()
    assert labels[:2] == ["0–4", "5–9"] and bars[:2] == [50, 50] and labels[-1] == "100+" and bars[-1] == 1


def test_round_widths():
    assert [round_width(least) for least in (0.2, 1, 1.1, 3, 5, 7, 43, 100, 101)] == [1, 1, 2, 5, 5, 10, 50, 100, 200]
