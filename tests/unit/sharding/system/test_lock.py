"""The lock of a build: one owner at a time, a dead owner's lock is taken over, a living one's never."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sharding.errors import ShardError
from sharding.system import lock as lock_module
from sharding.system.lock import build_lock

# Takes the lock that a line names, says "won" or "lost", and gives it back at the next line.
RIVAL = """
import sys
from pathlib import Path
from sharding.errors import ShardError
from sharding.system.lock import build_lock
for line in sys.stdin:
    try:
        with build_lock(Path(line.strip()), "horovod-ocr shard"):
            print("won", flush=True)
            sys.stdin.readline()
    except ShardError:
        print("lost", flush=True)
        sys.stdin.readline()
"""

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@dataclass
class Rival:
    """A process that takes locks when it is told to."""

    process: subprocess.Popen

    def say(self, line: object) -> None:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()


@pytest.fixture
def make_rival() -> Iterator[Callable[[], Rival]]:
    rivals = []

    def start() -> Rival:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", RIVAL]
        rivals.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT))
        return Rival(rivals[-1])

    yield start
    for process in rivals:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "build" / "lock"


def take(path: Path, tell: list[str] | None = None, still_s: float = 0.3, beat_s: float = 0.02):
    return build_lock(path, "horovod-ocr shard", (tell if tell is not None else []).append, still_s, beat_s)


def write_lock(path: Path, **changes) -> bytes:
    """The lock that a process like this one leaves when it is killed, with some of what it says changed."""
    path.parent.mkdir(exist_ok=True)
    values = {**json.loads(lock_module._describe_this_process()), **changes}
    path.write_bytes(json.dumps(values).encode())
    return path.read_bytes()


@contextmanager
def beating(path: Path) -> Iterator[None]:
    """The lock is renewed by somebody else, as from another machine."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.02):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    yield
    stop.set()
    thread.join()


def files_of(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


@pytest.mark.slow
def test_exactly_one_of_two_processes_wins_each_of_twenty_races(make_rival, tmp_path: Path):
    rivals = [make_rival(), make_rival()]
    for race in range(20):
        path = tmp_path / f"build{race}" / "lock"
        if race % 2:  # every other race is for the lock of a dead owner
            write_lock(path, started=1)
        for rival in rivals:
            rival.say(path)
        assert sorted(rival.answer() for rival in rivals) == ["lost", "won"]
        for rival in rivals:
            rival.say("next")
    for rival in rivals:
        rival.process.stdin.close()
        rival.process.wait()
    assert all(files_of(folder / "lock") == [] for folder in tmp_path.iterdir())


def test_a_living_owner_is_named_with_what_to_do(make_rival, path: Path):
    rival = make_rival()
    rival.say(path)
    assert rival.answer() == "won"
    told: list[str] = []
    expected = rf"another horovod-ocr shard works.*pid {rival.process.pid} of \S+ on \S+, since \d{{4}}-.*; wait until"
    with pytest.raises(ShardError, match=expected), take(path, told):
        pass
    assert (told, files_of(path)) == ([], ["lock"])


def test_the_lock_of_a_killed_process_is_taken_over_at_once(make_rival, path: Path):
    rival = make_rival()
    rival.say(path)
    assert rival.answer() == "won"
    rival.process.kill()
    while b") Z " not in Path(f"/proc/{rival.process.pid}/stat").read_bytes():  # dead, and not yet waited for
        time.sleep(0.01)
    told: list[str] = []
    with take(path, told, still_s=3600) as lock:
        lock.check()
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert [re.search(r"its owner is gone \(pid (\d+) of .*\); taken over", told[0])[1]] == [str(rival.process.pid)]
    assert (len(told), files_of(path)) == (1, [])


def test_a_process_id_that_is_used_again_does_not_keep_the_lock(path: Path):
    write_lock(path, started=1)
    with take(path, still_s=3600) as lock:
        lock.check()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"host": "elsewhere"}, {"boot": "before"}, {"namespace": "pid:[1]"}, {"boot": ""}],
    ids=["another host", "another boot", "another container", "no /proc"],
)
def test_an_owner_that_cannot_be_seen_from_here_is_judged_by_its_heartbeat(path: Path, changes: dict):
    content = write_lock(path, **changes)
    told: list[str] = []
    with beating(path), pytest.raises(ShardError, match="works in this folder"), take(path, told, still_s=2):
        pass
    assert (path.read_bytes(), files_of(path)) == (content, ["lock"])
    started = time.monotonic()
    with take(path, told, still_s=0.3) as lock:
        assert time.monotonic() - started >= 0.3
        lock.check()
    assert [re.search("cannot be seen|gone", sentence)[0] for sentence in told] == ["cannot be seen"] * 2 + ["gone"]


