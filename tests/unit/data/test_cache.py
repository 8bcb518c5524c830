"""The cache of files: whole or not there, fetched once for all processes, and never above its limit."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from horovod_ocr.data.cache import AlteredError, ExpectedFile, FileCache, locked
from horovod_ocr.data.store import LocalFolder
from horovod_ocr.errors import ShardError

ROOT = Path(__file__).parents[3]
DIGEST, OTHER_DIGEST = "ab" * 32, "cd" * 32
# One process of a host. It says `ready`, waits for a line, fetches each name of its arguments, and prints its path.
# What it opens is logged; halfway through a file named `slow.*` it says `half` and waits for ever.
PROGRAM = f"""
import sys, time
from pathlib import Path
from horovod_ocr.data.cache import ExpectedFile, FileCache
from horovod_ocr.data.store import LocalFolder
import hashlib
folder, log, cache, *names = sys.argv[1:]
class Logged(LocalFolder):
    def blocks(self, name):
        with open(log, "a") as file:
            file.write(name + "\\n")
        content = self.path(name).read_bytes()
        yield content[:len(content) // 2]
        if name.startswith("slow"):
            print("half", flush=True)
            time.sleep(60)
        time.sleep(0.02)
        yield content[len(content) // 2:]
print("ready", flush=True)
sys.stdin.readline()
for name in names:
    content = Path(folder, name).read_bytes()
    file = ExpectedFile(name, len(content), hashlib.sha256(content).hexdigest())
    path = FileCache(Path(cache), "{DIGEST}").path_of(file, Logged(Path(folder)))
    assert path.read_bytes() == content
    print(path, flush=True)
"""


class Counted(LocalFolder):
    """A folder that knows how often each of its files was opened."""

    def __init__(self, root: Path):
        super().__init__(root)
        object.__setattr__(self, "opened", [])

    def blocks(self, name):
        self.opened.append(name)
        return super().blocks(name)


@pytest.fixture
def source(tmp_path) -> Counted:
    (tmp_path / "source").mkdir()
    return Counted(tmp_path / "source")


def put(origin: LocalFolder, name: str, size: int) -> ExpectedFile:
    content = os.urandom(size)
    origin.path(name).write_bytes(content)
    return ExpectedFile(name, size, hashlib.sha256(content).hexdigest())


def used_in_order(cache: FileCache, *names: str) -> None:
    """Set marks of use that are seconds apart: a clock of 4 ms is too coarse for a test."""
    for second, name in enumerate(names):
        os.utime(cache.folder / name, (second, second))


def held(cache: FileCache) -> set[str]:
    return {path.name for folder in cache.root.iterdir() if folder.is_dir() for path in folder.iterdir()}


def test_a_file_is_fetched_once_and_nothing_else_stays(tmp_path, source):
    cache = FileCache(tmp_path / "cache", DIGEST)
    file = put(source, "train-000000.tar", 3_000_000)  # more than one block
    for _ in range(3):
        path = cache.path_of(file, source)
        assert path.read_bytes() == source.path(file.name).read_bytes()
    assert source.opened == [file.name] and path == cache.root / DIGEST[:16] / file.name
    assert held(cache) == {file.name} and {p.name for p in cache.root.iterdir()} == {DIGEST[:16]}


def test_two_sets_with_the_same_names_do_not_meet(tmp_path, source):
    one, other = (FileCache(tmp_path / "cache", digest) for digest in (DIGEST, OTHER_DIGEST))
    first = one.path_of(put(source, "a.tar", 100), source)
    second = other.path_of(put(source, "a.tar", 200), source)
    assert first.stat().st_size == 100 and second.stat().st_size == 200


def test_what_was_not_used_for_longest_goes_first_over_all_sets(tmp_path, source):
    cache, other = (FileCache(tmp_path / "cache", digest, limit_bytes=350) for digest in (DIGEST, OTHER_DIGEST))
    files = {name: put(source, name, 100) for name in ("a.tar", "b.tar", "c.tar", "d.tar", "e.tar")}
    cache.path_of(files["a.tar"], source)
    cache.path_of(files["b.tar"], source)
    other.path_of(files["c.tar"], source)
    used_in_order(cache, "a.tar", "b.tar")
    used_in_order(other, "c.tar")
    os.utime(other.folder / "c.tar", (0.5, 0.5))
    cache.path_of(files["a.tar"], source)  # used again: the oldest is c now, then b
    cache.path_of(files["d.tar"], source)
    assert held(cache) == {"a.tar", "b.tar", "d.tar"}
    cache.path_of(files["e.tar"], source)
    assert held(cache) == {"a.tar", "d.tar", "e.tar"}


def test_the_limit_holds_after_every_fetch_and_foreign_files_stay(tmp_path, source):
    cache = FileCache(tmp_path / "cache", DIGEST, limit_bytes=1000)
    foreign = [cache.root / "mine.tar", cache.root / "photos" / "mine.tar", cache.folder / "notes.txt"]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
    for number in range(30):
        cache.path_of(put(source, f"train-{number:06d}.tar", 1 + number * 37 % 600), source)
        total = sum(path.stat().st_size for path in cache.folder.glob("train-*"))
        assert total <= 1000 and (cache.folder / f"train-{number:06d}.tar").exists()
    assert all(path.exists() for path in foreign)


def test_a_file_that_is_renamed_while_the_folder_is_looked_over_counts(tmp_path, source, monkeypatch):
    """Listed as being fetched, it is whole when its size is asked for: its room is taken all the same."""
    cache = FileCache(tmp_path / "cache", DIGEST, limit_bytes=100)
    whole = cache.path_of(put(source, "a.tar", 70), source)
    unfinished = whole.with_name(".a.tar.tmp-7")
    whole.rename(unfinished)
    real = os.scandir

    def list_then_rename(folder):
        with real(folder) as entries:
            listed = list(entries)
        unfinished.rename(whole)
        return nullcontext(listed)

    monkeypatch.setattr(os, "scandir", list_then_rename)
    kept, being_fetched = cache._files()
    assert being_fetched + sum(size for _, size, _ in kept) == 70


@pytest.mark.parametrize(("limit", "free", "fits"), [(0, 1000, 900), (0, 999, 899), (9000, 990, 990)])
def test_without_a_limit_a_tenth_of_the_disk_stays_free(tmp_path, source, monkeypatch, limit, free, fits):
    """With one, more than the disk has is never counted on."""

    def disk(path):
        used = sum(file.stat().st_size for file in Path(path).rglob("*.tar"))
        return SimpleNamespace(f_bavail=free - used, f_frsize=1)

    monkeypatch.setattr(os, "statvfs", disk)
    cache = FileCache(tmp_path / "cache", DIGEST, limit)
    cache.path_of(put(source, "a.tar", 500), source)
    cache.path_of(put(source, "b.tar", fits), source)
    assert held(cache) == {"b.tar"}
    with pytest.raises(OSError, match=f"room for {fits} bytes, and {fits + 1} are needed"):
        cache.path_of(put(source, "c.tar", fits + 1), source)
    assert held(cache) == {"b.tar"}, "nothing goes for a file that will not fit"


def test_a_mapped_file_that_was_taken_out_can_be_read_on(tmp_path, source):
    cache = FileCache(tmp_path / "cache", DIGEST, limit_bytes=100)
    with cache.path_of(put(source, "a.tar", 100), source).open("rb") as opened:
        cache.path_of(put(source, "b.tar", 100), source)
        assert held(cache) == {"b.tar"} and opened.read() == source.path("a.tar").read_bytes()


def flip(content: bytes) -> bytes:
    return content[:50] + bytes([content[50] ^ 1]) + content[51:]


@pytest.mark.parametrize("damage", [flip, lambda content: content[:-1], lambda content: content + b"x"])
def test_bytes_that_differ_from_the_index_are_refused_and_not_kept(tmp_path, source, damage):
    cache = FileCache(tmp_path / "cache", DIGEST)
    file = put(source, "a.tar", 100)
    whole = source.path("a.tar").read_bytes()
    source.path("a.tar").write_bytes(damage(whole))
    with pytest.raises(ShardError, match=r"source/a\.tar: its bytes are not those of the index"):
        cache.path_of(file, source)
    assert held(cache) == set()
    source.path("a.tar").write_bytes(whole)
    assert cache.path_of(file, source).read_bytes() == whole


def test_a_source_without_an_end_does_not_fill_the_disk(tmp_path, source):
    class Endless(LocalFolder):
        def blocks(self, name):
            yield bytes(60)
            yield bytes(60)
            pytest.fail("100 bytes were wanted")

    with pytest.raises(AlteredError, match="longer, where 100 were written"):
        FileCache(tmp_path / "cache", DIGEST).path_of(ExpectedFile("a.tar", 100, "00"), Endless(source.root))


def test_another_users_file_serves_though_its_mark_cannot_be_set(tmp_path, source, monkeypatch):
    cache, file = FileCache(tmp_path / "cache", DIGEST), put(source, "a.tar", 100)
    monkeypatch.setattr(os, "utime", Mock(side_effect=PermissionError))
    assert cache.path_of(file, source) == cache.path_of(file, source) and source.opened == ["a.tar"]


def test_a_source_that_cannot_be_read_is_an_error_of_the_shard(tmp_path, source):
    with pytest.raises(ShardError, match=r"source/a\.tar cannot be read \(No such file"):
        FileCache(tmp_path / "cache", DIGEST).path_of(ExpectedFile("a.tar", 100, "00"), source)


def test_a_disk_that_fills_is_an_error_of_the_disk(tmp_path, source, monkeypatch):
    cache, file = FileCache(tmp_path / "cache", DIGEST), put(source, "a.tar", 100)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=full))
    with pytest.raises(OSError, match="No space left"):
        cache.path_of(file, source)
    assert source.opened == [] and held(cache) == set()


def test_a_cut_file_in_the_cache_is_fetched_again(tmp_path, source):
    cache = FileCache(tmp_path / "cache", DIGEST)
    file = put(source, "a.tar", 100)
    os.truncate(cache.path_of(file, source), 99)
    assert cache.path_of(file, source).stat().st_size == 100


def test_threads_that_want_more_than_fits_wait_for_each_other(tmp_path, source):
    cache = FileCache(tmp_path / "cache", DIGEST, limit_bytes=250)
    files = [put(source, f"{number}.tar", 100) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda file: cache.path_of(file, source), files * 2))
    assert len(held(cache)) == 2 and all(name.endswith(".tar") for name in held(cache))


def test_a_lock_is_for_one_and_leaves_nothing(tmp_path):
    with locked(tmp_path / "a") as ours, locked(tmp_path / "a", waits=False) as again:
        assert ours and not again
    with locked(tmp_path / "a", waits=False) as ours:
        assert ours
    assert not list(tmp_path.iterdir())


def test_a_lock_that_is_removed_while_others_wait_for_it_is_still_for_one(tmp_path):
    inside, most = [], []

    def take_it(number: int) -> None:
        for _ in range(100):
            with locked(tmp_path / "a"):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0)  # let another thread try
                inside.remove(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(take_it, range(6)))
    assert set(most) == {1} and len(most) == 600


@pytest.fixture
def start(tmp_path, source):
    """start(*names) -> a process that runs PROGRAM and is ready."""
    started = []

    def start_process(*names: str) -> subprocess.Popen:
        arguments = [str(path) for path in (source.root, tmp_path / "log", tmp_path / "cache")]
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments, *names],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_processes_that_race_fetch_each_file_once(tmp_path, source, start):
    names = [put(source, f"train-{number:06d}.tar", 1000).name for number in range(4)]
    processes = [start(*names), start(*reversed(names)), start(*names)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert len(process.stdout.readlines()) == len(names) and process.wait() == 0
    assert sorted((tmp_path / "log").read_text().split()) == names
    assert held(FileCache(tmp_path / "cache", DIGEST)) == set(names)


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_is_taken_for_whole(tmp_path, source, start):
    cache = FileCache(tmp_path / "cache", DIGEST)
    files = [put(source, name, 1000) for name in ("slow.tar", "slow.idx", "train-000000.tar")]
    processes = [start("slow.tar"), start("slow.idx")]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n" and process.stdout.readline() == "half\n"
    cache.path_of(files[2], source)
    assert sum(".tmp-" in name for name in held(cache)) == 2, "what is being made stays, whoever makes room"
    for process in processes:
        process.kill()
        process.wait()
    assert not {"slow.tar", "slow.idx"} & held(cache)
    path = cache.path_of(files[0], source)  # the one process's remains go here, the other's with the making of room
    assert path.read_bytes() == source.path("slow.tar").read_bytes()
    assert held(cache) == {"slow.tar", "train-000000.tar"}
