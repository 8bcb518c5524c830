"""The command line of horovodrun: one process on every slot of the hosts."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of, spell_hosts
from horovod_ocr.launch.hosts.ssh import visible_gpus

INTERFACES = "--network-interfaces"
START_TIMEOUT_S = 120  # over NFS, a first import of torch may take longer than horovodrun's own 30 s


def spell_horovodrun(hosts: Sequence[Host], program: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """The command that starts a program on every slot, with the horovodrun beside this interpreter, else that of PATH.

    Raises ClusterError if there is no horovodrun. Its cache of checks is off: a check of an hour ago may not hold now.
    """
    beside = Path(sys.executable).with_name("horovodrun")
    horovodrun = str(beside) if beside.exists() else shutil.which("horovodrun")
    if horovodrun is None:
        raise ClusterError("no horovodrun in this environment; build it with: make setup")
    variables = variables_to_send()
    program = ["env", *variables, *program] if variables else program
    patience = ["--disable-cache", "--start-timeout", str(START_TIMEOUT_S)]
    slots = ["-np", str(ranks_of(hosts)), "-H", spell_hosts(hosts)]
    return [horovodrun, "--gloo", *patience, *slots, *options, *program]


def variables_to_send() -> list[str]:
    """NAME=VALUE of the variables that a person has set and horovodrun does not pass on.

    horovodrun sends the environment to other hosts without CUDA_VISIBLE_DEVICES, and sets NCCL_SOCKET_IFNAME itself.
    """
    interface = os.environ.get("NCCL_SOCKET_IFNAME")
    return [*visible_gpus(), *([f"NCCL_SOCKET_IFNAME={interface}"] if interface else [])]
