"""Hosts for tests, on this machine: each has an address, a host name, processes and an sshd of its own.

A host is a set of Linux namespaces, and so is the switch that joins them. They are not part of this machine's own
network, so that names and addresses cannot collide. Files are shared, as on a cluster's file system, except /run and
/dev/shm. A keeper process holds each set, and ends it when its standard input closes: when the bed is closed, and also
when the test session is killed. The kernel then removes all processes, links and mounts.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.ranks.launch import environment

TUN = Path("/dev/net/tun")  # for delays
# What a link lets through at once after a pause. With less, a timer that is late costs speed; with more, small messages
# take no time.
BURST_S = 0.0005

NETWORK, NETWORK6 = "10.77.0", "fd77::"  # inside the switch only
SYSTEM_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])  # a user's PATH may lack ip and sshd

KEEPER = '"$@" & echo $!; read -r _; kill -9 $!; wait'
UNSHARE = ["unshare", "--fork", "--kill-child"]

SWITCH = "ip link add switch type bridge && ip link set switch up && echo ready && exec sleep infinity"

# PID 1 is sshd: it adopts orphans, and stays when everything else on its host is killed
HOST = """set -e
hostname "$1"
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mkdir /run/sshd
mount -t tmpfs tmpfs /dev/shm
mount --bind "$2/hosts" /etc/hosts
mount --bind "$2/ssh_config" /etc/ssh/ssh_config
mount --bind "$2/home/$1/passwd" /etc/passwd
ip link set lo up
# OpenSSH 9.8 and later locks a client out for a while after an aborted login, such as of a killed job
sshd=$(command -v sshd)
if "$sshd" -t -f "$2/sshd_config" -o PerSourcePenalties=no 2>/dev/null; then set -- "$@" -o PerSourcePenalties=no; fi
echo ready
log=$2/$1.log config=$2/sshd_config
shift 2
exec "$sshd" -D -e -f "$config" "$@" >>"$log" 2>&1
"""

SSHD_CONFIG = """HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
MaxStartups 100
Subsystem sftp internal-sftp
PidFile none
"""
SSH_CONFIG = """Host *
  IdentityFile {folder}/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
