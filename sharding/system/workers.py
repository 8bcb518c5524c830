"""Worker processes: tasks go out in order, results come back in order, and nobody outlives the one who started them."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def usable_cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def prepare_workers(modules: list[str]) -> None:
    """Let the process that workers are forked from start, and import these modules, while the caller does other
    things."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(modules)
    forkserver.ensure_running()


@contextmanager
def resting_collector() -> Iterator[None]:
    """Let the collector of cyclic garbage rest: a build makes no cycles, and it would look through thousands of entries
    and samples again and again, a tenth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def open_workers(workers: int) -> Iterator["Workers"]:
    """`workers` processes; for one, the calling process does the work itself. What was not begun at the end is
    dropped. Meanwhile the collector rests, here and in the workers."""
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


class Workers:
    """A pool, or none. Made by `open_workers`."""

    def __init__(self, pool: ProcessPoolExecutor | None, workers: int) -> None:
        self._pool = pool
        self._in_flight = 2 * workers

    def run(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """function(task) for each task, in order. A task is made only when its turn comes, so a long row costs no
        memory.

        An error of a task is raised here; BrokenProcessPool where a worker was killed.
        """
        if self._pool is None:
            yield from map(function, tasks)
            return
        waiting: deque = deque()
        for task in tasks:
            waiting.append(self._pool.submit(function, task))
            if len(waiting) >= self._in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _start_worker() -> None:
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends the pool
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A killed parent would leave its workers waiting for tasks for ever.
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)
