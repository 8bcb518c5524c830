"""Hosts are checked, and horovodrun is started on them with what a person has set; a standby takes over if it can."""

import os
from pathlib import Path

import pytest

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.report import Cell, CellState, DoctorReport, Row
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.launch.supervise import cluster
from horovod_ocr.launch.supervise.cluster import SshCluster, spell_train
from horovod_ocr.launch.supervise.kill_leftovers import Cleared
from horovod_ocr.run.turn import TURN, TURN_VARIABLE

NODES = (Host("node1", 2), Host("node2"))


def test_remarks_on_hosts_go_into_the_log(monkeypatch, tmp_path):
    """Which goes on when the terminal is closed."""
    disk = Row("disk", (Cell("1 GB", CellState.WARNS, "little"), Cell("")))
    torch = Row("torch", (Cell(""), Cell("2.0", CellState.FAILS, "old")))
    asked, said = [], []

    def examine(hosts, config, **options):
        asked.append(options)
        return DoctorReport(("node1", "node2"), (disk, torch))

    monkeypatch.setattr(cluster, "examine", examine)
    ssh = Ssh(NODES, tmp_path / "ssh")
    launcher = ["--network-interfaces", "eth0"]
    found = SshCluster(ssh, tmp_path, "it", TrainConfig(), launcher, [], said.append).check(NODES, NODES)
    assert found == {"node1": None, "node2": "cannot train: torch: old"}
    assert said == ["node1: disk: little"] and asked == [{"quick": True, "launcher": ["--network-interfaces", "eth0"]}]


def test_what_a_person_set_for_the_gpus_goes_to_all_hosts(monkeypatch):
    """horovodrun does not send the first, and sets the second itself before the command."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib0")
    command = spell_train(NODES, [], ["--steps", "9"])
    assert command[command.index("env") :][:3] == ["env", "CUDA_VISIBLE_DEVICES=0,1", "NCCL_SOCKET_IFNAME=ib0"]
    monkeypatch.delenv("NCCL_SOCKET_IFNAME")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a3f")  # of this machine, as what a batch system sets here
    assert "env" not in spell_train(NODES, [], [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert "env" not in spell_train(NODES, [], [])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "env" not in spell_train(NODES, [], [])


@pytest.fixture
def waiting(monkeypatch, tmp_path):
    """A cluster whose jobs sleep, with a standby it/2 on NODES; the jobs of which a rank is alive on each host."""
    alive = {host.name: {"it/2"} for host in NODES}

    def kill_on_hosts(ssh, hosts, run_id, spared):
        return {host.name: Cleared(None, frozenset(alive[host.name] & set(spared))) for host in hosts}

    monkeypatch.setattr(cluster, "spell_train", lambda hosts, launcher, train: ["sleep", "600", *train][:2])
    monkeypatch.setattr(cluster, "kill_on_hosts", kill_on_hosts)
    found = SshCluster(Ssh(NODES, tmp_path / "ssh"), tmp_path, "it", TrainConfig(), [], [], print)
    found.prepare("it/2", NODES)
    standby = found.standby.job
    yield found, alive
    standby.end()


def test_a_standby_takes_over_on_its_hosts(waiting, tmp_path):
    hosts, _ = waiting
    standby = hosts.standby.job
    assert hosts.kill_leftovers(NODES, None) == {"node1": None, "node2": None}
    environment = Path(f"/proc/{standby.process.pid}/environ").read_bytes().decode().split("\0")
    assert f"{TURN_VARIABLE}={tmp_path}" in environment and not (tmp_path / TURN).exists()
    assert hosts.start("it/2", NODES, resumes=True) is standby and hosts.standby is None
    assert (tmp_path / TURN).read_text() == "it/2\n"


@pytest.mark.parametrize("why", ["a rank is gone", "horovodrun is gone", "other hosts", "no storage"])
def test_a_standby_that_cannot_take_over_is_ended(waiting, tmp_path, why):
    hosts, alive = waiting
    standby, wanted = hosts.standby.job, NODES
    if why == "a rank is gone":
        alive["node2"].clear()
    elif why == "horovodrun is gone":
        os.kill(standby.process.pid, 9)
        standby.process.wait()
    elif why == "other hosts":
        wanted = NODES[:1]
    else:
        hosts.run = tmp_path / "away"
    hosts.kill_leftovers(NODES, None)
    started = hosts.start("it/2", wanted, resumes=True)
    assert started is not standby and standby.poll() == -9 and hosts.standby is None
    assert started.poll() is None and not (tmp_path / TURN).exists()
    started.end()
