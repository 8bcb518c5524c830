"""Signals that ask to stop are noted; a second SIGINT is not."""

import os
import signal
import subprocess
import sys

import pytest

from horovod_ocr.run.signals import StopSignals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_noted_and_the_handlers_before_come_back(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), number)
        assert signals.received == signal.Signals(number).name
    assert signal.getsignal(number) is before


def test_the_first_one_is_the_reason():
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == "SIGUSR1"


def test_a_second_interrupt_ends_the_process_at_once():
    program = (
        "import os, signal\nfrom horovod_ocr.run.signals import StopSignals\n"
        "with StopSignals():\n    os.kill(os.getpid(), signal.SIGINT)\n    print('went on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    print('never')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (130, "went on\n") and "interrupted twice" in ended.stderr
