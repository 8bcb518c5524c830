"""How good a classifier is: sums that are added over batches and ranks, and divided once at the end. No torch.

Shapes: C classes. A confusion matrix [C, C] counts samples by (class of the label, class read).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959964  # of the normal distribution: 95 % are within this many standard deviations


class Interval(NamedTuple):
    """A score, and where it is with 95 % confidence."""

    value: float
    """0 to 1."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""


def scores_of(confusion: NDArray[np.int64]) -> dict[str, float]:
    """accuracy, error_rate and macro_f1 as fractions, and samples. macro_f1: mean of F1 over the classes that have
    samples."""
    samples, right = int(confusion.sum()), int(np.trace(confusion))
    f1 = [part["f1"] for part in scores_by_class(confusion) if part["samples"]]
    return {
        "accuracy": right / samples if samples else 0.0,
        "error_rate": 1 - right / samples if samples else 0.0,
        "macro_f1": sum(f1) / len(f1) if f1 else 0.0,
        "samples": samples,
    }


def scores_by_class(confusion: NDArray[np.int64]) -> list[dict[str, Any]]:
    """precision, recall and F1 of each class as fractions; 0 if nothing was read as it, or there is no sample of it.
    `samples` of the class, and how many samples were `read` as it."""
    right, labelled, read = np.diag(confusion).tolist(), confusion.sum(1).tolist(), confusion.sum(0).tolist()
    return [
        {
            "precision": hits / as_it if as_it else 0.0,
            "recall": hits / of_it if of_it else 0.0,
            "f1": 2 * hits / (of_it + as_it) if of_it + as_it else 0.0,
            "samples": of_it,
            "read": as_it,
        }
        for hits, of_it, as_it in zip(right, labelled, read, strict=True)
    ]


def most_confused(confusion: NDArray[np.int64], most: int) -> list[tuple[int, int, int]]:
    """(class of the label, another class read, times), the most frequent first."""
    wrong = confusion - np.diag(np.diag(confusion))
    found = [(int(label), int(read), int(wrong[label, read])) for label, read in zip(*np.nonzero(wrong), strict=True)]
    return sorted(found, key=lambda item: (-item[2], item[0], item[1]))[:most]


def area_under_curve(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> Interval | None:
    """Area under the ROC curve: how often a sample of the positive class scores higher than one of the negative class,
    ties counting half. None if a class has no sample.

    positive, negative: scores of the samples of each class. The interval is DeLong's (DeLong, DeLong, Clarke-Pearson,
    1988; by midranks: Sun and Xu, 2014) on the logit scale, which keeps it within 0 to 1. Where all samples of a class
    say the same, they show no variance, and its upper bound is taken: that of a share. A perfect separation has the
    exact binomial interval (Clopper and Pearson, 1934) for as many samples as the smaller class has.
    """
    m, n = len(positive), len(negative)
    if not m or not n:
        return None
    together = midranks(np.concatenate([positive, negative]))
    above = (together[:m] - midranks(positive)) / n  # share of the negative samples below each positive one
    below = 1 - (together[m:] - midranks(negative)) / m
    area = float(above.mean())
    if area in (0.0, 1.0):
        end = 0.025 ** (1 / min(m, n))
        return Interval(area, end, 1.0) if area else Interval(area, 0.0, 1 - end)
    of_share = area * (1 - area)  # of one sample's share of pairs in the right order, which is within 0 to 1
    # shares that are all equal do not tell their variance
    variance = sum((float(each.var(ddof=1)) if np.ptp(each) else of_share) / len(each) for each in (above, below))
    reach = Z_95 * math.sqrt(variance) / of_share
    middle = math.log(area / (1 - area))
    return Interval(area, expit(middle - reach), expit(middle + reach))


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rank of each value, from 1; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def expit(x: float) -> float:
    """The inverse of the logit, for any x."""
    return 0.5 * (1 + math.tanh(x / 2))
