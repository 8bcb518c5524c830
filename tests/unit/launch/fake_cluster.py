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
from horovod_ocr.launch.supervise.record import take_up
from horovod_ocr.launch.supervise.supervisor import LaunchSpec, Supervisor
from horovod_ocr.run.state import JOB_VARIABLE

FAKE = str(Path(__file__).with_name("fake_horovodrun.py"))
NODES = (Host("node1"), Host("node2"), Host("node3"))


class FakeCluster(Clock):
    """Hosts that come and go, and a clock that runs fast.

    plan: what each attempt does (see fake_horovodrun.py); the last is repeated. away: host -> from when to when, in
    seconds of the clock, it does not answer.
    """

    def __init__(self, run: Path, *plan: str):
        self.run, self.plan, self.time_s = run, list(plan), 0.0
        self.away: dict[str, tuple[float, float]] = {}
        self.unfit: set[str] = set()
        self.started: list[tuple[str, list[str], bool]] = []
        self.cleared: list[tuple[list[str], str | None]] = []
        self.on_sleep: Callable[[], object] = lambda: None

    def start(self, job: str, hosts: Sequence[Host], resumes: bool) -> Job:
        self.started.append((job, [host.name for host in hosts], resumes))
        action = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        command = [sys.executable, "-S", FAKE, str(self.run), *action.split()]
        return Job(command, {**os.environ, JOB_VARIABLE: job}, hosts)

    def kill_leftovers(self, hosts: Sequence[Host], spared: str | None) -> Problems:
        self.cleared.append(([host.name for host in hosts], spared))
        absent = {name for name, (begin_s, end_s) in self.away.items() if begin_s <= self.time_s < end_s}
        return {host.name: "does not answer (no route)" if host.name in absent else None for host in hosts}

    def check(self, new: Sequence[Host], used: Sequence[Host]) -> Problems:
        return {host.name: "cannot train: torch: another" if host.name in self.unfit else None for host in new}

    def now_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds
        time.sleep(0.01)
        self.on_sleep()

    def supervisor(self, **options) -> Supervisor:
        spec = LaunchSpec(self.run, NODES, **{"np": 3, **options})
        record = take_up(self.run, ["--seed", "1"], 10.0)
        return Supervisor(spec, record, self, self)


def restarts_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "restarts.jsonl").read_text().splitlines()]
