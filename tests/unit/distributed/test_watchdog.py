"""A process without progress ends with a sentence; one that makes progress lives."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


# Time passes for the watchdog when the program says so: on a busy machine, a sleep may take much longer than asked for.
BEGIN = """
import time
from types import SimpleNamespace
from horovod_ocr.distributed import watchdog
from horovod_ocr.distributed.watchdog import Watchdog
now_s = 0.0
watchdog.time = SimpleNamespace(monotonic=lambda: now_s)
"""


def run(program: str) -> subprocess.CompletedProcess:
    program = BEGIN + textwrap.dedent(program)
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_no_progress_ends_the_process_and_says_what_it_waited_for():
    ended = run("""
        with Watchdog(0.3, rank=2) as watchdog:
            watchdog.reached(140, "the gradients of the other ranks")
            now_s += 0.31
            time.sleep(600)
    """)
    assert ended.returncode == 4
    sentence = (
        r"stalled: rank 2 on \S+, step 140: no progress for 0.3 s; it waited for the gradients of the other ranks\n"
    )
    assert re.fullmatch(sentence, ended.stderr)


def test_a_wait_that_may_take_longer_is_given_the_time():
    ended = run("""
        with Watchdog(0.3, rank=2) as watchdog:
            watchdog.reached(140, "the weights of the other ranks", more_s=0.5)
            now_s += 0.7
            time.sleep(0.2)  # the watchdog checks meanwhile
            print("alive", flush=True)
            now_s += 0.2
            time.sleep(600)
    """)
    assert (ended.returncode, ended.stdout) == (4, "alive\n") and "no progress for 0.8 s; it waited" in ended.stderr


@pytest.mark.slow
def test_a_call_that_keeps_the_interpreter_to_itself_is_ended_too():
    ended = run("""
        import ctypes
        watchdog.GRACE_S = 0.3
        with Watchdog(0.3, rank=0):
            time.sleep(0.1)
            ctypes.PyDLL(None).sleep(600)  # of C, with the lock held
    """)
    assert ended.returncode == 1 and "Timeout" in ended.stderr and "MainThread" not in ended.stdout


@pytest.mark.slow
def test_progress_keeps_it_alive_and_the_end_of_the_block_ends_the_watch():
    ended = run("""
        with Watchdog(0.5, rank=0) as watchdog:
            for step in range(10):
                now_s += 0.4
                time.sleep(0.1)  # the watchdog checks meanwhile
                watchdog.reached(step, "its data")
        now_s += 1
        time.sleep(0.2)
        print("alive")
    """)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "alive\n", "")
