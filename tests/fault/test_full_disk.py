"""A disk that fills: a sentence and exit code 3, nothing half made, and with more room the same command goes on to the
bytes of a quiet build."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sharding.build import ShardOptions, build_shards
from sharding.errors import ShardError

pytestmark = pytest.mark.fault

ROOT = Path(__file__).parents[2]
SAMPLES_PER_SHARD = 25
KIB = 1024


def build(raw: Path, out: Path, **options) -> None:
    asked = {"workers": 1, "samples_per_shard": SAMPLES_PER_SHARD, **options}
    build_shards(ShardOptions.of(src=raw, out=out, **asked))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def half_made(out: Path) -> list[str]:
    """What a failed build must not leave."""
    return [str(path) for path in out.rglob("*.tmp-*")]


def test_files_that_may_not_grow_are_said_and_later_the_build_goes_on(raw, quiet, set_bytes, tmp_path: Path):
    out, failed = tmp_path / "out", 0
    for size in range(KIB, 512 * KIB, 9 * KIB):
        try:
            with largest_file(size):
                build(raw, out)
            break
        except ShardError as error:
            assert "File too large" in str(error)
            assert "again" in str(error)
            assert error.exit_code == 3
            failed += 1
        assert half_made(out) == []
        assert not (out / "index.json").exists()
    assert failed > 5
    assert set_bytes(out) == quiet


def test_the_command_ends_with_a_sentence_and_3(raw, quiet, set_bytes, tmp_path: Path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "horovod_ocr", "shard", "--src", str(raw), "--out", str(out), "--workers", "2"]
    command += ["--samples-per-shard", str(SAMPLES_PER_SHARD)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(size: int) -> subprocess.CompletedProcess:
        limit = ["prlimit", f"--fsize={size}"] if size else []
        return subprocess.run([*limit, *command], env=environment, capture_output=True, text=True, timeout=600)

    ended = run(100 * KIB)
    assert ended.returncode == 3, ended.stderr
    assert "File too large; what is finished is kept: fix that, then run the same horovod-ocr shard again" in " ".join(
        ended.stderr.split()
    )
    assert "Traceback" not in ended.stderr
    ended = run(0)
    assert ended.returncode == 0, ended.stderr
    (out / "sheet.png").unlink()  # what the command draws of it
    assert set_bytes(out) == quiet


@pytest.fixture
def small_disk(tmp_path: Path):
    """(folder, resize): a file system of its own, and how to give it another size in KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=0", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs root (to mount a small disk)")

    def resize(kib: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(folder)], check=True)

    yield folder, resize
    subprocess.run(["umount", str(folder)], check=True)


def finished(out: Path) -> dict[str, int]:
    paths = [*(out / "build" / "spool").glob("[0-9]*.spool"), *out.glob("*.idx")]
    return {path.name: path.stat().st_mtime_ns for path in paths}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_is_said_and_with_more_room_the_build_goes_on(
    raw, quiet, set_bytes, small_disk, tmp_path: Path, workers: int
):
    folder, resize = small_disk
    out, done, failed = folder / "out", {}, 0
    step = 64 if workers == 1 else 512
    for kib in range(64, 1 << 14, step):
        resize(kib)
        try:
            build(raw, out, workers=workers)
            break
        except ShardError as error:
            assert "No space left on device" in str(error)
            assert "again" in str(error)
            failed += 1
        assert half_made(out) == []
        assert not (out / "index.json").exists()
        now = finished(out)
        assert done.items() <= now.items()
        done = now
    assert failed > 3
    assert any(name.endswith(".spool") for name in done)
    assert any(name.endswith(".idx") for name in done)
    assert set_bytes(out) == quiet


def test_a_scratch_folder_that_fills_is_said(raw, quiet, set_bytes, small_disk, tmp_path: Path):
    folder, resize = small_disk
    with pytest.raises(ShardError, match="No space left on device; what is finished is kept"):
        build(raw, tmp_path / "out", scratch=folder / "scratch")
    resize(1 << 14)
    build(raw, tmp_path / "out", scratch=folder / "scratch")
    assert set_bytes(tmp_path / "out") == quiet
    assert list((folder / "scratch").iterdir()) == []
