"""Kill what is left of a supervised job on this host.

Run on each host as: python -m horovod_ocr.launch.supervise.kill_leftovers RUN_ID [JOB_TO_SPARE]

A rank whose launcher is gone, or whose host was cut off for a while, would go on computing, and hold GPU and ports.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import FAILED, Ssh
from horovod_ocr.run.state import JOB_VARIABLE

KILL_S = 5.0  # a killed process that is still there after this waits for a device or a network file system


def clear_hosts(
    ssh: Ssh, hosts: tuple[Host, ...], run_id: str, spared: str = "", timeout_s: float = 20
) -> dict[str, str]:
    """End what is left of a run on hosts, side by side, and on this machine. Host's name -> problem, "" for none.

    A host without a problem answers, has this program, and runs nothing of the run but `spared`.
    """
    command = [
        sys.executable,
        "-m",
        "horovod_ocr.launch.supervise.kill_leftovers",
        run_id,
        *([spared] if spared else []),
    ]
    with ThreadPoolExecutor(max_workers=len(hosts) + 1) as pool:
        own = pool.submit(end_processes, run_id, spared)  # horovodrun, and the ssh clients that it started
        try:
            answers = list(pool.map(lambda host: ssh.run(host, command, timeout_s=timeout_s), hosts))
        except BaseException:
            ssh.end()  # interrupted: the pool waits for its threads
            raise
        problems = {host.name: problem_of(*answer) for host, answer in zip(hosts, answers, strict=True)}
        own.exception()  # waited for; where this machine trains, it says so as one of the hosts
    return problems


def problem_of(code: int, out: str, err: str) -> str:
    words = (err.strip().splitlines() or [f"exit code {code}"])[-1]
    if code == 0:
        return ""
    return f"does not answer ({words})" if code == FAILED else f"cannot be used: {words}"


def end_processes(run_id: str, spared: str = "") -> int:
    """Kill every process of a run's jobs on this machine, except the job `spared`; how many there were.

    ClusterError where one does not go away.
    """
    ended: set[int] = set()
    until_s = time.monotonic() + KILL_S
    while found := set(processes_of(run_id, spared)):  # again: one of them may have started another meanwhile
        if time.monotonic() > until_s:
            raise ClusterError(f"process {min(found)} of an earlier attempt cannot be ended; it waits for a device")
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        ended |= found
        time.sleep(0.02)
    return len(ended)


def processes_of(run_id: str, spared: str = "") -> Iterator[int]:
    """The processes whose JOB_VARIABLE is of this run. Another user's cannot be seen."""
    mark, spared_mark = f"{JOB_VARIABLE}={run_id}/".encode(), f"{JOB_VARIABLE}={spared}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(each.startswith(mark) and each != spared_mark for each in variables):
            yield int(folder.name)


def main() -> None:
    try:
        end_processes(*sys.argv[1:])
    except ClusterError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
