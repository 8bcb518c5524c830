"""Three hosts that train, and a fourth that holds their shards and runs, which the others mount with sshfs; a training
under `launch` on them; and the faults that befall them."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.hosts.bed import Bed, wait_until, what_is_missing

PROGRAM = Path(__file__).with_name("faulty_run.py")
HOROVODRUN = f"{Path(sys.executable).with_name('horovodrun')} "
TRAINING, SERVER = 3, "node4"
LAUNCHER = "node1"  # it trains too
# hosts see each other's files at once; a cable that is out for less than 15 s breaks no connection
MOUNT_OPTIONS = "reconnect,dir_cache=no,ServerAliveInterval=5,ServerAliveCountMax=3,ConnectTimeout=5"
RESEND_MS = 1000  # TCP's longest pause between two attempts to send: a repaired connection goes on within this time
PATIENCE_S = 300


def what_hosts_miss() -> str:
    """Why this machine cannot have these hosts; "" if it can."""
    if missing := what_is_missing():
        return missing
    if not shutil.which("sshfs"):
        return "needs sshfs"
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "needs root with /dev/fuse"


class Cluster:
    """The hosts and the training. A context that removes the hosts at its end.

    folder: for all that the hosts share and write. settings: of `train`. step_s: the time of a step.
    """

    def __init__(self, folder: Path, shards: Path, settings: dict[str, object], step_s: float) -> None:
        self.folder, self.step_s = folder, step_s
        self.served, self.mounted, self.notes, self.project = (
            folder / name for name in ("served", "mounted", "notes", "project")
        )
        for path in (self.served, self.mounted, self.notes, self.project):
            path.mkdir(parents=True)
        shutil.copytree(shards, self.served / "shards")
        self.bed = Bed(folder / "bed", TRAINING + 1)
        self.hosts = self.bed.hosts[:TRAINING]
        self.run = self.served / "runs/it"  # as it is seen here
        hosts_txt = folder / "hosts.txt"
        hosts_txt.write_text("".join(f"{host} slots=1\n" for host in self.hosts))
        settings = {"shards": self.mounted / "shards", "runs": self.mounted / "runs", **settings}
        self.command = [sys.executable, PROGRAM, "launch", "-H", hosts_txt, "--run", "it"]
        self.command += ["--standby", "--network-interfaces", "eth0", "--max-restarts", "1000"]
        self.command += [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        self.lines: list[tuple[float, str]] = []  # what `launch` said, and when
        self.launches = 0

    def __enter__(self) -> "Cluster":
        self.bed.__enter__()
        try:
            for host in self.hosts:
                self.mount(host)
        except BaseException:
            self.bed.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.bed.close()

    def mount(self, host: str) -> None:
        self.bed.as_host(host, "sysctl", "-q", "-w", f"net.ipv4.tcp_rto_max_ms={RESEND_MS}")
        where = [f"{SERVER}:{self.served}", str(self.mounted)]
        self.bed.as_host(host, "sshfs", *where, "-o", MOUNT_OPTIONS)

    def power_on(self, host: str) -> None:
        self.bed.power_on(host)
        self.mount(host)

    def launch(self) -> None:
        """Start the command, or start it again."""
        self.launches += 1
        more = {"NOTES": str(self.notes), "STEP_S": str(self.step_s)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.job = self.bed.start(LAUNCHER, self.command, self.project, more, **pipes)
        threading.Thread(target=self.listen, args=(self.job,), daemon=True).start()

    def listen(self, job: subprocess.Popen) -> None:
        for line in job.stdout:
            self.lines.append((time.time(), line))
            if line.startswith("launch: "):
                print(line, end="", file=sys.stderr)

    def has_finished(self) -> bool:
        """Has the run taken all its steps? If `launch` has ended before, as its host did, it is started again."""
        if self.job.poll() is None:
            return False
        if self.job.returncode == 0:
            return True
        if self.bed.is_on(LAUNCHER):
            self.launch()
        return False

    def find(self, host: str, program: str) -> int | None:
        """The process on a host that runs this Python program, if any."""
        for pid, line in self.bed.processes(host).items():
            if line.partition(" ")[2].startswith(program):  # the first word is the interpreter
                return pid
        return None

    def wait_to_find(self, host: str, program: str) -> int:
        wait_until(lambda: self.has_finished() or self.find(host, program), f"{program} on {host}", PATIENCE_S)
        return self.find(host, program)


class Fault(NamedTuple):
    """What befalls the hosts once, and is repaired."""

    at_s: float
    """When, in seconds after the first step."""
    kind: str
    """One of KINDS."""
    host: str
    """Where."""
    lasts_s: float
    """How long until the repair."""


# kind -> the longest time until its repair, None if there is nothing to repair
KINDS: dict[str, float | None] = {
    "rank killed": None,
    "horovodrun killed": None,
    "rank stopped": 10.0,  # beyond stall_timeout_s too
    "host cut off": 5.0,
    "host without power": 5.0,
    "storage cut off": 5.0,
}
SHORTEST_S = 1.0


def draw_faults(count: int, period_s: float, seed: int) -> list[Fault]:
    """One fault in the first half of each period. Each kind comes once before any comes again."""
    rng = random.Random(seed)
    kinds = [kind for _ in range(-(-count // len(KINDS))) for kind in rng.sample(list(KINDS), len(KINDS))]
    faults = []
    for number, kind in enumerate(kinds[:count]):
        at_s = (number + rng.random() / 2) * period_s
        host = {"storage cut off": SERVER, "horovodrun killed": LAUNCHER}.get(kind, f"node{rng.randint(1, TRAINING)}")
        longest_s = KINDS[kind]
        faults.append(Fault(at_s, kind, host, rng.uniform(SHORTEST_S, longest_s) if longest_s else 0.0))
    return faults


def strike(cluster: Cluster, fault: Fault) -> float:
    """Let a fault happen, and repair it; when it happened, in seconds since 1970."""
    bed, host = cluster.bed, fault.host
    if "host" in fault.kind or "storage" in fault.kind:
        at_s = time.time()
        hurt, repair = (bed.cut, bed.plug_in) if "cut" in fault.kind else (bed.power_off, cluster.power_on)
        hurt(host)
        time.sleep(fault.lasts_s)
        repair(host)
        return at_s
    pid = cluster.wait_to_find(host, HOROVODRUN if "horovodrun" in fault.kind else f"{PROGRAM} train ")
    at_s = time.time()
    os.kill(pid, signal.SIGSTOP if "stopped" in fault.kind else signal.SIGKILL)
    time.sleep(fault.lasts_s)
    with suppress(ProcessLookupError):  # launch has ended it
        os.kill(pid, signal.SIGCONT)
    return at_s
