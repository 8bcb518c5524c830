"""A cluster and a clock for tests of the supervisor."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.supervise.clock import Clock
from horovod_ocr.launch.supervise.cluster import Problems
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.launch.supervise.record import open_record
from horovod_ocr.launch.supervise.supervisor import LaunchSpec, Supervisor
from horovod_ocr.run.state import JOB_VARIABLE

FAKE = str(Path(__file__).with_name("fake_horovodrun.py"))
NODES = (Host("node1"), Host("node2"), Host("node3"))


class FakeCluster(Clock):
    """Hosts that come and go, and a clock that runs fast, but not while a job is about to do something.

    So no test depends on how fast a job starts, reacts or ends. plan: what each attempt does (see fake_horovodrun.py);
    the last is repeated. away: host -> from when to when, in seconds of the clock, it does not answer; the first start
    takes the first second.
    """

    def __init__(self, run: Path, *plan: str):
        self.run, self.plan, self.time_s = run, list(plan), 0.0
        self.away: dict[str, tuple[float, float]] = {}
        self.unfit: set[str] = set()
        self.started: list[tuple[str, list[str], bool]] = []
        self.cleared: list[tuple[list[str], str | None]] = []
        self.on_sleep: Callable[[], object] = lambda: None
        self.job: Job | None = None
        self.prepared: list[tuple[str, list[str]]] = []
        self.has_standby = False
        self.action = ""

    def start(self, job: str, hosts: Sequence[Host], resumes: bool) -> Job:
        self.started.append((job, [host.name for host in hosts], resumes))
        self.action = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        for name in ("REQUEST", "WAITS"):
            (self.run / name).unlink(missing_ok=True)  # of the attempt before
        command = [sys.executable, "-S", FAKE, str(self.run), *self.action.split()]
        self.job = Job(command, {**os.environ, JOB_VARIABLE: job}, hosts)
        self.time_s += 1.0
        return self.job

    def prepare(self, job: str, hosts: Sequence[Host]) -> None:
        self.prepared.append((job, [host.name for host in hosts]))
        self.has_standby = True

    def end_standby(self) -> None:
        self.has_standby = False

    @property
    def is_time_frozen(self) -> bool:
        """Is the job about to do something: its first lines, an answer to a request, its end?"""
        if self.job is None or self.job.poll() is not None:
            return False
        awaited = {"train": "REQUEST", "fill": "REQUEST", "validate": "VALIDATED"}.get(self.action)
        has_come = awaited is not None and (self.run / awaited).exists()
        is_heard = self.action != "hang" or self.job.output.stalled is not None
        return has_come or not (is_heard and (self.run / "WAITS").exists())

    def kill_leftovers(self, hosts: Sequence[Host], spared: str | None) -> Problems:
        self.cleared.append(([host.name for host in hosts], spared))
        absent = {name for name, (begin_s, end_s) in self.away.items() if begin_s <= self.time_s < end_s}
        return {host.name: "does not answer (no route)" if host.name in absent else None for host in hosts}

    def check(self, new: Sequence[Host], used: Sequence[Host]) -> Problems:
        return {host.name: "cannot train: torch: another" if host.name in self.unfit else None for host in new}

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        if not self.is_time_frozen:
            self.time_s += seconds
        time.sleep(0.01)
        self.on_sleep()

    def supervisor(self, **options) -> Supervisor:
        spec = LaunchSpec(self.run, NODES, **{"np": 3, **options})
        record = open_record(self.run, ["--seed", "1"], 10.0)
        return Supervisor(spec, record, self, self)


def restarts_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "restarts.jsonl").read_text().splitlines()]
