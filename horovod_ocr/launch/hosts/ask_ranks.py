"""Start a program on every slot of some hosts, by horovodrun, and read the one answer that root prints."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.horovodrun import spell_horovodrun
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.ssh import Ssh, kill_session

MARK = "answer: "  # begins the line of JSON


def print_answer(answer: Any) -> None:
    """What root of a program that `ask_ranks` started prints, once."""
    print(MARK + json.dumps(answer), flush=True)


def ask_ranks(
    ssh: Ssh, hosts: Sequence[Host], module: str, argument: str, timeout_s: float, launcher: Sequence[str] = ()
) -> Any:
    """The answer of `python -m module argument` on every slot of the hosts.

    timeout_s: for all of it. launcher: options of horovodrun. Raises ClusterError if there is none.
    """
    command = spell_horovodrun(hosts, [sys.executable, "-m", module, argument], launcher)
    try:
        started = subprocess.Popen(
            command,
            env=ssh.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ClusterError(f"{command[0]}: {error.strerror}") from error
    try:
        said, _ = started.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"the ranks gave no answer within {timeout_s:g} s") from error
    finally:
        if started.poll() is None:  # after an interrupt too
            kill_session(started)
            started.communicate()
    for found in reversed(re.findall(rf"{MARK}(.*)", said)):
        with suppress(ValueError):  # another program's words
            return json.loads(found)
    raise ClusterError(why_horovodrun_failed(said, started.returncode))


def why_horovodrun_failed(said: str, code: int) -> str:
    """The most telling line: the last of the rank that ended first, else the last one about an error.

    NCCL's own reason is added.
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    of_rank = []
    if first := re.search(r"rank (\d+) ended first", said):
        mark = f"[{first[1]}]<stderr>:"
        of_rank = [f"rank {first[1]}: {line.removeprefix(mark)}" for line in lines if line.startswith(mark)]
    errors = [line for line in lines if re.search("error|unable|could not|timed out", line, re.IGNORECASE)]
    line = (of_rank or errors or lines or [f"horovodrun ended with code {code}"])[-1]
    warned = re.search(r"NCCL WARN (.+)", said)
    return f"{line} (NCCL: {warned[1].strip()})" if warned else line
