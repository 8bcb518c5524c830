"""The sharder is killed in the middle, again and again: the same command goes on, and the bytes are those of a quiet
build."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sharding.build import ShardOptions, build_shards
from sharding.errors import ShardError
from sharding.format.index import check_shards_present, read_index

pytestmark = pytest.mark.fault

IMAGES, SAMPLES_PER_SHARD = 1500, 25
# as far as a build may come before it is killed: (stage, share of the images)
MOMENTS = [
    ("", 0),
    ("listing", 0),
    ("reading", 0),
    ("reading", 0.3),
    ("reading", 0.6),
    ("reading", 0.9),
    ("writing", 0),
    ("writing", 0.25),
    ("writing", 0.5),
    ("writing", 0.75),
]


def finish(raw: Path, out: Path, told: list[str] | None = None):
    """The same command in this process."""
    options = ShardOptions.of(src=raw, out=out, workers=1, samples_per_shard=SAMPLES_PER_SHARD)
    return build_shards(options, tell=(told if told is not None else []).append)


def wait_for(process: subprocess.Popen, stage: str, share: float) -> bool:
    """Until a build says that it has come so far; False where it ended before."""
    for line in process.stdout if stage else ():
        name, done = line.split()
        if name == stage and int(done) >= share * IMAGES:
            return True
    return not stage


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


def session_has_ended(leader: int, limit_s: float = 120) -> bool:
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


def finished(out: Path) -> dict[str, int]:
    """The spool files and shards that are done -> when each was made."""
    paths = [*(out / "build" / "spool").glob("[0-9]*.spool"), *out.glob("*.idx")]
    return {path.name: path.stat().st_mtime_ns for path in paths}


def test_killed_again_and_again_the_bytes_are_those_of_a_quiet_build(
    raw, quiet, start, set_bytes, tmp_path: Path, draw, repeats
):
    out = tmp_path / "out"
    done: dict[str, int] = {}
    # in their order, the last one always: most of the set is made when the builds end
    moments = sorted(draw.sample(MOMENTS[:-1], repeats - 1), key=MOMENTS.index) + MOMENTS[-1:]
    for stage, share in moments:
        process = start(out)
        assert wait_for(process, stage, share)
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        process.wait()
        assert session_has_ended(process.pid), "workers outlive the build that started them"
        shards = sum(name.endswith(".tar") for name in quiet)
        assert not (out / "index.json").exists() or len(list(out.glob("*.tar"))) == shards
        now = finished(out)
        assert done.items() <= now.items(), "what is done is never lost nor made again"
        done = now
    spools = sum(name.endswith(".spool") for name in done)
    assert spools > 10
    assert len(done) - spools > 40
    process = start(out)  # the same command once more, undisturbed
    stages = [line.split()[0] for line in process.communicate(timeout=600)[0].splitlines()]
    assert process.returncode == 0
    assert "listing" not in stages
    check_shards_present(read_index(out))
    assert set_bytes(out) == quiet
    assert {name: moment for name, moment in finished(out).items() if name in done} == {
        name: moment for name, moment in done.items() if name.endswith(".idx")
    }


@pytest.mark.parametrize("stage", ["reading", "writing"])
def test_a_killed_worker_is_one_sentence_and_nothing_finished_is_lost(
    raw, quiet, start, set_bytes, tmp_path: Path, stage: str
):
    out = tmp_path / "out"
    process = start(out)
    assert wait_for(process, stage, 0.1)
    os.kill(worker_processes(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    last = errors.strip().splitlines()[-1]
    assert "ShardError: a worker was killed, mostly for want of memory; run the same horovod-ocr shard again" in last
    assert session_has_ended(process.pid)
    assert finished(out)
    process = start(out)
    process.communicate(timeout=600)
    assert process.returncode == 0
    assert set_bytes(out) == quiet


def test_of_two_builds_of_one_folder_one_says_that_the_other_works(raw, quiet, start, set_bytes, tmp_path: Path):
    out = tmp_path / "out"
    process = start(out)
    assert wait_for(process, "reading", 0.1)
    process.send_signal(signal.SIGSTOP)  # alive, however long the second one takes to ask
    before = finished(out)
    with pytest.raises(ShardError, match=f"another horovod-ocr shard works in this folder: pid {process.pid} of "):
        finish(raw, out)
    assert finished(out).items() >= before.items()
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=600)
    assert process.returncode == 0
    assert set_bytes(out) == quiet
    assert finish(raw, out).already_complete


def test_two_builds_that_start_together_make_one_set(raw, quiet, start, set_bytes, tmp_path: Path):
    out = tmp_path / "out"
    both = [start(out) for _ in range(2)]
    ends = [(process.communicate(timeout=600)[1], process.returncode) for process in both]
    assert 0 in [code for _, code in ends]  # both, where the second comes when all is done
    for errors, code in ends:
        assert code == 0 or "another horovod-ocr shard works in this folder" in errors
    assert set_bytes(out) == quiet


def test_the_lock_of_a_killed_build_is_taken_over_at_once(raw, quiet, start, set_bytes, tmp_path: Path):
    out, told = tmp_path / "out", []
    process = start(out)
    assert wait_for(process, "writing", 0.2)
    process.kill()
    process.wait()
    assert (out / "build" / "lock").exists()
    assert session_has_ended(process.pid)
    finish(raw, out, told)
    (sentence,) = told  # it did not have to watch it first
    assert f"its owner is gone (pid {process.pid} of " in sentence and sentence.endswith("; taken over")
    assert set_bytes(out) == quiet
