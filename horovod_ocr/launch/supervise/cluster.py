"""The hosts as a supervisor uses them: it starts jobs there, kills what is left of jobs, and checks the hosts."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.launch.hosts.doctor import examine
from horovod_ocr.launch.hosts.horovodrun import spell_horovodrun
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.report import CellState
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.launch.supervise.job import Job
from horovod_ocr.launch.supervise.kill_leftovers import kill_on_hosts
from horovod_ocr.run.state import JOB_VARIABLE

Problems = dict[str, str | None]  # host -> why it cannot be used now, None if it can


class Cluster(Protocol):
    """What a supervisor needs."""

    def start(self, job: str, hosts: Sequence[Host], resumes: bool) -> Job:
        """Start horovodrun on these hosts. job: the JOB_VARIABLE of its ranks."""

    def kill_leftovers(self, hosts: Sequence[Host], spared: str | None) -> Problems:
        """Kill what is left of the run on these hosts, except the job `spared`."""

    def check(self, new: Sequence[Host], used: Sequence[Host]) -> Problems:
        """Can the new hosts train with the used ones, which include them?"""


@dataclass(frozen=True)
class SshCluster:
    """The hosts of hosts.txt."""

    ssh: Ssh
    """It knows every host of hosts.txt."""
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

    def start(self, job: str, hosts: Sequence[Host], resumes: bool) -> Job:
        command = spell_train(hosts, self.launcher, [*self.train, *(["--resume"] if resumes else [])])
        return Job(command, self.ssh.environment() | {JOB_VARIABLE: job}, hosts)

    def kill_leftovers(self, hosts: Sequence[Host], spared: str | None) -> Problems:
        return kill_on_hosts(self.ssh, hosts, self.run_id, spared)

    def check(self, new: Sequence[Host], used: Sequence[Host]) -> Problems:
        """By the doctor's quick examination of all hosts in use."""
        interfaces_given = "--network-interfaces" in self.launcher
        report = examine(used, self.config, quick=True, interfaces_given=interfaces_given)
        for host in new:
            for remark in report.remarks(host.name, CellState.WARNS):
                self.say(f"{host.name}: {remark}")
        failing = {host.name: "; ".join(report.remarks(host.name, CellState.FAILS)) for host in new}
        return {name: None if name in report.fit_hosts else f"cannot train: {why}" for name, why in failing.items()}


def spell_train(hosts: Sequence[Host], launcher: list[str], train: list[str]) -> list[str]:
    """The command that starts `train` on these hosts, with this interpreter. launcher: options of horovodrun."""
    return spell_horovodrun(hosts, [sys.executable, "-m", "horovod_ocr", "train", *train], launcher)
