"""Kill the processes that are left of a supervised run.

Each host runs: python -m horovod_ocr.launch.supervise.kill_leftovers RUN_ID [JOB_TO_SPARE ...]
It prints which of those jobs have processes there.

A rank whose horovodrun is gone, or whose host was cut off for a while, would go on computing, and hold GPU and ports.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import psutil

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import FAILED, Answer, Ssh
from horovod_ocr.run.state import JOB_VARIABLE

PROGRAM = "horovod_ocr.launch.supervise.kill_leftovers"
KILL_S = 5.0  # a killed process that is still there after this waits for a device or a network file system


class Cleared(NamedTuple):
    """A host on which the processes of a run were killed."""

    problem: str | None
    """None: it answers, has this program, and runs nothing of the run but what was spared."""
    running: frozenset[str] = frozenset()
    """The spared jobs that have processes there."""


def kill_on_hosts(
    ssh: Ssh, hosts: Sequence[Host], run_id: str, spared: Sequence[str] = (), timeout_s: float = 20
) -> dict[str, Cleared]:
    """Kill what is left of a run, but not the jobs `spared`, on this machine and on the hosts, all at once. By host."""
    command = [sys.executable, "-m", PROGRAM, run_id, *spared]
    with ThreadPoolExecutor(max_workers=len(hosts) + 1) as threads:
        own = threads.submit(kill_processes, run_id, *spared)  # horovodrun, and its ssh clients
        try:
            answers = list(threads.map(lambda host: ssh.run(host, command, timeout_s=timeout_s), hosts))
        except BaseException:
            ssh.end()  # after an interrupt too, since the pool waits for its threads
            raise
        own.exception()  # only waited for: if this machine is one of the hosts, its answer has the error too
    return {host.name: cleared(answer) for host, answer in zip(hosts, answers, strict=True)}


def cleared(answer: Answer) -> Cleared:
    if answer.code == 0:
        return Cleared(None, frozenset(answer.out.split()))
    why = (answer.err.strip().splitlines() or [f"exit code {answer.code}"])[-1]
    return Cleared(f"does not answer ({why})" if answer.code == FAILED else f"cannot be used: {why}")


def kill_processes(run_id: str, *spared: str) -> int:
    """Kill all processes of a run on this machine, except those of the jobs `spared`; how many there were.

    Raises ClusterError if one does not end.
    """
    killed: set[int] = set()
    until_s = time.monotonic() + KILL_S
    while found := list(processes_of(run_id, *spared)):  # again: one of them may have started another meanwhile
        if time.monotonic() > until_s:
            pid = min(process.pid for process in found)
            raise ClusterError(f"process {pid} of an earlier attempt cannot be ended; it waits for a device")
        for process in found:
            with suppress(psutil.Error):  # it has ended
                process.kill()
        killed |= {process.pid for process in found}
        time.sleep(0.02)
    return len(killed)


def processes_of(run_id: str, *spared: str) -> Iterator[psutil.Process]:
    """The processes of the jobs of this run, except those of the jobs `spared`."""
    for process, job in processes_with_jobs():
        if job.startswith(f"{run_id}/") and job not in spared:
            yield process


def processes_with_jobs() -> Iterator[tuple[psutil.Process, str]]:
    """The processes with a JOB_VARIABLE, and its value, without this one. Other users' processes cannot be seen."""
    for process in psutil.process_iter():
        try:
            job = process.environ().get(JOB_VARIABLE, "")
        except (psutil.Error, OSError):
            continue
        if job and process.pid != os.getpid():
            yield process, job


def main() -> None:
    run_id, *spared = sys.argv[1:]
    try:
        kill_processes(run_id, *spared)
    except ClusterError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    if spared:
        print(*{job for _, job in processes_with_jobs()} & set(spared))


if __name__ == "__main__":
    main()
