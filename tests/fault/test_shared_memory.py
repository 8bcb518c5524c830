"""Too little /dev/shm, and killed loader workers: a sentence within seconds, not the watchdog's after minutes."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.typed import BIN, say, start
from tests.fault.test_stream_fault import descendants_of

pytestmark = pytest.mark.fault
PATIENCE_S = 300  # far below stall_timeout_s, far above what a busy machine needs
SETTINGS = """
[train]
steps = 100000
log_every_steps = 5
stall_timeout_s = 600
model_options = {width = 0.25, hidden = 24}
"""


def is_permitted() -> bool:
    """May this process mount something that it alone sees?"""
    tried = ["unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/dev/shm"]
    return bool(shutil.which("unshare")) and subprocess.run(tried, capture_output=True).returncode == 0


needs_unshare = pytest.mark.skipif(not is_permitted(), reason="needs unshare, and the right to mount")


@pytest.fixture
def folder(word_shards, tmp_path) -> Path:
    (tmp_path / "shards").symlink_to(word_shards)
    (tmp_path / "horovod-ocr.toml").write_text(SETTINGS)
    return tmp_path


def with_shared_memory(size: str, command: str, folder: Path) -> str:
    """The command as one that sees a /dev/shm of that size."""
    (folder / "small.sh").write_text(f"mount -t tmpfs -o size={size} none /dev/shm && exec {command}\n")
    return f"unshare -m --propagation private sh {folder}/small.sh"


@needs_unshare
@pytest.mark.parametrize("launcher", ["", "horovodrun --gloo -np 2 -H localhost:2 "])
def test_training_does_not_begin_without_room_for_its_batches(folder, launcher):
    if launcher and not (BIN / "horovodrun").exists():
        pytest.skip("needs Horovod (make setup)")
    said = say(with_shared_memory("1m", f"{launcher}horovod-ocr train --workers 2 --run it", folder), folder)
    assert said.returncode == 2, said.stdout + said.stderr
    sentence = "/dev/shm has 1.0 MB free, and 2 loader workers"
    assert said.stderr.count(sentence) == 1 and "docker run --shm-size=64m" in said.stderr
    assert "Traceback" not in said.stderr and "stalled" not in said.stderr
    assert not (folder / "runs/it/LAST").exists()


@needs_unshare
def test_doctor_says_so_before(folder):
    (folder / "horovod-ocr.toml").write_text("[train]\nworkers = 2\n")
    said = say(with_shared_memory("1m", "horovod-ocr doctor --quick", folder), folder)
    assert said.returncode == 4 and "/dev/shm: /dev/shm has 1.0 MB free" in " ".join(said.stdout.split())
    assert say("horovod-ocr doctor --quick", folder).returncode == 0


@needs_unshare
def test_shared_memory_that_fills_later_is_named_at_once(folder):
    command = with_shared_memory("24m", "horovod-ocr train --workers 2 --run it", folder)
    process = start(command, folder)
    try:
        assert process.stdout is not None
        wait_for_steps(folder)
        filler = Path(f"/proc/{process.pid}/root/dev/shm/filler")  # its /dev/shm, not ours
        with pytest.raises(OSError, match="No space"), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 4, out + err
    assert "/dev/shm on" in err and "is full" in err and "--set workers=0" in err
    assert "stalled" not in err and err.count("horovod-ocr: ") == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
@pytest.mark.parametrize("launcher", ["", "horovodrun --gloo -np 2 -H localhost:2 "])
def test_a_killed_worker_ends_the_run_within_seconds(folder, number, launcher):
    if launcher and not (BIN / "horovodrun").exists():
        pytest.skip("needs Horovod (make setup)")
    process = start(f"{launcher}horovod-ocr train --workers 2 --run it", folder)
    try:
        wait_for_steps(folder)
        os.kill(a_worker_of(process.pid), number)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 4, out + err
    assert err.count("a loader worker on") == 1 and "was killed" in err
    assert "stalled" not in err


def wait_for_steps(folder: Path) -> None:
    for _ in range(10 * PATIENCE_S):
        log = folder / "runs/it/train.log"
        if log.exists() and "step 5/" in log.read_text("utf-8"):
            return
        time.sleep(0.1)
    raise AssertionError("the run took no steps")


def a_worker_of(pid: int) -> int:
    """A child of a fork server below a process: one that reads the tars, hence has shards mapped."""
    for child in sorted(descendants_of(pid)):
        with suppress(OSError):  # it has ended meanwhile
            maps = Path(f"/proc/{child}/maps").read_text()
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"forkserver" in command and ".tar" in maps:
                return child
    raise AssertionError("no loader worker is there")
