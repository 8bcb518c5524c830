"""The hosts as a supervisor uses them: it starts jobs there, kills what is left of jobs, and checks the hosts.

With a standby, the next job is there before the last one ends: its ranks have imported everything, which takes most of
the time of a start, and wait for their turn (`run/turn.py`).
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.launch.hosts.doctor import examine
from horovod_ocr.launch.hosts.horovodrun import spell_horovodrun
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.report import CellState
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.launch.supervise.kill_leftovers import kill_on_hosts
from horovod_ocr.run.state import JOB_VARIABLE
from horovod_ocr.run.turn import TURN_VARIABLE, give_turn

Problems = dict[str, str | None]  # host -> why it cannot be used now, None if it can


class Cluster(Protocol):
    """What a supervisor needs."""

    def start(self, job: str, hosts: Sequence[Host], resumes: bool) -> Job:
        """Start horovodrun on these hosts. job: the JOB_VARIABLE of its ranks."""

    def prepare(self, job: str, hosts: Sequence[Host]) -> None:
        """Start the standby: a job that resumes on these hosts, and waits until `start` is called for it."""

    def end_standby(self) -> None:
        """Give up the standby, if there is one. What is left of it on other hosts needs `kill_leftovers`."""

    def kill_leftovers(self, hosts: Sequence[Host], spared: str | None) -> Problems:
        """Kill what is left of the run on these hosts, except the job `spared` and the standby."""

    def check(self, new: Sequence[Host], used: Sequence[Host]) -> Problems:
        """Can the new hosts train with the used ones, which include them?"""


class Standby(NamedTuple):
    """A job that waits for its turn."""

    name: str
    """The JOB_VARIABLE of its ranks."""
    hosts: tuple[Host, ...]
    """Where it waits."""
    job: Job
    """Its horovodrun."""
    is_whole: bool = True
    """False: one of its ranks is gone, as far as is known."""


@dataclass
class SshCluster:
    """The hosts of hosts.txt."""

    ssh: Ssh
    """It knows every host of hosts.txt."""
    run: Path
    """The folder of the run."""
    run_id: str
    """Begins the JOB_VARIABLE of all jobs of the run, so what is left of them is found by it."""
    config: TrainConfig
    """The settings that hosts are examined for."""
    launcher: list[str]
    """Options of horovodrun."""
    train: list[str]
    """Options of `train`, without --resume."""
    say: Callable[[str], None]
    """Called with each remark on a host that can train."""
    standby: Standby | None = None
    """The job that waits, if any."""

    def start(self, job: str, hosts: Sequence[Host], resumes: bool) -> Job:
        if self.standby and self.takes_over(self.standby, job, hosts):
            started, self.standby = self.standby.job, None
            return started
        if self.standby:
            self.end_standby()
            self.kill_leftovers(hosts, None)
        command = spell_train(hosts, self.launcher, [*self.train, *(["--resume"] if resumes else [])])
        return Job(command, self.ssh.environment() | {JOB_VARIABLE: job}, hosts)

    def takes_over(self, standby: Standby, job: str, hosts: Sequence[Host]) -> bool:
        """Let the standby begin, if it is this job on these hosts, and all of it waits for that."""
        if (standby.name, standby.hosts) != (job, tuple(hosts)) or not standby.is_whole:
            return False
        try:
            give_turn(self.run, job)
        except OSError:
            return False
        return True

    def prepare(self, job: str, hosts: Sequence[Host]) -> None:
        waits = {JOB_VARIABLE: job, TURN_VARIABLE: str(self.run.absolute())}
        command = spell_train(hosts, self.launcher, [*self.train, "--resume"])
        self.standby = Standby(job, tuple(hosts), Job(command, self.ssh.environment() | waits, hosts))

    def end_standby(self) -> None:
        if self.standby:
            self.standby.job.end()
            self.standby = None

    def kill_leftovers(self, hosts: Sequence[Host], spared: str | None) -> Problems:
        jobs = [spared, self.standby.name if self.standby else None]
        found = kill_on_hosts(self.ssh, hosts, self.run_id, [job for job in jobs if job])
        if standby := self.standby:
            waits = all(standby.name in found[host.name].running for host in standby.hosts if host.name in found)
            self.standby = standby._replace(is_whole=standby.is_whole and waits and standby.job.poll() is None)
        return {name: host.problem for name, host in found.items()}

    def check(self, new: Sequence[Host], used: Sequence[Host]) -> Problems:
        """By the doctor's quick examination of all hosts in use."""
        report = examine(used, self.config, quick=True, launcher=self.launcher)
        for host in new:
            for remark in report.remarks(host.name, CellState.WARNS):
                self.say(f"{host.name}: {remark}")
        failing = {host.name: "; ".join(report.remarks(host.name, CellState.FAILS)) for host in new}
        return {name: None if name in report.fit_hosts else f"cannot train: {why}" for name, why in failing.items()}


def spell_train(hosts: Sequence[Host], launcher: list[str], train: list[str]) -> list[str]:
    """The command that starts `train` on these hosts, with this interpreter. launcher: options of horovodrun."""
    return spell_horovodrun(hosts, [sys.executable, "-m", "horovod_ocr", "train", *train], launcher)
