"""Shards are prefetched in the plan's order, a few windows before the step that needs them, and not all at once."""

import threading
import time
from typing import NamedTuple

from horovod_ocr.data.ahead import WHOLE_BYTES, WINDOWS_AHEAD, ReadAhead
from horovod_ocr.data.plan import Window


class Shard(NamedTuple):
    name: int
    bytes: int = WHOLE_BYTES + 1
    samples: int = 100


class PrefetchLog:
    """A store that only notes what is prefetched."""

    def __init__(self):
        self.shards, self.rows = [], set()

    def prefetch_rows(self, shard, first_row, stop_row):
        self.shards.append(shard.name)
        self.rows.add((first_row, stop_row))


SHARDS = tuple(map(Shard, range(40)))


def windows(count: int) -> list[Window]:
    return [Window(10 * n, 10 * n + 9, 0, 0, [(2 * n, 5, 50), (2 * n + 1, 5, 50)]) for n in range(count)]


def wait_for(log: PrefetchLog, count: int) -> list[str]:
    for _ in range(6000):
        if len(log.shards) >= count:
            break
        time.sleep(0.01)
    time.sleep(0.02)  # whether more come
    return log.shards


def test_a_few_windows_before_the_step():
    log = PrefetchLog()
    with ReadAhead(log, SHARDS, iter(windows(20)), first_step=0) as ahead:
        assert wait_for(log, 10) == list(range(2 * (1 + WINDOWS_AHEAD)))  # the one in use, and those ahead of it
        ahead.advance_to(9)
        assert len(wait_for(log, 10)) == 10
        ahead.advance_to(20)
        assert wait_for(log, 14) == list(range(14))
    ahead.thread.join(5)
    assert not ahead.thread.is_alive() and len(log.shards) == 14 and log.rows == {(5, 50)}


def test_a_small_shard_comes_near_whole_and_once():
    log = PrefetchLog()
    parts = [[(0, 5, 50), (1, 0, 20)], [(1, 20, 60)], [(1, 60, 100), (2, 0, 3)]]
    with ReadAhead(
        log, (SHARDS[0], Shard(1, WHOLE_BYTES), SHARDS[2]), iter(Window(0, 9, 0, 0, part) for part in parts), 0
    ) as ahead:
        assert wait_for(log, 3) == [0, 1, 2]
    ahead.thread.join(5)
    assert log.rows == {(5, 50), (0, 100), (0, 3)}


def test_windows_that_were_read_through_meanwhile_are_left_out():
    log = PrefetchLog()
    with ReadAhead(log, SHARDS, iter(windows(8)), first_step=45) as ahead:
        assert wait_for(log, 8) == list(range(8, 16))
    ahead.thread.join(5)


def test_a_resumed_run_begins_with_the_windows_that_are_open():
    log = PrefetchLog()
    open_ones = windows(20)[5:]
    with ReadAhead(log, SHARDS, iter(open_ones), first_step=58) as ahead:
        assert wait_for(log, 10)[:2] == [10, 11] and len(log.shards) == 2 * (1 + WINDOWS_AHEAD)
    ahead.thread.join(5)
    assert threading.active_count() >= 1 and not ahead.thread.is_alive()


def test_the_thread_is_gone_when_the_block_ends():
    """A thread that still runs while the interpreter ends can abort the process."""
    log, begun = PrefetchLog(), threading.Event()
    log.prefetch_rows = lambda *rows: (begun.set(), time.sleep(0.1))
    with ReadAhead(log, SHARDS, iter(windows(20)), first_step=0) as ahead:
        begun.wait()
    assert not ahead.thread.is_alive()
