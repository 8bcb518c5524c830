"""The output of a job tells why it ended."""

import os
import signal
from unittest.mock import MagicMock

import pytest

from horovod_ocr.console import STOPPED_BY_ANOTHER
from horovod_ocr.distributed.horovod import HorovodWorld
from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.supervise.job import Job, JobOutput
from tests.hosts.bed import wait_until

NODES = (Host("node1", 2), Host("node2"))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            ["[2]<stderr>:Timeout, server node2 not responding.", "Process 2 exit with status code 255."],
            "rank 2 on node2: the connection to it is lost (Timeout, server node2 not responding.)",
        ),
        (["Process 1 exit with status code 255."], "rank 1 on node1: killed, or the connection to it is lost"),
        (
            ["[0]<stderr>:ValueError: no", "Process 0 exit with status code 1."],
            "rank 0 on node1 ended with exit code 1: ValueError: no",
        ),
        (
            [
                "[1]<stderr>:note of a library",
                "[0]<stderr>:horovod-ocr: make room",
                "[0]<stderr>:Terminated",
                "Process 1 exit with status code 3.",
            ],
            "rank 1 on node1 ended with exit code 3: make room",
        ),
        (
            ["[1]<stderr>:stalled: rank 1 on node1, step 4: no progress", "Process 1 exit with status code 4."],
            "stalled: rank 1 on node1, step 4: no progress",
        ),
        (["horovodrun: could not connect to some hosts"], "horovodrun: could not connect to some hosts"),
        ([], "horovodrun ended with exit code 4, no rank said why"),
    ],
)
def test_what_a_job_says_tells_why_it_ended(lines, reason):
    output = JobOutput(NODES)
    for line in lines:
        output.add(line + "\n")
    assert output.reason(4) == reason


def test_a_rank_that_a_library_aborted_keeps_its_last_words():
    output = JobOutput(NODES)
    output.add("[1]<stderr>:  what():  NCCL async error: unhandled cuda error\n")
    output.add("Process 1 exit with status code 134.\n")
    assert output.reason(134) == (
        "rank 1 on node1 was killed (SIGABRT): what():  NCCL async error: unhandled cuda error"
    )


def test_a_rank_that_ended_because_it_missed_another_is_not_the_cause():
    """Even if its end is known before that of the other, on another host."""

    class HorovodInternalError(Exception):
        pass

    with pytest.raises(ClusterError) as raised, HorovodWorld(MagicMock()).guard("training"):
        raise HorovodInternalError("Connection closed by peer [10.0.0.2]:4711")
    output = JobOutput(NODES)
    output.add(f"[0]<stderr>:horovod-ocr: {raised.value}\n")
    output.add("Process 0 exit with status code 4.\n")
    assert output.reason(4) == f"rank 0 on node1 ended with exit code 4: {raised.value}"
    output.add("Process 2 exit with status code 255.\n")
    assert output.reason(4) == "rank 2 on node2: killed, or the connection to it is lost"
    assert output.exit_code(4) == 4


def test_the_exit_code_is_that_of_the_rank_that_ended_by_itself():
    """Else a rank without memory, on another host, would be tried again for ever."""
    output = JobOutput(NODES)
    assert output.exit_code(1) == 1
    output.add(f"[0]<stderr>:horovod-ocr: {STOPPED_BY_ANOTHER}\n")
    output.add("Process 0 exit with status code 4.\n")
    assert output.exit_code(4) == 4
    output.add("[2]<stderr>:horovod-ocr: out of memory\n")
    output.add("Process 2 exit with status code 2.\n")
    assert output.exit_code(4) == 2


@pytest.mark.slow
def test_an_orphan_that_holds_the_pipes_does_not_delay_the_end_of_a_job():
    """Whoever ends the job kills the orphan, and then all is read."""
    command = ["sh", "-c", "setsid sh -c 'echo horovodrun: orphan $$; exec sleep 600' & wait"]
    job = Job(command, dict(os.environ), NODES)
    wait_until(lambda: job.output.launcher_line, "its line")
    assert job.end() == -signal.SIGKILL
    assert all(relay.is_alive() for relay in job.relays)
    os.kill(int(job.output.launcher_line.split()[-1]), signal.SIGKILL)
    job.read_rest()
    assert not any(relay.is_alive() for relay in job.relays)
