"""Kill the processes that are left of a supervised run.

Each host runs: python -m horovod_ocr.launch.supervise.kill_leftovers RUN_ID [JOB_TO_SPARE]

A rank whose horovodrun is gone, or whose host was cut off for a while, would go on computing, and hold GPU and ports.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import FAILED, Answer, Ssh
from horovod_ocr.run.state import JOB_VARIABLE

PROGRAM = "horovod_ocr.launch.supervise.kill_leftovers"
KILL_S = 5.0  # a killed process that is still there after this waits for a device or a network file system


def kill_on_hosts(
    ssh: Ssh, hosts: Sequence[Host], run_id: str, spared: str | None = None, timeout_s: float = 20
) -> dict[str, str | None]:
    """Kill what is left of a run on this machine and on the hosts, all at once. Host -> its problem, None without one.

    A host without a problem answers, has this program, and runs nothing of the run but the job `spared`.
    """
    command = [sys.executable, "-m", PROGRAM, run_id, *([spared] if spared else [])]
    with ThreadPoolExecutor(max_workers=len(hosts) + 1) as threads:
        own = threads.submit(kill_processes, run_id, spared)  # horovodrun, and its ssh clients
        try:
            answers = list(threads.map(lambda host: ssh.run(host, command, timeout_s=timeout_s), hosts))
        except BaseException:
            ssh.end()  # after an interrupt too, since the pool waits for its threads
            raise
        own.exception()  # only waited for: if this machine is one of the hosts, its answer has the error too
    return {host.name: problem_of(answer) for host, answer in zip(hosts, answers, strict=True)}


def problem_of(answer: Answer) -> str | None:
    if answer.code == 0:
        return None
    why = (answer.err.strip().splitlines() or [f"exit code {answer.code}"])[-1]
    return f"does not answer ({why})" if answer.code == FAILED else f"cannot be used: {why}"


def kill_processes(run_id: str, spared: str | None = None) -> int:
    """Kill all processes of a run on this machine, except those of the job `spared`; how many there were.

    Raises ClusterError if one does not end.
    """
    killed: set[int] = set()
    until_s = time.monotonic() + KILL_S
    while found := list(processes_of(run_id, spared)):  # again: one of them may have started another meanwhile
        if time.monotonic() > until_s:
            pid = min(process.pid for process in found)
            raise ClusterError(f"process {pid} of an earlier attempt cannot be ended; it waits for a device")
        for process in found:
            with suppress(psutil.Error):  # it has ended
                process.kill()
        killed |= {process.pid for process in found}
        time.sleep(0.02)
    return len(killed)


def processes_of(run_id: str, spared: str | None = None) -> Iterator[psutil.Process]:
    """The processes with a JOB_VARIABLE of this run, without this one. Other users' processes cannot be seen."""
    for process in psutil.process_iter():
        try:
            job = process.environ().get(JOB_VARIABLE, "")
        except (psutil.Error, OSError):
            continue
        if job.startswith(f"{run_id}/") and job != spared and process.pid != os.getpid():
            yield process


def main() -> None:
    try:
        kill_processes(*sys.argv[1:])
    except ClusterError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