NO_PID = b'{"host":"h","boot":"b","namespace":"n","pid":-1,"started":1,"user":"u","since":"s","token":"t"}'


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\0\xff" * 300, b'{"pid": 1}', NO_PID])
def test_a_damaged_lock_is_judged_by_its_heartbeat(path: Path, content: bytes):
    path.parent.mkdir()
    path.write_bytes(content)
    with beating(path), pytest.raises(ShardError, match="cannot be named"), take(path, still_s=2):
        pass
    with take(path, still_s=0.1) as lock:
        lock.check()
    assert files_of(path) == []


def test_the_heartbeat_moves_and_ends_with_the_block(path: Path):
    threads = threading.active_count()
    with take(path):
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.01)
    assert not path.exists()
    assert threading.active_count() == threads


def test_the_lock_is_released_where_the_block_raises(path: Path):
    with pytest.raises(ZeroDivisionError), take(path):
        raise ZeroDivisionError
    assert files_of(path) == []


@pytest.mark.parametrize("beat_s", [0.02, 3600], ids=["by the heartbeat", "by check alone"])
def test_a_lock_that_was_taken_over_is_noticed_and_left_to_its_new_owner(path: Path, beat_s: float):
    with take(path, beat_s=beat_s) as lock:
        lock.check()
        path.unlink()
        content = write_lock(path, host="elsewhere", pid=77)
        time.sleep(0.1)
        with pytest.raises(ShardError, match="taken over by pid 77 of .* on elsewhere.*this horovod-ocr shard stops"):
            lock.check()
    assert path.read_bytes() == content


@pytest.mark.slow
def test_a_lock_that_was_deleted_is_noticed(path: Path):
    with take(path) as lock:
        path.unlink()
        with pytest.raises(ShardError, match="lock was deleted"):
            lock.check()
        write_lock(path)
        with pytest.raises(ShardError, match="lock was deleted"):
            lock.check()


@pytest.mark.slow
def test_a_lock_that_is_moved_and_put_back_at_once_is_not_lost(path: Path):
    with take(path) as lock:
        os.rename(path, path.with_name("moved"))
        threading.Timer(0.1, os.rename, (path.with_name("moved"), path)).start()
        lock.check()


def test_the_loser_of_a_take_over_puts_the_fresh_lock_back(path: Path, monkeypatch):
    write_lock(path, started=1, token="old")
    fresh: list[bytes] = []
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        if not fresh:  # another one was faster: the dead lock is gone, its own stands there
            path.unlink()
            fresh.append(write_lock(path, user="faster"))
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(ShardError, match="of faster on"), take(path):
        pass
    assert (path.read_bytes(), files_of(path)) == (fresh[0], ["lock"])


def test_a_lock_that_is_released_while_it_is_watched_is_free(path: Path):
    write_lock(path, host="elsewhere")
    threading.Timer(0.1, path.unlink).start()
    with take(path, still_s=5) as lock:
        lock.check()


def test_a_forked_child_does_not_release_the_lock(path: Path):
    code = f"""
import os, sys, warnings
from pathlib import Path
from sharding.system.lock import build_lock
warnings.simplefilter("ignore")
path = Path({str(path)!r})
with build_lock(path, "horovod-ocr shard"):
    child = os.fork()
    if child == 0:
        sys.exit(3)  # leaves the block as an exception does
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), path.exists())
print(path.exists())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert ran.stdout.split() == ["3", "True", "False"]


def test_where_there_are_no_links_the_lock_still_holds(path: Path, monkeypatch):
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # as vfat says it

    monkeypatch.setattr(os, "link", refuse)
    with take(path) as lock:
        lock.check()
        with pytest.raises(ShardError, match="works in this folder"), take(path):
            pass
        lock.check()
    assert files_of(path) == []


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO])
def test_a_link_whose_answer_was_lost_counts(path: Path, monkeypatch, number: int):
    link = os.link

    def lose_answer(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", lose_answer)
    with take(path) as lock:
        lock.check()


def test_a_folder_that_takes_no_lock_is_said(tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ShardError, match="file/lock cannot be made .*; fix that, or name another folder"):
        take(tmp_path / "file" / "lock").__enter__()
    path = tmp_path / "build" / "lock"
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ShardError, match="No space left on device"):
        take(path).__enter__()
    assert files_of(path) == []


def test_a_name_that_is_no_file_does_not_wait_for_ever(path: Path, monkeypatch):
    monkeypatch.setattr(lock_module, "_ATTEMPTS", 3)
    path.parent.mkdir()
    path.symlink_to("nowhere")
    with pytest.raises(ShardError, match="can neither be made nor read; delete it"):
        take(path).__enter__()
