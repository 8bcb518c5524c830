"""Hosts are checked, and horovodrun is started on them with what a person has set."""

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.launch.hosts.hosts_file import Host
from horovod_ocr.launch.hosts.report import Cell, CellState, DoctorReport, Row
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.launch.supervise import cluster
from horovod_ocr.launch.supervise.cluster import SshCluster, spell_train

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
    found = SshCluster(ssh, "it", TrainConfig(), launcher, [], said.append).check(NODES, NODES)
    assert found == {"node1": None, "node2": "cannot train: torch: old"}
    assert said == ["node1: disk: little"] and asked == [{"quick": True, "interfaces_given": True}]


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
