"""Temperatures, calibration errors and what it gains to reject."""

import numpy as np
import pytest

from horovod_ocr.evaluation.calibration import calibration_error, fit_temperature, rejections


def test_the_temperature_of_the_truth_is_found():
    """Right with the probability that the confidence says at temperature 2.5."""
    rng = np.random.default_rng(0)
    logits_N = rng.normal(2, 3, 20_000)

    def confidences_at(temperature):
        return 1 / (1 + np.exp(-logits_N / temperature))

    is_right_N = rng.random(len(logits_N)) < confidences_at(2.5)
    fitted = fit_temperature(confidences_at, is_right_N)
    assert fitted == pytest.approx(2.5, rel=0.05)
    assert calibration_error(confidences_at(fitted), is_right_N) < 0.01
    assert calibration_error(confidences_at(0.5), is_right_N) > 0.1


def test_without_readings_nothing_is_fitted():
    none = np.zeros(0)
    assert fit_temperature(lambda temperature: none, none.astype(bool)) == 1.0
    assert calibration_error(none, none.astype(bool)) == 0.0
    assert [row.coverage for row in rejections(none, none.astype(bool))][:2] == [0.0, 0.0]


def test_the_calibration_error_counts_bins_by_their_readings():
    """Nine of confidence 0.9 of which six are right, one of 0.1 that is wrong."""
    confidences_N = np.array([0.9] * 9 + [0.1])
    is_right_N = np.array([True] * 6 + [False] * 4)
    assert calibration_error(confidences_N, is_right_N) == pytest.approx((9 * (0.9 - 6 / 9) + 0.1) / 10)


def test_what_stays_and_what_of_it_is_wrong():
    rows = {row.below: row for row in rejections(np.array([0.2, 0.6, 0.95, 1.0]), np.array([False, False, True, True]))}
    assert (rows[0.0].coverage, rows[0.0].error) == (1.0, 0.5)
    assert (rows[0.5].coverage, rows[0.5].error) == (0.75, pytest.approx(1 / 3))
    assert (rows[0.9].coverage, rows[0.9].error) == (0.5, 0.0)
    assert (rows[0.99].coverage, rows[0.99].error) == (0.25, 0.0)
