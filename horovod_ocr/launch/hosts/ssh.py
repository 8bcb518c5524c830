"""Commands on other hosts: through ssh, under a configuration made of hosts.txt."""

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

FAILED = 255  # ssh's own exit code: the host does not answer, does not let us in, or went away
TIMED_OUT = 124  # as timeout(1) has it
NOT_FOUND = 127  # as a shell has it
CARRIED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")  # a shell over ssh reads no profile; horovodrun carries them too


def visible_gpus() -> list[str]:
    """CUDA_VISIBLE_DEVICES=VALUE, if a person has set it to what means the same on every host: numbers."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    is_for_all = value is not None and re.fullmatch(r"[-\d, ]*", value) and "SLURM_JOB_ID" not in os.environ
    return [f"CUDA_VISIBLE_DEVICES={value}"] if is_for_all else []


class Answer(NamedTuple):
    """code: the command's exit code (negative: ended by that signal), or FAILED, TIMED_OUT, NOT_FOUND."""

    code: int
    out: str
    err: str


class Ssh:
    """Reaches hosts where hosts.txt says, and notices within `alive_interval_s` times 3 when one is cut off.

    Writes into `folder` an ssh configuration and a program `ssh` that runs the real one with it: with the folder first
    on PATH, what horovodrun starts by ssh goes the same way. ClusterError where a host needs ssh and there is none.
    """

    def __init__(self, hosts: tuple[Host, ...], folder: Path, alive_interval_s: int = 5) -> None:
        self.folder = folder.absolute()
        self.running: set[subprocess.Popen] = set()  # of all threads
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
        """This process's environment, where `ssh` is ours."""
        return {**os.environ, "PATH": os.pathsep.join([str(self.folder), *os.get_exec_path()])}

    def run(self, host: Host, command: list[str], input: str = "", timeout_s: float = 60.0) -> Answer:
        """Run a command on a host, in the current working folder's path there; `input` goes to its standard input.

        A command over ssh that takes longer than timeout_s loses its connection, but is not ended on the other host.
        In a session of its own: what a terminal sends to us would make a host that is well look as if it were not.
        """
        if not is_local(host):
            carried = [f"{name}={os.environ[name]}" for name in CARRIED if name in os.environ]
            carried += ["PYTHONUTF8=1", *visible_gpus()]  # UTF-8: names of files, whatever the locale is there
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
        """End the commands that run, where their answers are not waited for any more."""
        for started in self.running.copy():
            kill_session(started)


def kill_session(leader: subprocess.Popen) -> None:
    """What a process started with start_new_session has started, and itself."""
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def spell_config(hosts: tuple[Host, ...], alive_interval_s: int) -> str:
    """ssh takes the first value it finds, so what stands here goes before the user's and the system's own.

    No shared connection (ControlPath): it would be kept alive by the settings of whoever opened it.
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
    """True where the host is this machine: one of its names, or an address that one of its interfaces has.

    With a port, an address alone says nothing: a tunnel to another host ends on this machine's own.
    """
    if not host.address and host.name in ("localhost", socket.gethostname()):
        return True
    return not host.port and has_address(host.address or host.name)


def has_address(name: str) -> bool:
    """True where this machine can bind to the address that a name stands for."""
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
