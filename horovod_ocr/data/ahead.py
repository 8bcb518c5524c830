"""Prefetching of shards by a thread of the rank's process. The loader workers then find them in the page cache."""

import threading
from collections import deque
from collections.abc import Iterator

from horovod_ocr.data.plan import Window
from horovod_ocr.data.store import ShardStore
from sharding.format.index import ShardInfo

WINDOWS_AHEAD = 4  # windows that are prefetched before the first step that reads from them
WHOLE_BYTES = 1 << 23  # a shard up to this size is prefetched whole, because its windows are too short for fast reads
MOST_WAIT_S = 5.0  # for the thread, at the end
WHOLE_SHARDS = 128  # the number of those that are remembered, so as not to prefetch them again


class ReadAhead:
    """Prefetches the shards of the plan's windows in order, a few windows ahead of the current step.

    A context manager: the thread runs while the block does, and at most MOST_WAIT_S longer.

    Args:
        store: fetches the shards.
        shards: those of the split, in the order given to the plan.
        windows: of this rank, sorted by `first_step`.
        first_step: the step at which reading starts.
    """

    def __init__(self, store: ShardStore, shards: tuple[ShardInfo, ...], windows: Iterator[Window], first_step: int):
        self.store, self.shards, self.windows = store, shards, windows
        self.step, self.has_ended = first_step, False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run, name="read-ahead", daemon=True)

    def __enter__(self) -> "ReadAhead":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self.changed:
            self.has_ended = True
            self.changed.notify()
        # a thread that is in numpy when the interpreter ends aborts the process; one that waits for a server does not
        self.thread.join(timeout=MOST_WAIT_S)

    def advance_to(self, step: int) -> None:
        """Tell the thread which step is computed now."""
        with self.changed:
            self.step = step
            self.changed.notify()

    def run(self) -> None:
        """What the thread does: prefetch all windows, each as soon as few enough are ahead."""
        latest: deque[int] = deque(maxlen=WINDOWS_AHEAD)  # first steps of the windows that were prefetched last
        whole: deque[int] = deque(maxlen=WHOLE_SHARDS)  # shards that were prefetched whole
        for window in self.windows:
            with self.changed:
                self.changed.wait_for(lambda: self.has_ended or len(latest) < WINDOWS_AHEAD or latest[0] <= self.step)
            if self.has_ended:
                return
            if window.last_step < self.step:  # the rank has already read past it
                continue
            for shard, first_row, stop_row in window.parts:
                if self.has_ended:
                    return
                info = self.shards[shard]
                if info.bytes > WHOLE_BYTES:
                    self.store.prefetch_rows(info, first_row, stop_row)
                elif shard not in whole:
                    self.store.prefetch_rows(info, 0, info.samples)
                    whole.append(shard)
            latest.append(window.first_step)
