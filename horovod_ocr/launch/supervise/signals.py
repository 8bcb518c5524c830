"""The signals that ask a supervisor to stop."""

import os
import signal
import stat
import sys
from types import FrameType

from horovod_ocr.console import silence
from horovod_ocr.run.signals import STOP_SIGNALS, StopSignals


class LaunchSignals(StopSignals):
    """SIGTERM, SIGINT, SIGUSR1 and SIGHUP are noted; under nohup SIGHUP is ignored. A second SIGINT interrupts."""

    def __init__(self) -> None:
        super().__init__()
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            self.signals = (*STOP_SIGNALS, signal.SIGHUP)

    def note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == "SIGINT":
            raise KeyboardInterrupt
        if number == signal.SIGHUP:
            for stream in (sys.stdout, sys.stderr):  # the terminal is gone: another line to it would be an error
                if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
                    silence(stream)
        self.received = signal.Signals(number).name
