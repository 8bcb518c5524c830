"""Confidences that mean what they say: of the readings with a confidence of 0.9, nine out of ten are right.

Shapes: N readings.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 15
TEMPERATURES = (0.2, 20.0)  # that are tried
GOLDEN = (math.sqrt(5) - 1) / 2
STEPS = 24  # of the search: the last interval is 1e-5 of the first
THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 0.995, 0.999)


class Rejection(NamedTuple):
    """What it gains to reject readings below a confidence."""

    below: float
    """The confidence."""
    coverage: float
    """Share of the readings that stay."""
    error: float
    """Share of those that are wrong; 0 if none stays."""


def fit_temperature(confidences_at: Callable[[float], Floats], is_right_N: NDArray[np.bool_]) -> float:
    """The temperature whose confidences are the most likely to come with these right and wrong readings (Guo et al.,
    On Calibration of Modern Neural Networks, 2017): one number, found by golden section search.

    confidences_at: temperature -> the confidence of each reading. 1.0 if there are no readings.
    """
    if not len(is_right_N):
        return 1.0

    def loss(log_temperature: float) -> float:
        return surprise(confidences_at(math.exp(log_temperature)), is_right_N)

    low, high = (math.log(limit) for limit in TEMPERATURES)
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    losses = [loss(each) for each in inner]
    for _ in range(STEPS):
        if losses[0] <= losses[1]:
            high, inner[1], losses[1] = inner[1], inner[0], losses[0]
            inner[0] = high - GOLDEN * (high - low)
            losses[0] = loss(inner[0])
        else:
            low, inner[0], losses[0] = inner[0], inner[1], losses[1]
            inner[1] = low + GOLDEN * (high - low)
            losses[1] = loss(inner[1])
    return round(math.exp((low + high) / 2), 4)


def surprise(confidences_N: Floats, is_right_N: NDArray[np.bool_]) -> float:
    """Mean negative log likelihood of right and wrong readings, if their confidences are probabilities."""
    p_N = np.clip(confidences_N, 1e-6, 1 - 1e-6)
    return float(-np.where(is_right_N, np.log(p_N), np.log1p(-p_N)).mean())


def calibration_error(confidences_N: Floats, is_right_N: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error: |share of right readings - mean confidence| over bins of equal width, by their
    numbers of readings. 0 without readings."""
    if not len(is_right_N):
        return 0.0
    bin_N = np.minimum((confidences_N * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_N, is_right_N - confidences_N, bins)
    return float(np.abs(gaps).sum() / len(is_right_N))


def rejections(confidences_N: Floats, is_right_N: NDArray[np.bool_]) -> list[Rejection]:
    """What it gains to reject readings below each of THRESHOLDS."""
    found = []
    for below in THRESHOLDS:
        stays_N = confidences_N >= below
        kept = int(stays_N.sum())
        error = float((~is_right_N[stays_N]).mean()) if kept else 0.0
        found.append(Rejection(below, kept / max(1, len(is_right_N)), error))
    return found
