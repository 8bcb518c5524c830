"""How often each whole number occurs among many millions: memory for the distinct numbers alone."""

import math

import numpy as np
from numpy.typing import NDArray

BUFFERED = 1 << 20  # numbers that wait to be counted
MOST_BARS = 24
TAIL = 0.995  # the numbers above this quantile share one bar if they would stretch the chart


class IntHistogram:
    """Exact counts of whole numbers."""

    def __init__(self) -> None:
        self._numbers = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[NDArray[np.int64]] = []
        self._waiting_size = 0

    @classmethod
    def of(cls, numbers: NDArray[np.integer], counts: NDArray[np.integer]) -> "IntHistogram":
        """Numbers that were counted already: distinct ones, ascending, and how often each occurs."""
        histogram = cls()
        histogram._numbers, histogram._counts = numbers.astype(np.int64), counts.astype(np.int64)
        return histogram

    def add(self, numbers: NDArray[np.integer]) -> None:
        """Count an array of any size."""
        self._waiting.append(np.array(numbers, np.int64))
        self._waiting_size += len(numbers)
        if self._waiting_size >= BUFFERED:
            self._merge()

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(distinct numbers, ascending; how often each occurs)."""
        self._merge()
        return self._numbers, self._counts

    @property
    def total(self) -> int:
        """How many numbers were added."""
        return int(self.counts()[1].sum())

    @property
    def mean(self) -> float:
        """Of all numbers; there must be one."""
        numbers, counts = self.counts()
        return float((numbers.astype(float) * counts).sum() / counts.sum())

    def quantile(self, share: float) -> int:
        """The smallest number x so that at least this share of all numbers is at most x; 0: the least number."""
        numbers, counts = self.counts()
        cumulated = np.cumsum(counts)
        return int(numbers[np.searchsorted(cumulated, max(share * cumulated[-1], 1) - 1e-9)])

    def bars(self, most: int = MOST_BARS) -> tuple[list[str], list[int]]:
        """(labels, counts) of a bar chart with `most` bars, and one more for a long tail.

        A few distinct numbers have a bar each. Otherwise all bars have one round width, and a label names the first
        and the last number of its bar.
        """
        least, greatest = self.quantile(0), self.quantile(1)
        top = self.quantile(TAIL) if greatest - least >= most else greatest
        width = round_width((top - least + 1) / most)
        first = least // width * width
        bars = (top - first) // width + 1
        numbers, counts = self.counts()
        positions = np.minimum((numbers - first) // width, bars)
        in_bars = np.bincount(positions, weights=counts, minlength=bars).astype(np.int64)
        starts = [first + width * position for position in range(bars)]
        labels = [f"{start:,}" if width == 1 else f"{start:,}–{start + width - 1:,}" for start in starts]
        if len(in_bars) > bars:
            labels.append(f"{starts[-1] + width:,}+")
        return labels, in_bars.tolist()

    def _merge(self) -> None:
        if not self._waiting:
            return
        numbers, counts = np.unique(np.concatenate(self._waiting), return_counts=True)
        both, positions = np.unique(np.concatenate([self._numbers, numbers]), return_inverse=True)
        merged = np.zeros(len(both), np.int64)
        np.add.at(merged, positions, np.concatenate([self._counts, counts]))
        self._numbers, self._counts = both, merged
        self._waiting, self._waiting_size = [], 0


def round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    if least <= 1:
        return 1
    power: int = 10 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
