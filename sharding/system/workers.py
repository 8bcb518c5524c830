"""Worker processes: tasks go out in order, results come back in order, and no worker outlives the process that started
it."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import TypeVar

from sharding.errors import ShardError
from sharding.system.machine import usable_cores

Task = TypeVar("Task")
Result = TypeVar("Result")


def prepare_workers(modules: list[str]) -> None:
    """Start the process that workers are forked from, and let it import these modules while the caller does other
    things."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
    forkserver.ensure_running()


@contextmanager
def resting_collector() -> Iterator[None]:
    """Switch the collector of cyclic garbage off: a build makes no cycles, and the collector would look through
    thousands of entries and samples again and again, a tenth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def open_workers(workers: int) -> Iterator["Workers"]:
    """`workers` processes; for one, the calling process does the work itself. What was not begun at the end is dropped.
    The collector of cyclic garbage is off meanwhile, here and in the workers."""
    with resting_collector():
        if workers == 1:
            yield Workers(None, 1)
            return
        # forkserver, not fork: the caller may have threads (a progress bar) and open files
        context = multiprocessing.get_context("forkserver")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
        try:
            yield Workers(pool, workers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def open_workers_for(samples: int, asked: int | None) -> AbstractContextManager["Workers"]:
    """`open_workers` with the number of processes asked for; else one for each core, but fewer for a set that would be
    done before they have started."""
    return open_workers(asked or min(usable_cores(), 1 + samples // 1000))


@contextmanager
def killed_workers_named(command: str, remark: str = "", by: str = "--workers") -> Iterator[None]:
    """Raise ShardError with what to do, if a worker is killed. command: the one that is running. remark: for the end of
    the sentence. by: the option that says how many workers there are."""
    try:
        yield
    except BrokenProcessPool as error:
        raise ShardError(
            f"a worker was killed, mostly for want of memory; run the same {command} again with fewer {by}{remark}"
        ) from error


class Workers:
    """A pool of processes, or the calling process alone. Made by `open_workers`."""

    def __init__(self, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self._pool = pool
        self._in_flight = 2 * workers

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """function(task) for each task, in order. A task is made only when its turn comes, so that a long sequence
        costs no memory.

        An error of a task is raised here; BrokenProcessPool if a worker was killed.
        """
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting: deque[Future[Result]] = deque()
        for task in tasks:
            waiting.append(self._pool.submit(function, task))
            if len(waiting) >= self._in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _start_worker() -> None:
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # If the parent is killed, its workers would wait for tasks for ever.
    parent = multiprocessing.parent_process()
    assert parent  # a worker has one
    wait([parent.sentinel])
    os._exit(1)
