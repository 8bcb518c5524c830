"""Checkpoints when the process is killed, the disk is full, the folder cannot be written or is away for a while."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint, read_checkpoint
from horovod_ocr.checkpoint.saver import Saver
from horovod_ocr.errors import CheckpointError
from horovod_ocr.run.folder import checkpoints_of, pointed_to
from tests.unit.checkpoint.payload import tiny_payload

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[2]
# Children of a process that has imported torch once save without end, and are killed. Each goes on from LAST, and saves
# that step again first, as a run does that was asked to stop twice. One line for each: what LAST named and held.
KILLED = """
import json, os, signal, sys, time
from pathlib import Path
from random import Random
import torch
from horovod_ocr.checkpoint import file as checkpoint
from horovod_ocr.run import folder
from horovod_ocr.checkpoint.saver import Saver
from tests.unit.checkpoint.payload import tiny_payload
run, mode, lives, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(1)
payload = tiny_payload(size=500_000 if mode == "moment" else 3)

def last():
    path = folder.pointed_to(run, "LAST")
    return checkpoint.read_checkpoint(path) if path else None

def save_on(first, told, most=10**6):
    saver = Saver(run, 2, 2)
    os.write(told, b"began\\n")
    for step in range(first, first + most):
        saver.save(step, {**payload, "epoch": step / 4}, step % 3 == 0)
        saver.wait()
        os.write(told, b"%d\\n" % step)

def count_calls(fatal):
    os.fsync = os.fstat  # no one pulls the plug
    calls = 0
    def counted(function):
        def call(*args, **options):
            nonlocal calls
            calls += 1
            if calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)
        return call
    for name in ("replace", "fsync", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    Path.unlink = counted(Path.unlink)
    checkpoint.HashedFile.write = counted(checkpoint.HashedFile.write)

Saver(run, 2, 2).write(1, payload, False, None)
number, ended = 0, False
while not ended:
    number += 1
    before = last()["step"]
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        if mode == "call":
            count_calls(number)
        save_on(before, told, 2 if mode == "call" else 10**6)
        os._exit(0)
    os.close(told)
    said = b""
    if mode == "moment":
        said = os.read(heard, 6)
        while number == lives and said.count(b"\\n") < 3:  # the last one is killed behind its second save at least
            said += os.read(heard, 99)
        time.sleep(Random(f"{seed} {number}").uniform(0.005, 0.2))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    saved = [int(word) for word in (said + os.read(heard, 10**6)).split() if word != b"began"]
    now = last()
    print(json.dumps({"saved": max(saved, default=before), "last": now["step"], "status": status}), flush=True)
    if status not in (0, signal.SIGKILL):
        sys.exit(f"a child ended with {status} by itself")
    ended = number == lives if mode == "moment" else status == 0
"""


@pytest.mark.parametrize("mode", ["moment", "call"], ids=["at random moments", "at each call that writes"])
def test_last_always_loads_when_the_process_is_killed(tmp_path, mode, draw, repeats):
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "run"), mode, str(repeats), str(draw.random())],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    lives = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(lives) == repeats if mode == "moment" else len(lives) > 30
    assert all(life["saved"] <= life["last"] <= life["saved"] + 1 for life in lives), lives
    assert all(life["status"] == 9 for life in lives[: -1 if mode == "call" else None])
    assert lives[-1]["last"] > 1
    saver = Saver(tmp_path / "run", 2, 0)
    saver.save(10**6, tiny_payload(), is_best=False)
    saver.close()
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))  # what the killed ones left is gone


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system of its own on a folder; skips where this may not be."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode != 0:
        pytest.skip("needs root (to mount a small disk)")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def save(saver: Saver, step: int, size: int = 3) -> int:
    """Failures in a row after a save of about 12 * size bytes."""
    saver.save(step, tiny_payload(step, epoch=step / 4, size=size), is_best=False)
    saver.wait()
    return saver.failures


def last_step(run: Path) -> int:
    return read_checkpoint(pointed_to(run, LAST))["step"]


def test_a_full_disk_keeps_what_is_there_and_more_room_is_used(tmp_path, capsys):
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        run = disk / "run"
        saver = Saver(run, 3, 0)
        assert save(saver, 1) == 0
        names = sorted(run.rglob("*"))
        assert [save(saver, step, size=200_000) for step in (2, 3)] == [1, 2]
        said = capsys.readouterr().err
        assert said.count("could not be written (No space left on device)") == 2 and "Traceback" not in said
        assert (
            last_step(run) == 1 and sorted(run.rglob("*")) == names
        )  # nothing half written takes the room that is left
        with pytest.raises(CheckpointError, match="the last 2 checkpoints could not be written; make room"):
            saver.close()
        remount(disk, "size=16m")
        assert save(saver, 4, size=200_000) == 0
        saver.close()
        assert last_step(run) == 4


def test_a_disk_that_fills_at_any_place(tmp_path):
    """Also where only the digest, or a pointer, finds no room."""
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        saver = Saver(disk / "run", 1, 0)
        assert save(saver, 1) == 0
        names, outcomes = sorted((disk / "run").rglob("*")), []
        for step in range(2, 30):
            free = os.statvfs(disk).f_bavail * 4096
            with open(disk / "ballast", "wb") as ballast:
                ballast.write(bytes(max(0, free - (step - 2) * 4096)))
            outcomes.append(save(saver, step) == 0)
            (disk / "ballast").unlink()
            assert load_checkpoint(disk / "run")["step"] == (last := last_step(disk / "run"))
            assert (last == step) == outcomes[-1]
            if outcomes[-1]:
                break
            assert sorted((disk / "run").rglob("*")) == names  # nothing takes the room that is left
        assert len(outcomes) > 4 and outcomes[-1]


def test_a_folder_that_may_only_be_read(tmp_path, capsys):
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "tmpfs"):
        saver = Saver(disk / "run", 3, 0)
        assert save(saver, 1) == 0
        remount(disk, "ro")
        assert save(saver, 2) == 1 and last_step(disk / "run") == 1
        assert "checkpoint of step 2 could not be written (Read-only file system)" in capsys.readouterr().err
        with pytest.raises(CheckpointError, match=r"cannot be written \(Read-only file system\); make it writable, or"):
            Saver(disk / "run", 3, 0)
        remount(disk, "rw")
        assert save(saver, 3) == 0 and last_step(disk / "run") == 3


def test_a_folder_that_is_away_for_a_while(tmp_path, capsys):
    """As a network folder: where it was mounted lies an empty folder, into which nothing may be written."""
    real, disk = tmp_path / "real", tmp_path / "disk"
    real.mkdir()
    with mounted(disk, "--bind", str(real)):
        saver = Saver(disk / "run", 3, 0)
        assert save(saver, 1) == 0
    assert [save(saver, step) for step in (2, 3)] == [1, 2]
    assert list(disk.iterdir()) == []
    assert "checkpoint of step 3 could not be written (its folder is away), 2 times in a row" in capsys.readouterr().err
    with mounted(disk, "--bind", str(real)):
        assert save(saver, 4) == 0
        saver.close()
        assert [int(path.stem[5:]) for path in checkpoints_of(disk / "run")] == [1, 4]
