"""The sharder is killed in the middle, again and again: the same command goes on, and the bytes are those of a quiet
build."""

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from sharding.build import ShardOptions, build_shards
from sharding.index import check_shards_present, read_index

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[2]
IMAGES, SAMPLES_PER_SHARD = 1500, 25
COMMAND = f"""
import sys
from pathlib import Path
from sharding.build import ShardOptions, build_shards
build_shards(ShardOptions(src=Path(sys.argv[1]), out=Path(sys.argv[2]), workers=2,
samples_per_shard={SAMPLES_PER_SHARD}))
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = []
    for number in range(IMAGES):
        image = Image.new("L", (64 + number % 3 * 40, 64), number % 256)
        image.putpixel((0, 0), number // 256)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        (folder / f"{number:04d}.png").write_bytes(buffer.getvalue())
        lines.append(f"{number:04d}.png\t{'ابپتٹ'[number % 5]}{'رزسش'[number % 4]}{'ن' * (number % 3)}\n")
    (folder / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def set_bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def start(raw: Path, out: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", COMMAND, str(raw), str(out)]
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)


def wait_for_tars(out: Path, wanted: int, process: subprocess.Popen) -> None:
    """Until so many tars lie there, or the process has ended."""
    while process.poll() is None and len(list(out.glob("*.tar"))) < wanted:
        time.sleep(0.002)


def processes() -> list[tuple[int, str, int, int]]:
    """(id, state, parent, process group) of all processes."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group = status.read_text().rsplit(")", 1)[1].split()[:3]
        except (OSError, ValueError):  # it ended meanwhile
            continue
        found.append((int(status.parent.name), state, int(parent), int(group)))
    return found


def session_has_ended(leader: int, limit_s: float = 20) -> bool:
    """Have all processes of this build (the workers too) ended within the limit? Zombies have."""
    end = time.monotonic() + limit_s
    while any(group == leader and state != "Z" for _, state, _, group in processes()):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def worker_processes(leader: int) -> list[int]:
    """The workers of a build: children of its fork server, the grandchildren of the leader."""
    all_processes = processes()
    servers = {process for process, _, parent, _ in all_processes if parent == leader}
    return [process for process, _, parent, _ in all_processes if parent in servers]


def test_killed_at_random_moments_the_bytes_are_those_of_a_quiet_build(raw: Path, tmp_path: Path):
    quiet, out = tmp_path / "quiet", tmp_path / "out"
    report = build_shards(ShardOptions(src=raw, out=quiet, workers=1, samples_per_shard=SAMPLES_PER_SHARD))
    assert report.shards > 50
    moments = random.Random(4)
    finished_before = -1
    for share in (0.0, 0.05, 0.25, 0.5, 0.75, 0.95):
        process = start(raw, out)
        wait_for_tars(out, round(share * report.shards), process)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert session_has_ended(process.pid), "workers outlive the build that started them"
        assert not (out / "index.json").exists() or len(list(out.glob("*.tar"))) == report.shards
        finished = len(list(out.glob("*.idx")))
        assert finished >= finished_before  # what is done is never lost
        finished_before = finished
    assert finished_before > 0
    final = build_shards(ShardOptions(src=raw, out=out, workers=2, samples_per_shard=SAMPLES_PER_SHARD))
    assert final.kept_shards >= finished_before
    check_shards_present(read_index(out))
    assert set_bytes(out) == set_bytes(quiet)


def test_a_killed_worker_is_one_sentence_and_nothing_finished_is_lost(raw: Path, tmp_path: Path):
    out = tmp_path / "out"
    process = start(raw, out)
    wait_for_tars(out, 5, process)
    for worker in worker_processes(process.pid):
        os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "ShardError: a worker was killed" in errors
    assert session_has_ended(process.pid)
    final = build_shards(ShardOptions(src=raw, out=out, workers=1, samples_per_shard=SAMPLES_PER_SHARD))
    assert final.kept_shards >= 4
