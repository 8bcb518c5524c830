"""Doctor asks three hosts through real ssh, and measures the bandwidth between them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts.bed import Bed, what_is_missing
from tests.ranks.launch import horovodrun

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-"),
    pytest.mark.skipif(not Path(horovodrun()).exists(), reason="needs Horovod: make setup builds it"),
]


@pytest.fixture
def work(bed, word_shards, tmp_path) -> Path:
    """A working folder with hosts.txt and the shards."""
    shutil.copytree(word_shards, tmp_path / "shards")
    shutil.copy(bed.hosts_txt, tmp_path / "hosts.txt")
    return tmp_path


def ask_doctor(bed: Bed, work: Path, *options: str) -> tuple[subprocess.CompletedProcess, dict[str, dict]]:
    """The result of doctor on node1, and its rows: fact -> host -> cell."""
    done = bed.exec("node1", [sys.executable, "-m", "horovod_ocr", "doctor", "--json", *options], cwd=work)
    report = json.loads(done.stdout)
    rows = {row["fact"]: dict(zip(report["hosts"], row["cells"], strict=True)) for row in report["rows"]}
    return done, rows | {"can_start": report["can_start"]}


def test_three_hosts_that_can_train(bed, work):
    done, rows = ask_doctor(bed, work)
    assert done.returncode == 0 and rows.pop("can_start"), done.stderr
    assert {cell["state"] for row in rows.values() for cell in row.values()} == {"ok"}
    assert rows["ssh"]["node1"]["text"] == "this machine" and rows["ssh"]["node2"]["text"] == "answers"
    assert {cell["text"] for cell in rows["network"].values()} == {"eth0"}
    assert {cell["text"] for cell in rows["first contact"].values()} == {"3 ranks, cpu"}
    speeds = {cell["text"] for cell in rows["bandwidth"].values()}
    assert len(speeds) == 1 and float(speeds.pop().removesuffix(" MB/s").replace(",", "")) > 0
    assert "gradients" in rows
    assert sorted(path.name for path in work.iterdir()) == ["hosts.txt", "shards"], "doctor leaves nothing behind"


def test_another_shard_set_and_a_cut_cable(bed, work):
    other = work / "other"
    shutil.copytree(work / "shards", other)
    index = json.loads((other / "index.json").read_text())
    (other / "index.json").write_text(json.dumps(index))  # as good as the first, but not the same bytes
    bed.as_host("node2", "mount", "--bind", str(other), str(work / "shards"))
    try:
        bed.cut("node3")
        done, rows = ask_doctor(bed, work, "-H", "hosts.txt")
    finally:
        bed.as_host("node2", "umount", str(work / "shards"))
    assert done.returncode == 4 and "node2, node3" in done.stderr and not rows.pop("can_start")
    assert rows["ssh"]["node3"]["state"] == "fails" and "its cable" in rows["ssh"]["node3"]["remark"]
    assert rows["shards"]["node2"]["state"] == "fails" and "than on node1" in rows["shards"]["node2"]["remark"]
    wrong = {(fact, host) for fact, row in rows.items() for host, cell in row.items() if cell["state"] == "fails"}
    assert wrong == {("ssh", "node3"), ("shards", "node2")}
    assert rows["python"]["node3"]["state"] == "unknown" and rows["python"]["node2"]["state"] == "ok"


def test_runs_of_its_own_an_interface_of_another_name_and_no_such_folder(bed, work):
    """Problems that would show hours later, or as an error of Horovod, are found without loading anything."""
    (work / "runs").mkdir()
    bed.as_host("node3", "mount", "-t", "tmpfs", "tmpfs", str(work / "runs"))
    bed.as_host("node2", "ip", "link", "set", "eth0", "down")
    bed.as_host("node2", "ip", "link", "set", "eth0", "name", "ens5")
    bed.as_host("node2", "ip", "link", "set", "ens5", "up")
    try:
        done, rows = ask_doctor(bed, work, "--quick", "--shards", "nowhere")
    finally:
        bed.as_host("node3", "umount", str(work / "runs"))
        bed.reboot("node2")
    assert done.returncode == 4 and not rows["can_start"]
    assert {host: cell["state"] for host, cell in rows["runs"].items()} == {
        "node1": "ok",
        "node2": "ok",
        "node3": "warns",
    }
    assert [cell["state"] for cell in rows["network"].values()] == ["ok", "fails", "ok"]
    assert "eth0" in rows["network"]["node2"]["remark"]
    assert {cell["state"] for cell in rows["shards"].values()} == {"fails"}
    assert "first contact" not in rows
