"""The facts of this machine: every one is found out, or says why not."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

from horovod_ocr import __version__
from horovod_ocr.data.image import Geometry
from horovod_ocr.launch.hosts import probe
from horovod_ocr.launch.hosts.probe import (
    Request,
    addresses_by_interface,
    answer_all,
    describe_runs,
    nearest_folder,
)
from sharding.format.index import read_index

FACTS = {
    "machine",
    "python",
    "torch",
    "horovod",
    "package",
    "gpus",
    "memory",
    "interfaces",
    "shards",
    "runs",
    "disk",
}


@pytest.mark.slow
def test_the_program_answers_in_one_line(word_shards, tmp_path):
    request = Request(str(word_shards), str(tmp_path / "runs"), loads=False)
    done = subprocess.run(probe.probe_command(), input=request.to_json(), capture_output=True, text=True, timeout=60)
    before = time.time()
    (line,) = done.stdout.splitlines()
    answers = json.loads(line)
    assert answers.keys() == FACTS | {"took_s", "clock"}
    assert answers["python"]["executable"] == sys.executable
    assert answers["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert answers["package"]["version"] == __version__
    index = read_index(word_shards)
    assert answers["shards"] == {"digest": index.digest, "train": index.counts.totals["train"]}
    assert answers["runs"] == {"sees_mark": None}
    assert answers["disk"]["free_bytes"] > 0 and answers["memory"]["free_bytes"] > 0
    assert 0 < answers["took_s"] and answers["clock"] <= before
    assert not (tmp_path / "runs").exists(), "asking makes no folder"


def test_a_host_counts_what_its_loader_workers_will_hand_over(word_shards, tmp_path):
    batch = {"height": 64, "pixels": "auto", "lanes": 48, "global_batch": 24, "world_size": 2}
    answers = answer_all(Request(str(word_shards), str(tmp_path), loads=False, batch=batch))
    index = read_index(word_shards)
    widest_px = max(Geometry(64, index.bucket_edges).width_px(shard.bucket) for shard in index.of("train"))
    assert 0 < answers["shards"]["batch_bytes"] <= 12 * 64 * widest_px + 2 * 4096
    assert answers["memory"]["shared_bytes"] == pytest.approx(shutil.disk_usage("/dev/shm").free, rel=0.5)


def test_folders_that_are_not_there(tmp_path):
    answers = answer_all(Request(str(tmp_path / "none"), str(tmp_path / "a/b/runs"), str(tmp_path / "c"), loads=False))
    assert "horovod-ocr shard" in answers["shards"]["why"]
    assert answers["runs"] == {"sees_mark": None}, "training makes the folder"
    assert answers["cache"]["free_bytes"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_missing_shard_is_said(word_shards, tmp_path):
    copy = tmp_path / "shards"
    copy.mkdir()
    (copy / "index.json").write_bytes((word_shards / "index.json").read_bytes())
    assert "train-000000" in answer_all(Request(str(copy), str(tmp_path), loads=False))["shards"]["why"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    why = answer_all(Request("none", str(file / "runs"), loads=False))["runs"]["why"]
    assert str(file) in why


def test_the_mark_tells_whether_the_folder_is_shared(tmp_path):
    (tmp_path / "mark").touch()
    assert describe_runs(str(tmp_path / "runs"), "mark") == {"sees_mark": True}
    assert describe_runs(str(tmp_path / "runs"), "other") == {"sees_mark": False}
    assert nearest_folder(str(tmp_path / "x/y")) == tmp_path


def test_a_fact_that_hangs_does_not_keep_the_others(tmp_path, monkeypatch):
    """The time is up when all other facts are there."""
    released, times = threading.Event(), iter([0.0])
    monkeypatch.setattr(probe, "describe_gpus", lambda: released.wait(60))

    def clock() -> float:
        if (start_s := next(times, None)) is not None:
            return start_s
        while {each.name for each in threading.enumerate() if each.name.startswith("probe ")} > {"probe gpus"}:
            time.sleep(0.01)
        return 1000.0

    answers = answer_all(Request("none", str(tmp_path), loads=False), clock)
    released.set()
    assert answers["gpus"] == {"why": "no answer within 45 s"}
    assert answers["memory"]["total_bytes"] > 0


def test_whatever_a_fact_raises_is_its_answer(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("odd")

    monkeypatch.setattr(probe, "describe_package", broken)
    answers = answer_all(Request("none", str(tmp_path), loads=False))
    assert answers["package"] == {"why": "odd"}
    assert answers["python"]["version"]


def test_a_crash_while_loading_is_told(monkeypatch):
    crash = [sys.executable, "-c", "import os; os.abort()"]
    monkeypatch.setattr(probe, "probe_command", lambda: crash)
    assert probe.load_build() == {"why": "loading torch and Horovod ended with code -6"}


def test_a_fact_of_a_package_that_is_not_installed(monkeypatch):
    def missing(name):
        raise probe.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(probe.importlib.metadata, "version", missing)
    answers = answer_all(Request("none", ".", loads=False))
    assert answers["horovod"] == {"why": "horovod is not in this environment"}


def test_loopback_is_no_way_to_others():
    for name, addresses in addresses_by_interface().items():
        assert name != "lo" and addresses


def test_gpus_as_nvidia_smi_lists_them(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 565.57'\necho 'NVIDIA H200, 565.57'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert probe.describe_gpus() == {"names": ["NVIDIA H200", "NVIDIA H200"], "driver": "565.57"}


def test_a_driver_that_does_not_answer(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert probe.describe_gpus() == {"why": "nvidia-smi: NVIDIA-SMI has failed"}
