"""Run commands on other hosts: through ssh, with a configuration written from hosts.txt."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

from horovod_ocr.errors import ClusterError
from horovod_ocr.launch.hosts.hosts_file import Host

FAILED = 255  # ssh's own exit code: the host does not answer, refuses the login, or the connection broke
TIMED_OUT = 124  # as of timeout(1)
NOT_FOUND = 127  # as of a shell
# sent along, as horovodrun does: a shell that ssh starts reads no profile
CARRIED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


def visible_gpus() -> list[str]:
    """CUDA_VISIBLE_DEVICES=VALUE, if a person has set it to numbers, which mean the same on every host; else nothing.

    A batch system's value is of this host alone.
    """
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    is_for_all = value is not None and re.fullmatch(r"[-\d, ]*", value) and "SLURM_JOB_ID" not in os.environ
    return [f"CUDA_VISIBLE_DEVICES={value}"] if is_for_all else []


class Answer(NamedTuple):
    """What a command on a host ended with."""

    code: int
    """The exit code of the command (negative: it was ended by that signal), or FAILED, TIMED_OUT, NOT_FOUND."""
    out: str
    """What it wrote to stdout; empty if it timed out or was not found."""
    err: str
    """What it wrote to stderr, or why there is no answer."""


class Ssh:
    """Runs commands on the hosts of hosts.txt. A lost connection is noticed within 3 times `alive_interval_s`.

    Writes into `folder` an ssh configuration, and a program `ssh` that runs the real one with it. `environment` puts
    the folder first on PATH, so that horovodrun's own ssh clients use it too. Raises ClusterError if a host needs ssh
    and this machine has none.
    """

    def __init__(self, hosts: tuple[Host, ...], folder: Path, alive_interval_s: int = 5) -> None:
        self.folder = folder.absolute()
        self.running: set[subprocess.Popen[str]] = set()  # commands of all threads
        search = os.pathsep.join(part for part in os.get_exec_path() if Path(part).absolute() != self.folder)
        real = shutil.which("ssh", path=search)
        if real is None and not all(is_local(host) for host in hosts):
            raise ClusterError("no ssh on this machine; install it (Debian: apt-get install openssh-client)")
        self.folder.mkdir(parents=True, exist_ok=True)
        config, self.program = self.folder / "ssh_config", self.folder / "ssh"
        config.write_text(spell_config(hosts, alive_interval_s), "utf-8")
        config.chmod(0o600)
        if real:
            self.program.write_text(f'#!/bin/sh\nexec {shlex.join([real, "-F", str(config)])} "$@"\n', "utf-8")
            self.program.chmod(0o700)

    def environment(self) -> dict[str, str]:
        """This process's environment, with `self.program` as its `ssh`."""
        return {**os.environ, "PATH": os.pathsep.join([str(self.folder), *os.get_exec_path()])}

    def run(self, host: Host, command: list[str], input: str = "", timeout_s: float = 60.0) -> Answer:
        """Run a command on a host, in a folder of the same path as the working folder here, with `input` as its stdin.

        After timeout_s a command over ssh loses its connection, but goes on running on the other host. It runs in a
        session of its own: otherwise Ctrl-C in the terminal would end it, and a healthy host would look broken.
        """
        if not is_local(host):
            carried = [f"{name}={os.environ[name]}" for name in CARRIED if name in os.environ]
            carried += ["PYTHONUTF8=1", *visible_gpus()]  # file names are UTF-8 whatever the locale of the host
            script = f"cd {shlex.quote(os.getcwd())} && exec {shlex.join(['env', *carried, *command])}"
            command = [str(self.program), host.alias, script]
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                encoding="utf-8",
                errors="replace",
            ) as started:
                self.running.add(started)
                try:
                    out, err = started.communicate(input, timeout=timeout_s)
                except subprocess.TimeoutExpired:
                    kill_session(started)
                    return Answer(TIMED_OUT, "", f"no answer within {timeout_s:g} s")
                finally:
                    self.running.discard(started)
        except OSError as error:
            return Answer(NOT_FOUND, "", f"{command[0]}: {error.strerror}")
        return Answer(started.returncode, out, err)

    def end(self) -> None:
        """Kill the commands that are running: nobody waits for their answers any more."""
        for started in self.running.copy():
            kill_session(started)


def kill_session(leader: subprocess.Popen[str]) -> None:
    """Kill a process that was started with start_new_session, and the processes that it started."""
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def spell_config(hosts: tuple[Host, ...], alive_interval_s: int) -> str:
    """The text of an ssh configuration for these hosts. The user's and the system's own are included after it.

    ssh uses the first value it finds, so these settings win. Connections are not shared (ControlPath none): a shared
    one would keep the alive interval of whoever opened it.
    """
    lines = []
    for host in hosts:
        if address := host.address or (host.name if host.name != host.alias else ""):
            lines += [f"Host {host.alias}", f"  HostName {address.replace('%', '%%')}"]
            lines += [f"  Port {host.port}"] if host.port else []
        elif host.port:
            lines += [f"Host {host.alias}", f"  Port {host.port}"]
    lines += [
        "Host *",
        f"  ServerAliveInterval {alive_interval_s}",
        "  ServerAliveCountMax 3",
        f"  ConnectTimeout {2 * alive_interval_s}",
        "  BatchMode yes",
        "  ControlPath none",
        "  Include ~/.ssh/config",
        "  Include /etc/ssh/ssh_config",
    ]
    return "\n".join(lines) + "\n"


def is_local(host: Host) -> bool:
    """Is the host this machine: one of its names, or the address of one of its interfaces?

    With a port the address decides nothing: a tunnel to another host begins at an address of this machine.
    """
    if not host.address and host.name in ("localhost", socket.gethostname()):
        return True
    return not host.port and has_address(host.address or host.name)


def has_address(name: str) -> bool:
    """Can this machine bind to the address that a name resolves to?"""
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
                return True
        except OSError:
            continue
    return False
