"""Shards brought near before they are needed, by a thread of the rank's process: its workers find them there."""

import threading
from collections import deque
from collections.abc import Iterator

from horovod_ocr.data.plan import Window
from horovod_ocr.data.store import ShardStore
from sharding.format.index import ShardInfo

WINDOWS_AHEAD = 4  # brought near before the first step that reads from them
WHOLE_BYTES = 1 << 23  # so small a shard is read whole, at its first window: its windows are shorter than a good read
WHOLE_SHARDS = 128  # of them, remembered


class ReadAhead:
    """Brings the shards of the plan's windows near, in their order, a few windows before the step that was reached.

    A context: it begins with the first step and ends with the block. windows: by `first_step`.
    """

    def __init__(self, store: ShardStore, shards: tuple[ShardInfo, ...], windows: Iterator[Window], first_step: int):
        self.store, self.shards, self.windows = store, shards, windows
        self.step, self.ended = first_step, False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.run, name="read-ahead", daemon=True)

    def __enter__(self) -> "ReadAhead":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self.changed:
            self.ended = True
            self.changed.notify()

    def reach(self, step: int) -> None:
        """Say which step is computed now."""
        with self.changed:
            self.step = step
            self.changed.notify()

    def run(self) -> None:
        latest: deque[int] = deque(maxlen=WINDOWS_AHEAD)  # first steps of the windows that were brought near last
        whole: deque[int] = deque(maxlen=WHOLE_SHARDS)
        for window in self.windows:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or len(latest) < WINDOWS_AHEAD or latest[0] <= self.step)
            if window.last_step < self.step:  # fallen behind: what is read through already is near for nothing
                continue
            for shard, first_row, stop_row in window.parts:
                if self.ended:
                    return
                info = self.shards[shard]
                if info.bytes > WHOLE_BYTES:
                    self.store.prefetch(info, first_row, stop_row)
                elif shard not in whole:
                    self.store.prefetch(info, 0, info.samples)
                    whole.append(shard)
            latest.append(window.first_step)
