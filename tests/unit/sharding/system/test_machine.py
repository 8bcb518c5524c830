"""What this machine has, against what others say of it."""

import os

import psutil

from sharding.system.machine import total_memory, usable_cores


def test_cores_are_those_that_this_process_may_run_on():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cores() == len(before)


def test_memory_is_that_of_the_machine():
    assert total_memory() == psutil.virtual_memory().total
