"""A rank that makes no progress ends itself: in a ring, one that hangs makes all others hang for ever."""

import faulthandler
import os
import socket
import sys
import threading
import time

from horovod_ocr.errors import ClusterError

GRACE_S = 5.0  # after this the process ends without a sentence: something holds the interpreter
CHECKS = 10  # of one timeout


class Watchdog:
    """A thread that ends the process `timeout_s` after the last `reached`. A context.

    The main thread says what it does next with `reached`, which costs nothing. The sentence goes to stderr; the traces
    of all threads follow where even the interpreter hangs.
    """

    def __init__(self, timeout_s: float, rank: int):
        self.timeout_s, self.rank = timeout_s, rank
        self.latest = (time.monotonic(), 0, "the start")
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

    def reached(self, step: int, waits_for: str) -> None:
        """Progress was made; from now on the process does `waits_for` ("its data", "the other ranks")."""
        self.latest = (time.monotonic(), step, waits_for)

    def watch(self) -> None:
        while not self.ended.is_set():
            # of C: fires also where a call keeps the interpreter's lock, and this thread cannot run
            faulthandler.dump_traceback_later(self.timeout_s + GRACE_S, exit=True)
            reached_s, step, waits_for = self.latest
            if time.monotonic() - reached_s > self.timeout_s:
                end(
                    f"stalled: rank {self.rank} on {socket.gethostname()}, step {step}: no progress for "
                    f"{self.timeout_s:g} s; it waited for {waits_for}"
                )
            self.ended.wait(self.timeout_s / CHECKS)


def end(sentence: str) -> None:
    """Leave at once: other threads, and exit handlers, may wait for what hangs."""
    os.write(sys.stderr.fileno(), f"{sentence}\n".encode())
    os._exit(ClusterError.exit_code)
