"""Signals that ask a run to stop: noted here, voted on and acted on by all ranks when they meet."""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from horovod_ocr.console import SENTENCE

# from a person, from a batch system, and Slurm's warning before the time is up
STOP_SIGNALS: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopSignals:
    """A context that notes the stop signals in `received`, and does no more. A second SIGINT ends the process at once.

    Only for the main thread: Python allows no handlers elsewhere.
    """

    def __init__(self) -> None:
        self.signals = STOP_SIGNALS
        self.received: str | None = None  # name of the first signal
        self.interrupted = False
        self.before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> "StopSignals":
        for number in self.signals:
            self.before[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self.interrupted:
                os.write(sys.stderr.fileno(), f"{SENTENCE}interrupted twice; nothing more is saved\n".encode())
                os._exit(128 + number)
            self.interrupted = True
        self.received = self.received or signal.Signals(number).name
