"""Images that wait for the model, by width, and which of them are next. No threads, no clock.

A run of the model takes images of one width: those of the oldest image that waits. To prefer a width of which many wait
gains nothing, since widths that are common fill their runs anyway, and the rare ones would be answered late.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

MOST_COLUMNS = 8192  # of a run: what the model computes for them is kept in memory at once


class Waiting(Protocol):
    """What waits."""

    @property
    def arrived_s(self) -> float:
        """When it came, by any one clock."""


W = TypeVar("W", bound=Waiting)


class Buckets(Generic[W]):
    """All that wait."""

    def __init__(self, max_batch: int, max_wait_s: float = 0.0) -> None:
        self._max_batch = max_batch
        self._max_wait_s = max_wait_s
        self._by_width: dict[int, deque[W]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_width)

    def add(self, width_px: int, item: W) -> None:
        """Put it behind those of its width."""
        self._by_width.setdefault(width_px, deque()).append(item)

    def take(self, now_s: float, hurry: bool = False) -> list[W]:
        """Remove and return those of the next run; empty if there is none, or if the next one waits for more.

        hurry: nothing more will come, so nothing waits.
        """
        ready = [
            width
            for width, waiting in self._by_width.items()
            if hurry or len(waiting) >= self._most(width) or now_s - waiting[0].arrived_s >= self._max_wait_s
        ]
        if not ready:
            return []
        width = min(ready, key=self._oldest_s)
        waiting = self._by_width[width]
        taken = [waiting.popleft() for _ in range(min(self._most(width), len(waiting)))]
        if not waiting:
            del self._by_width[width]
        return taken

    def due_in_s(self, now_s: float) -> float | None:
        """When an image has waited long enough for others; None if there is none."""
        if not self._by_width:
            return None
        return max(0.0, min(map(self._oldest_s, self._by_width)) + self._max_wait_s - now_s)

    def _oldest_s(self, width_px: int) -> float:
        return self._by_width[width_px][0].arrived_s

    def _most(self, width_px: int) -> int:
        """Images of a run."""
        return max(1, min(self._max_batch, MOST_COLUMNS // width_px))
