"""Storage that goes away, fills, or may only be read, under a training: it goes on or starts again, and loses nothing
beyond its last checkpoint."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from horovod_ocr.checkpoint.file import LAST, load_checkpoint
from horovod_ocr.launch.supervise.record import last_step
from horovod_ocr.run.folder import checkpoints_of, step_of
from horovod_ocr.run.state import read_state
from tests.fault.launched import (
    PATIENCE_S,
    PROGRAM,
    SMALL,
    Launched,
    Stuck,
    assert_each_sample_once_an_epoch,
    permit,
    reads_of,
    spell,
)
from tests.hosts.bed import wait_until, what_is_missing
from tests.ranks.launch import environment, horovodrun, steps_of_epoch

pytestmark = pytest.mark.fault
AWAY_S = 3  # that a wait is seen to last; longer than the pause before the second attempt to open a shard


@pytest.mark.hosts
@pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")
@pytest.mark.skipif(not shutil.which(horovodrun()), reason="needs Horovod: make setup builds it")
def test_a_run_s_folder_that_is_away_on_all_hosts_costs_no_checkpoint(bed, few_words, tmp_path):
    """It lies where every host mounts it. When too many checkpoints have found no place, launch waits for it."""
    server, mounted = tmp_path / "server", tmp_path / "mounted"
    server.mkdir()
    mounted.mkdir()

    def on_all_hosts(*command: str) -> None:
        for host in bed.hosts:
            bed.as_host(host, *command)

    on_all_hosts("mount", "--bind", str(server), str(mounted))
    steps = 2 * steps_of_epoch(few_words, global_batch=6)
    settings = {"shards": few_words, "steps": steps, "global_batch": 6, "save_every_steps": 3, "stall_timeout_s": 60}
    training = Launched(bed, tmp_path, runs=mounted, permitted=6, **settings)
    training.run = run = server / "it"  # as it is seen here
    training.wait_until(lambda: (run / LAST).exists() and read_state(run).step > 0, "a checkpoint")
    time.sleep(1)  # for launch to see that it trains
    on_all_hosts("umount", "--lazy", str(mounted))
    saved = load_checkpoint(run)["step"]
    training.permit(None)
    training.wait_for(r"launch: waits: \S+/mounted/it is not there")
    time.sleep(AWAY_S)
    on_all_hosts("mount", "--bind", str(server), str(mounted))
    training.wait_for_end(steps)

    assert list(mounted.iterdir()) == []  # nobody took the empty place for the folder
    said, (restart,) = training.said, training.restarts
    assert said.count("could not be written (its folder is away)") == 3 and "Traceback" not in said
    assert (restart["step"], restart["ranks"]) == (saved, 3)
    reason = r"exit code 3: \S+/it: the last 3 checkpoints could not be written; bring its folder back, .*; again"
    assert re.search(reason, said)
    assert_each_sample_once_an_epoch(training.history(), few_words, steps, global_batch=6)


class Disk:
    """A small file system of its own, and what can befall a folder on it."""

    def __init__(self, root: Path):
        self.root, self.ballast, self.empty = root, root / "ballast", root.with_name("empty")

    def fill(self) -> None:
        """As far as there is room now; a file that is removed later makes room again."""
        with suppress(OSError), self.ballast.open("ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def make_room(self) -> None:
        self.ballast.unlink()

    def forbid_writing(self, folder: Path) -> None:
        mount("--bind", folder, folder)
        mount("-o", "remount,bind,ro", folder)

    def take_away(self, folder: Path) -> None:
        """As a network folder: in its place lies an empty one."""
        self.empty.mkdir()
        mount("--bind", self.empty, folder)


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True)  # with all that is mounted in it


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    root = tmp_path / "disk"
    root.mkdir()
    small = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", root]
    if os.geteuid() != 0 or subprocess.run(small, capture_output=True).returncode != 0:
        pytest.skip("needs root (to mount a small disk)")
    yield Disk(root)
    unmount(root)


class Alone:
    """`train` of one rank, a checkpoint after each step. A context that ends it.

    It takes a step only while something is waited for, so that it does not end before.
    """

    def __init__(self, folder: Path, runs: Path, *options: str, **settings):
        self.folder, self.run, self.output = folder, runs / "it", folder / "output.txt"
        self.permit(0)
        command = [sys.executable, PROGRAM, "train", "--run", "it", *options]
        command += spell({**SMALL, "runs": runs, "global_batch": 6, "save_every_steps": 1, **settings})
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, env=environment())

    def __enter__(self) -> "Alone":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        return self.output.read_text()

    def permit(self, step: int | None) -> None:
        self.permitted = step
        permit(self.folder, step)

    def permit_next(self) -> None:
        """Let it take one step more if it waits for that."""
        waits_for = self.folder / "WAITS_FOR"
        if self.permitted is not None and waits_for.exists() and int(waits_for.read_text()) == self.permitted + 1:
            self.permit(self.permitted + 1)

    def wait_until(self, condition, what: str) -> None:
        def holds() -> bool:
            assert self.process.poll() is None, f"ended before: {what}\n{self.said[-5000:]}"
            self.permit_next()
            return condition()

        wait_until(holds, what, PATIENCE_S)

    def wait_for_end(self) -> int:
        """Let it take all steps, and return its exit code."""
        self.permit(None)
        return self.process.wait(PATIENCE_S)

    def wait_for_saves(self, count: int) -> None:
        before = last_step(self.run) or 0
        self.wait_until(lambda: (last_step(self.run) or 0) >= before + count, f"{count} checkpoints after {before}")

    def failed_saves(self, reason: str) -> int:
        return self.said.count(f"could not be written ({reason})")


def test_a_training_goes_on_while_its_folder_is_full_read_only_or_away(disk, few_words, tmp_path):
    with Alone(tmp_path, disk.root / "runs", shards=few_words, steps=60, most_failed_saves=1000) as training:
        run = training.run
        training.wait_for_saves(2)

        training.wait_until(lambda: disk.fill() or training.failed_saves("No space left on device"), "no room")
        saved = load_checkpoint(run)["step"]
        training.wait_until(lambda: training.failed_saves("No space left on device") >= 3, "still no room")
        assert load_checkpoint(run)["step"] == saved
        disk.make_room()
        training.wait_for_saves(2)

        disk.forbid_writing(run)
        training.wait_until(lambda: training.failed_saves("Read-only file system") >= 3, "may only be read")
        unmount(run)
        training.wait_for_saves(2)

        disk.take_away(run.parent)
        training.wait_until(lambda: training.failed_saves("its folder is away") >= 3, "away")
        unmount(run.parent)
        training.wait_for_saves(2)
        assert list(disk.empty.iterdir()) == []

        assert training.wait_for_end() == 0, training.said
    said = training.said
    assert "Traceback" not in said and "horovod-ocr:" not in said
    assert "3 times in a row; earlier checkpoints are kept, and training goes on; make room" in said
    assert "training goes on; make it writable" in said and "training goes on; bring its folder back" in said
    assert (read_state(run).state, load_checkpoint(run)["step"]) == ("finished", 60)
    assert [step_of(path) for path in checkpoints_of(run)][-3:] == [58, 59, 60]
    assert not list((run / "checkpoints").glob(".*"))
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(5, 61, 5))


def test_shards_that_are_away_for_a_while_are_waited_for(disk, few_words, tmp_path):
    """And not taken for lost: each sample is still read once."""
    shards = tmp_path / "shards"
    shutil.copytree(few_words, shards)
    steps = 2 * steps_of_epoch(shards, global_batch=6)
    with Alone(tmp_path, disk.root / "runs", shards=shards, steps=steps, lanes=2) as training:
        training.wait_for_saves(1)
        disk.take_away(shards)
        training.permit(None)
        stuck = Stuck(lambda: last_step(training.run))
        training.wait_until(lambda: stuck.for_s() > AWAY_S, "it waits")
        assert stuck.value < steps
        unmount(shards)
        assert training.wait_for_end() == 0, training.said
    assert "damaged" not in training.said and "Traceback" not in training.said
    assert_each_sample_once_an_epoch(reads_of(training.run, 1), few_words, steps, global_batch=6)


def test_a_disk_that_stays_full_ends_a_training_that_goes_on_from_its_last_checkpoint(disk, few_words, tmp_path):
    settings = {"shards": few_words, "steps": 12, "most_failed_saves": 3}
    with Alone(tmp_path, disk.root / "runs", **settings) as training:
        training.wait_for_saves(2)
        disk.fill()
        training.permit(None)
        while training.process.poll() is None:
            disk.fill()
            time.sleep(0.05)
    assert training.process.returncode == 3, training.said
    assert "runs/it: the last 3 checkpoints could not be written; make room, then go on with --resume" in training.said
    assert "Traceback" not in training.said
    saved = load_checkpoint(training.run)["step"]
    assert 2 <= saved < 12
    disk.make_room()
    with Alone(tmp_path, disk.root / "runs", "--resume", **settings) as training:
        assert training.wait_for_end() == 0, training.said
    assert f"steps {saved} to 12" in training.said
    assert load_checkpoint(training.run)["step"] == 12
