"""End a rank that makes no progress: in a ring, one rank that hangs makes all others hang for ever."""

import faulthandler
import os
import socket
import sys
import threading
import time

from horovod_ocr.console import STALLED
from horovod_ocr.errors import ClusterError

GRACE_S = 5.0  # after this the process ends without a sentence: a call keeps the interpreter's lock
CHECKS = 10  # of one timeout


class Watchdog:
    """A thread that ends the process `timeout_s` after the last `reached`. A context.

    The main thread calls `reached` with what it does next, which costs nothing. A sentence goes to stderr; if even the
    interpreter hangs, the traces of all threads follow.
    """

    def __init__(self, timeout_s: float, rank: int):
        self.timeout_s, self.rank = timeout_s, rank
        self.latest = (time.monotonic(), 0, "the start", timeout_s)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self.latest = (time.monotonic(), *self.latest[1:])
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()
        faulthandler.cancel_dump_traceback_later()

    def reached(self, step: int, waits_for: str, more_s: float = 0.0) -> None:
        """The process made progress; from now on it waits for `waits_for`: "its data", "the other ranks". more_s: by
        which this may take longer than `timeout_s`."""
        self.latest = (time.monotonic(), step, waits_for, self.timeout_s + more_s)

    def watch(self) -> None:
        while not self.ended.is_set():
            # in C: fires also if a call keeps the interpreter's lock, so that this thread cannot run
            faulthandler.dump_traceback_later(self.timeout_s + GRACE_S, exit=True)
            reached_s, step, waits_for, allowed_s = self.latest
            if time.monotonic() - reached_s > allowed_s:
                end(
                    f"{STALLED}rank {self.rank} on {socket.gethostname()}, step {step}: no progress for "
                    f"{allowed_s:.4g} s; it waited for {waits_for}"
                )
            self.ended.wait(self.timeout_s / CHECKS)


def end(sentence: str) -> None:
    """End the process at once: other threads and exit handlers may wait for what hangs."""
    os.write(sys.stderr.fileno(), f"{sentence}\n".encode())
    os._exit(ClusterError.exit_code)
