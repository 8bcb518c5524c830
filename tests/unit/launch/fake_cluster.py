"""Stands in for hosts and for time."""

import json
import os
import sys
import time
from pathlib import Path

from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.launch.supervise.record import take_up
from horovod_ocr.launch.supervise.supervisor import LaunchSpec, Supervisor
from horovod_ocr.run.state import JOB_VARIABLE

FAKE = str(Path(__file__).with_name("fake_horovodrun.py"))
NODES = (Host("node1"), Host("node2"), Host("node3"))


class FakeCluster:
    """Hosts that come and go, a clock that runs fast, and a plan: what each attempt does, the last again and again.

    away: host -> from when to when (s on the clock) it does not answer.
    """

    def __init__(self, run: Path, *plan: str):
        self.run, self.plan, self.now_s = run, list(plan), 0.0
        self.away: dict[str, tuple[float, float]] = {}
        self.unfit: set[str] = set()
        self.started: list[tuple[str, list[str], bool]] = []
        self.cleared: list[tuple[list[str], str]] = []
        self.on_sleep = lambda: None

    def start(self, job: str, hosts: tuple[Host, ...], resumes: bool) -> Job:
        self.started.append((job, [host.name for host in hosts], resumes))
        action = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        command = [sys.executable, "-S", FAKE, str(self.run), *action.split()]
        return Job(command, {**os.environ, JOB_VARIABLE: job}, hosts)

    def clear(self, hosts: tuple[Host, ...], spared: str) -> dict[str, str]:
        self.cleared.append(([host.name for host in hosts], spared))
        absent = {name for name, (begin_s, end_s) in self.away.items() if begin_s <= self.now_s < end_s}
        return {host.name: "does not answer (no route)" if host.name in absent else "" for host in hosts}

    def check(self, new: tuple[Host, ...], used: tuple[Host, ...]) -> dict[str, str]:
        return {host.name: "cannot train: torch: another" if host.name in self.unfit else "" for host in new}

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        time.sleep(0.01)
        self.on_sleep()

    def supervisor(self, **wishes) -> Supervisor:
        wish = LaunchSpec(self.run, NODES, **{"np": 3, **wishes})
        record = take_up(self.run, ["--seed", "1"], 10.0)
        return Supervisor(wish, record, self.start, self.clear, self.check, lambda: self.now_s, self.sleep)


def restarts_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "restarts.jsonl").read_text().splitlines()]