"""


def what_is_missing() -> str:
    """Why this machine cannot have a bed, as a reason to skip; "" if it can."""
    if os.geteuid() != 0:
        return "needs root"
    for program, package in (("ip", "iproute2"), ("sshd", "openssh-server"), ("ssh", "openssh-server")):
        if not shutil.which(program, path=SYSTEM_PATH):
            return f"needs {package}"
    namespaces = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True)
    return "needs root with the right to make namespaces" if namespaces.returncode else ""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


def bits_per_s(rate: str) -> float:
    """Of a rate as tc writes it, such as 2.5gbit."""
    return float(rate[:-4]) * {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}[rate[-4:]]


def pids_in(space: str) -> list[int]:
    """The processes in a namespace, such as net:[4026532000]."""
    found = []
    for link in Path("/proc").glob(f"[0-9]*/ns/{space.split(':')[0]}"):
        with suppress(OSError):  # it has ended
            if os.readlink(link) == space:
                found.append(int(link.parts[2]))
    return found


class Bed:
    """Hosts node1, node2, ... that reach each other by ssh without a password. A context that removes them at its end.

    folder: for keys and logs, empty or new.
    """

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.folder = folder
        self.hosts = tuple(f"node{number}" for number in range(1, count + 1))
        self.hosts_txt = folder / "hosts.txt"  # with one slot for each host
        self.keepers: dict[str, subprocess.Popen] = {}
        self.pids: dict[str, int] = {}  # of a process in each set of namespaces, and of delay lines
        self.cut_off: set[str] = set()
        self.shaped: set[str] = set()
        self.started: list[subprocess.Popen] = []

    def __enter__(self) -> "Bed":
        self.write_files()
        try:
            self.hold("switch", [*UNSHARE, "--net", "sh", "-c", SWITCH])
            for host in self.hosts:
                self.power_on(host)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        for name in list(self.keepers):
            self.release(name)
        self.forget_commands()

    def write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for key in ("key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key], check=True)
        names = "".join(f"{self.address(host)} {host}\n" for host in self.hosts)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{names}")
        (self.folder / "ssh_config").write_text(SSH_CONFIG.format(folder=self.folder))
        (self.folder / "sshd_config").write_text(SSHD_CONFIG.format(folder=self.folder))
        self.hosts_txt.write_text("".join(f"{host} slots=1\n" for host in self.hosts))
        for host in self.hosts:
            home = self.folder / "home" / host
            home.mkdir(parents=True)
            (home / "passwd").write_text(f"root:x:0:0:root:{home}:/bin/sh\n{self.others_in_passwd()}")

    @staticmethod
    def others_in_passwd() -> str:
        """This machine's users but for root, whose home and shell are the bed's own.

        What this machine's shell start-up files and SSH settings do at each login is not under test, and may be slow.
        """
        lines = Path("/etc/passwd").read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("root:"))

    def address(self, host: str) -> str:
        return f"{NETWORK}.{self.hosts.index(host) + 1}"

    def address6(self, host: str) -> str:
        return f"{NETWORK6}{self.hosts.index(host) + 1}"

    def card(self, host: str) -> str:
        """The hardware address of its network card; the same again after a reboot, so that others find it."""
        return f"02:00:00:00:00:{self.hosts.index(host) + 1:02x}"

    def hold(self, name: str, arguments: list) -> None:
        """Start a program, such as the first one in a set of namespaces, and wait until it is ready."""
        log = (self.folder / f"{name}.log").open("ab")
        keeper = subprocess.Popen(
            ["sh", "-c", KEEPER, "keeper", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
            env={**os.environ, "PATH": SYSTEM_PATH},
        )
        log.close()
        self.keepers[name], self.pids[name] = keeper, int(keeper.stdout.readline())
        if keeper.stdout.readline() != "ready\n":
            raise RuntimeError(f"{name} does not start: {(self.folder / f'{name}.log').read_text()}")

    def release(self, name: str) -> None:
        keeper = self.keepers.pop(name)
        del self.pids[name]
        keeper.stdin.close()
        keeper.wait()
        keeper.stdout.close()

    # ---- power and cables

    def power_on(self, host: str) -> None:
        """Start a host that is off, with its cable plugged in, and wait until it answers to ssh."""
        spaces = ["--net", "--uts", "--mount", "--ipc", "--pid", "--mount-proc"]
        self.hold(host, [*UNSHARE, *spaces, "sh", "-c", HOST, "sh", host, self.folder])
        peer = ["eth0", "address", self.card(host), "netns", str(self.pids[host])]
        self.on_switch("ip", "link", "add", f"to-{host}", "type", "veth", "peer", *peer)
        self.on_switch("ip", "link", "set", f"to-{host}", "master", "switch", "up")
        self.as_host(host, "ip", "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        if Path("/proc/net/if_inet6").exists():
            self.as_host(host, "ip", "address", "add", f"{self.address6(host)}/64", "dev", "eth0", "nodad")
        self.as_host(host, "ip", "link", "set", "eth0", "up")
        wait_until(lambda: self.exec(host, ["ssh", host, "true"]).returncode == 0, f"sshd of {host} answers")

    def power_off(self, host: str) -> None:
        """Pull the plug: all processes of the host are gone, without a message to anyone."""
        self.on_switch("ip", "link", "delete", f"to-{host}")  # first, so that the closing sockets send nothing
        self.cut_off.discard(host)
        self.shaped.discard(host)
        if f"delay-{host}" in self.keepers:
            self.release(f"delay-{host}")
        space = os.readlink(f"/proc/{self.pids[host]}/ns/pid_for_children")
        self.release(host)
        wait_until(lambda: not pids_in(space), f"all processes of {host} are gone")

    def reboot(self, host: str) -> None:
        self.power_off(host)
        self.power_on(host)

    def is_on(self, host: str) -> bool:
        return host in self.keepers

    def cut(self, host: str) -> None:
        """Unplug the host's network cable; its processes go on running."""
        self.on_switch("ip", "link", "set", f"to-{host}", "down")
        self.cut_off.add(host)

    def plug_in(self, host: str) -> None:
        """Plug the cable in again."""
        self.on_switch("ip", "link", "set", f"to-{host}", "up")
        self.cut_off.discard(host)

    def shape(self, host: str, rate: str, delay_ms: float = 0) -> None:
        """Let the host send and receive at a rate, such as "100mbit"; "" is without a limit.

        delay_ms: each packet that it sends arrives so much later.
        """
        cable, line = f"to-{host}", f"delay-{host}"
        # a queue of 50 ms: TCP in flight over up to 10 ms and back fits in several times over
        burst_bytes = max(bits_per_s(rate) / 8 * BURST_S, 4096) if rate else float("inf")
        queue = f"root tbf rate {rate} burst {burst_bytes:.0f} latency 50ms" if rate else "root noqueue"
        self.on_switch("tc", "qdisc", "replace", "dev", cable, *queue.split())
        self.as_host(host, "tc", "qdisc", "replace", "dev", "eth0", *queue.split())
        # of TCP's packets: a larger one than the burst would be cut to the MTU; a tenth is for headers
        self.as_host(host, "ip", "link", "set", "eth0", "gso_max_size", f"{min(0.9 * burst_bytes, 65536):.0f}")
        if line in self.keepers:
            self.on_switch("tc", "qdisc", "delete", "dev", cable, "ingress")
            self.release(line)
        self.shaped.discard(host)
        if rate or delay_ms:
            self.shaped.add(host)
        if delay_ms:
            self.lengthen(cable, self.card(host), line, delay_ms)

    def lengthen(self, cable: str, card: str, line: str, delay_ms: float) -> None:
        """Lead what the host sends through a delay line into the switch; what it receives takes the cable alone."""
        if not TUN.exists():
            raise RuntimeError(f"a delay needs {TUN}, which `modprobe tun` makes")
        program = [sys.executable, Path(__file__).with_name("delay_line.py"), line, delay_ms]
        self.hold(line, ["nsenter", f"--target={self.pids['switch']}", "--net", "--", *program])
        self.on_switch("bridge", "fdb", "replace", card, "dev", cable, "master", "static")
        one_way = "type bridge_slave learning off flood off mcast_flood off bcast_flood off"
        self.on_switch("ip", "link", "set", line, "master", "switch")
        self.on_switch("ip", "link", "set", line, *one_way.split())
        self.on_switch("ip", "link", "set", line, "txqueuelen", "10000", "up")  # no packet is lost while it sleeps
        every_packet = f"ingress protocol all u32 match u32 0 0 action mirred egress redirect dev {line}"
        self.on_switch("tc", "qdisc", "add", "dev", cable, "ingress")
        self.on_switch("tc", "filter", "add", "dev", cable, *every_packet.split())

    def recover(self) -> None:
        """Make all hosts as after __enter__: on, plugged in, at full speed, with sshd as their only process."""
        for host in self.hosts:
            if not self.is_on(host):
                self.power_on(host)
                continue
            self.as_host(host, "sh", "-c", "kill -9 -1 || true")  # all but PID 1 and the shell itself
            if host in self.cut_off:
                self.plug_in(host)
            if host in self.shaped:
                self.shape(host, "")
        self.forget_commands()

    def forget_commands(self) -> None:
        """Wait for all commands, which have been ended."""
        for process in self.started:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        self.started.clear()

    # ---- commands and processes

    def exec(self, host: str, command: list[str], input: str = "", timeout_s: float = 600, **where):
        """Run a command on a host, as from its own keyboard, so that it works without a cable. where: cwd, env.

        Returns what subprocess.run returns.
        """
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with self.start(host, command, **pipes, **where) as process:
            try:
                out, err = process.communicate(input, timeout=timeout_s)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def start(self, host: str, command: list[str], cwd: Path | None = None, env: dict | None = None, **options):
        """Start a command as `exec` does; a Popen to wait for and to read from. For signals see `processes`."""
        pid, cwd = self.pids[host], cwd or Path.cwd()
        enter = ["nsenter", f"--target={pid}", "--net", "--uts", "--mount", "--ipc"]
        enter += [f"--pid=/proc/{pid}/ns/pid_for_children", f"--wdns={cwd}", "--"]
        home = {"HOME": str(self.folder / "home" / host)}  # horovodrun caches there which hosts answered
        every = {**environment(), **home, **(env or {})}
        every["PATH"] += ":/usr/sbin:/sbin"
        process = subprocess.Popen([*enter, *map(str, command)], env=every, text=True, **options)
        self.started.append(process)
        return process

    def processes(self, host: str) -> dict[int, str]:
        """Pid, which this test may signal -> command line of the processes on a host, without those of its sshd."""
        if not self.is_on(host):
            return {}
        lines = {}
        for pid in pids_in(os.readlink(f"/proc/{self.pids[host]}/ns/pid_for_children")):
            with suppress(OSError):  # it has ended
                lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return {pid: line for pid, line in lines.items() if line and not line.startswith("sshd:")}

    def as_host(self, host: str, *command: str) -> None:
        done = self.exec(host, list(command), cwd=Path("/"))
        if done.returncode != 0:
            raise RuntimeError(f"{host}: {' '.join(command)}: {done.stderr}")

    def on_switch(self, *command: str) -> None:
        enter = ["nsenter", f"--target={self.pids['switch']}", "--net", "--"]
        subprocess.run([*enter, *command], check=True, env={**os.environ, "PATH": SYSTEM_PATH})
