"""How often each number stands among many millions: memory for the distinct ones alone."""

import math

import numpy as np

BUFFERED = 1 << 20
MOST_BARS = 24
TAIL = 0.995  # what lies above this quantile shares one bar where it would stretch the chart


class Tally:
    """Counts of whole numbers, exact. `add` arrays of any size; then ask."""

    def __init__(self) -> None:
        self._numbers = np.empty(0, np.int64)
        self._counts = np.empty(0, np.int64)
        self._waiting: list[np.ndarray] = []
        self._waiting_size = 0

    def add(self, numbers: np.ndarray) -> None:
        self._waiting.append(np.array(numbers, np.int64))
        self._waiting_size += len(numbers)
        if self._waiting_size >= BUFFERED:
            self._merge()

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """(distinct numbers, ascending; how often each), int64."""
        self._merge()
        return self._numbers, self._counts

    @property
    def total(self) -> int:
        return int(self.counts()[1].sum())

    @property
    def mean(self) -> float:
        numbers, counts = self.counts()
        return float((numbers.astype(float) * counts).sum() / counts.sum())

    def quantile(self, share: float) -> int:
        """The smallest number that at least this share of all are not above. 0: the least, 1: the greatest."""
        numbers, counts = self.counts()
        held = np.cumsum(counts)
        return int(numbers[np.searchsorted(held, max(share * held[-1], 1) - 1e-9)])

    def histogram(self, most_bars: int = MOST_BARS) -> tuple[list[str], list[int]]:
        """(labels, counts) of at most that many bars and one more. A bar a number where they are few, else bars of one
        round width, named by where they begin and end; a long tail is one bar."""
        least, greatest = self.quantile(0), self.quantile(1)
        top = greatest
        if greatest - least >= most_bars:
            top = self.quantile(TAIL)
        width = round_width((top - least + 1) / most_bars)
        first = least // width * width
        bars = (top - first) // width + 1
        numbers, counts = self.counts()
        positions = np.minimum((numbers - first) // width, bars)
        held = np.bincount(positions, weights=counts, minlength=bars).astype(np.int64)
        starts = [first + width * position for position in range(bars)]
        labels = [f"{start:,}" if width == 1 else f"{start:,}–{start + width - 1:,}" for start in starts]
        if len(held) > bars:
            labels.append(f"{starts[-1] + width:,}+")
        return labels, held.tolist()

    def _merge(self) -> None:
        if not self._waiting:
            return
        numbers, counts = np.unique(np.concatenate(self._waiting), return_counts=True)
        both, positions = np.unique(np.concatenate([self._numbers, numbers]), return_inverse=True)
        held = np.zeros(len(both), np.int64)
        np.add.at(held, positions, np.concatenate([self._counts, counts]))
        self._numbers, self._counts = both, held
        self._waiting, self._waiting_size = [], 0


def round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below."""
    if least <= 1:
        return 1
    power = 10 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
