"""Shards in place, through a cache, or remote: readers see the same bytes in all cases."""

import errno
import importlib
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from horovod_ocr.data import cache as cache_module
from horovod_ocr.data import store as store_module
from horovod_ocr.data.store import Remote, ShardStore, default_cache_dir, open_store
from horovod_ocr.errors import ConfigError, ShardError
from sharding.format.index import INDEX_NAME, read_index

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shards(word_shards, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(word_shards, tmp_path / "shards"))


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    printed: list[str] = []
    monkeypatch.setattr(store_module.console, "print", lambda sentence, **_: printed.append(sentence))
    return printed


@pytest.fixture
def fetched(monkeypatch) -> list[str]:
    """Names of the files that caches fetch, in order."""
    names: list[str] = []
    fetch = cache_module.FileCache._fetch

    def counted(self, path, file, source):
        names.append(file.name)
        fetch(self, path, file, source)

    monkeypatch.setattr(cache_module.FileCache, "_fetch", counted)
    return names


@pytest.fixture
def web(word_shards):
    """web(folder) -> its URL on a server of this machine, where a request needs the key of the query."""

    class Quiet(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path.endswith("?key=secret"):
                super().do_GET()
            else:
                self.send_error(403)

        def log_message(self, *_):
            pass

    servers = []

    def serve(folder: Path) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://user:word@127.0.0.1:{servers[-1].server_port}/"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def assert_holds_the_set(store: ShardStore, folder: Path, count: int = 3) -> None:
    index = read_index(folder)
    assert store.index.digest == index.digest and store.index.shards == index.shards
    for shard in index.shards[:count]:
        assert store.tar_path(shard).read_bytes() == index.tar_path(shard).read_bytes()
        assert store.idx_path(shard).read_bytes() == index.idx_path(shard).read_bytes()


def test_a_folder_is_read_where_it_is(word_shards):
    store = open_store(str(word_shards))
    shard = store.index.shards[0]
    assert (store.tar_path(shard), store.idx_path(shard)) == (
        word_shards / shard.tar_name,
        word_shards / shard.idx_name,
    )


@pytest.mark.parametrize("with_cache", [False, True])
def test_a_folder_without_all_its_shards_does_not_open(shards, tmp_path, with_cache):
    next(shards.glob("*.tar")).unlink()
    with pytest.raises(ShardError, match="is missing, and the index names it"):
        open_store(str(shards), str(tmp_path / "cache") if with_cache else "")


def test_bringing_near_asks_for_a_part_in_pieces(word_shards, monkeypatch):
    """Of one call Linux reads no more than one read-ahead."""
    asked = []

    def note(handle: int, offset: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED and 0 < size <= 128 << 10
        asked.append((Path(os.readlink(f"/proc/self/fd/{handle}")).name, offset, offset + size))

    store = open_store(str(word_shards))
    shard = max(store.index.shards, key=lambda shard: shard.bytes)
    monkeypatch.setattr(os, "posix_fadvise", note)
    monkeypatch.setattr(store_module, "READ_AHEAD_BYTES", 4096)
    store.prefetch_rows(shard, shard.samples // 2, shard.samples)
    tar = [(start, stop) for name, start, stop in asked if name == shard.tar_name]
    assert tar[0][0] == shard.bytes * (shard.samples // 2) // shard.samples and tar[-1][1] >= shard.bytes
    assert all(one[1] == other[0] for one, other in pairwise(tar))
    assert max(stop for name, _, stop in asked if name == shard.idx_name) >= store.idx_path(shard).stat().st_size


def test_bringing_near_raises_nothing(shards, tmp_path):
    stores = [open_store(str(shards)), open_store(str(shards), str(tmp_path / "cache"))]
    shutil.rmtree(shards)
    for store in stores:
        store.prefetch_rows(store.index.shards[0], 0, 1)


def test_a_cache_copies_each_file_once(word_shards, tmp_path, fetched):
    store = open_store(str(word_shards), str(tmp_path / "cache"))
    for _ in range(2):
        assert_holds_the_set(store, word_shards, 2)
    store.prefetch_rows(store.index.shards[0], 0, 1)
    first, second = store.index.shards[:2]
    assert fetched == [first.tar_name, first.idx_name, second.tar_name, second.idx_name]
    assert store.tar_path(first).parent == tmp_path / "cache" / store.index.digest[:16]


@pytest.mark.slow
def test_a_store_travels_to_other_processes(word_shards, tmp_path):
    store = open_store(str(word_shards), str(tmp_path / "cache"))
    code = "import pickle, sys; s = pickle.load(sys.stdin.buffer); print(s.tar_path(s.index.shards[0]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code += "; assert not {'torch', 'webdataset'} & set(sys.modules), 'local shards do without'"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(store), env=environment, capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == str(store.tar_path(store.index.shards[0]))


@pytest.mark.parametrize("suffix", [".tar", ".idx"])
def test_a_flipped_byte_is_not_kept_and_is_read_in_place_or_named(shards, tmp_path, suffix, warnings):
    """A reader then finds out which samples of a folder's shard are damaged; of a remote one it has nothing to read."""
    stores = [open_store(position, str(tmp_path / "cache")) for position in (str(shards), f"pipe:cat {shards}/{{}}")]
    near, remote = (store.tar_path if suffix == ".tar" else store.idx_path for store in stores)
    shard = stores[0].index.shards[0]
    flip(shards / (shard.name + suffix))
    assert near(shard) == shards / (shard.name + suffix)
    with pytest.raises(ShardError, match=f"{shard.name}{suffix}: its bytes are not those of the index"):
        remote(shard)
    assert not list((tmp_path / "cache").rglob(f"*{suffix}")) and not warnings


def flip(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))


def test_a_full_disk_loses_nothing_and_is_said_once(word_shards, tmp_path, monkeypatch, warnings):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = open_store(str(word_shards), str(tmp_path / "cache"))
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert_holds_the_set(store, word_shards)
    assert store.tar_path(store.index.shards[0]).parent == word_shards
    assert len(warnings) == 1 and "No space left on device" in warnings[0] and "--cache-dir" in warnings[0]


def test_a_shard_larger_than_the_limit_is_read_in_place(word_shards, tmp_path, warnings):
    store = open_store(str(word_shards), str(tmp_path / "cache"), cache_bytes=5000)
    shard = store.index.shards[0]
    assert store.tar_path(shard).parent == word_shards and store.idx_path(shard).parent != word_shards
    assert len(warnings) == 1 and "room for 5,000 bytes" in warnings[0]


def test_a_cache_that_cannot_be_made_is_said_before_workers_start(word_shards, tmp_path, warnings):
    (tmp_path / "cache").write_text("a file")
    store = pickle.loads(pickle.dumps(open_store(str(word_shards), str(tmp_path / "cache"))))
    assert_holds_the_set(store, word_shards)
    assert len(warnings) == 1 and "Not a directory" in warnings[0]


def test_http_through_the_default_place(word_shards, tmp_path, monkeypatch, web, fetched):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    store = open_store(f"{web(word_shards)}?key=secret")
    assert_holds_the_set(store, word_shards, 2)
    assert_holds_the_set(pickle.loads(pickle.dumps(store)), word_shards, 2)
    assert len(fetched) == 4
    assert store.index.root == tmp_path / "xdg" / "horovod-ocr" / "shards" / store.index.digest[:16]


def test_what_a_server_refuses_is_said_without_the_keys(word_shards, tmp_path, web):
    with pytest.raises(ShardError, match="no such file or refuses it; check the address") as error:
        open_store(f"{web(word_shards)}?key=other", str(tmp_path / "cache"))
    assert f"/{INDEX_NAME} cannot" in str(error.value)
    assert not re.search("other|user|word@", str(error.value))


def test_the_index_lasts_though_another_set_makes_room_while_it_is_written(word_shards, tmp_path, monkeypatch):
    other, looked_over = cache_module.FileCache(tmp_path / "cache", "ab" * 32), []
    monkeypatch.setattr(os, "fsync", lambda _: looked_over.append(other._files()))
    store = open_store(f"pipe:cat {word_shards}/{{}}", str(tmp_path / "cache"))
    assert looked_over and (store.index.root / INDEX_NAME).read_bytes() == (word_shards / INDEX_NAME).read_bytes()
    assert not list((tmp_path / "cache").rglob(".*"))


def test_the_home_is_the_default_place(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "horovod-ocr" / "shards"


def test_a_command_and_a_new_index_is_a_new_set(shards, tmp_path):
    old = open_store(f"pipe:cat {shards}/{{}}", str(tmp_path / "cache"))
    assert_holds_the_set(old, shards)
    content = (shards / INDEX_NAME).read_text("utf-8")
    (shards / INDEX_NAME).write_text(content + "\n", "utf-8")
    new = open_store(f"pipe:cat {shards}/{{}}", str(tmp_path / "cache"))
    assert new.index.digest != old.index.digest
    assert_holds_the_set(new, shards)


@pytest.mark.parametrize("verbose", ["0", "1"])  # webdataset's own check sleeps where it is verbose
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("cat {0}/{{}}; exit 3", "the command ended with 3"),
        ("cat {0}/{{}}; exit 141", "the command ended with 141"),
        ("no-such-program {0}/{{}}", "program is not installed"),
    ],
)
def test_a_command_that_fails_is_an_error(word_shards, tmp_path, monkeypatch, command, reason, verbose):
    monkeypatch.setenv("GOPEN_VERBOSE", verbose)
    with pytest.raises(ShardError, match=f"{INDEX_NAME}.* cannot be read: .*{reason}"):
        open_store("pipe:" + command.format(word_shards), str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_command_that_stops_halfway_and_says_nothing_is_found_out(word_shards, tmp_path):
    store = open_store(f"pipe:cat {word_shards}/{{}}", str(tmp_path / "cache"))
    store.origin = Remote(f"pipe:head -c 2000 {word_shards}/{{}}")
    with pytest.raises(ShardError, match="not those of the index .2,000 bytes, where"):
        store.tar_path(store.index.shards[0])
    assert not list((tmp_path / "cache").rglob("*.tar"))


def test_remote_shards_that_do_not_fit_say_what_to_do(word_shards, tmp_path):
    location = f"pipe:cat {word_shards}/{{}}"
    store = open_store(location, str(tmp_path / "cache"), cache_bytes=5000)
    with pytest.raises(ShardError, match=r"cannot hold .*\.tar .it has room for 5,000 bytes.*--cache-dir"):
        store.tar_path(store.index.shards[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardError, match=r"file cannot hold the shards of pipe:cat .*Not a directory.*--cache-dir"):
        open_store(location, str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["../../train-000000", "train; touch x", ".hidden", ""])
def test_names_that_would_leave_the_cache_or_enter_a_shell_are_refused(shards, tmp_path, name):
    content = (shards / INDEX_NAME).read_text("utf-8")
    (shards / INDEX_NAME).write_text(re.sub(r'"name": "train-000000"', f'"name": "{name}"', content), "utf-8")
    with pytest.raises(ShardError, match=f"{re.escape(repr(name))} is no.* name of a shard"):
        open_store(f"pipe:cat {shards}/{{}}", str(tmp_path / "cache"))


def test_what_is_no_index_is_not_kept(tmp_path):
    with pytest.raises(ShardError, match=f"echo {INDEX_NAME} is not the index of a shard set"):
        open_store("pipe:echo {}", str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (('"version": 4', '"version": 3'), ": index version 3, this program reads 4: shard again with"),
        (('"kind": "words"', '"kind": 7'), " is damaged "),
    ],
)
def test_an_index_that_cannot_be_used_is_named_by_its_address(shards, tmp_path, change, sentence):
    content = (shards / INDEX_NAME).read_text("utf-8")
    assert change[0] in content
    (shards / INDEX_NAME).write_text(content.replace(*change), "utf-8")
    with pytest.raises(ShardError) as refused:
        open_store(f"pipe:cat {shards}/{{}}", str(tmp_path / "cache"))
    assert str(refused.value).startswith(f"pipe:cat {shards}/{INDEX_NAME}{sentence}")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("location", "opened"),
    [
        ("s3://bucket/my set/", "pipe:aws s3 cp --only-show-errors 's3://bucket/my set/{}' -"),
        ("gs://bucket/set", "gs://bucket/set/{}"),
        ("https://host/set?key=1", "https://host/set/{}?key=1"),
        ("pipe:ssh host cat /set/{}", "pipe:ssh host cat /set/{}"),
    ],
)
def test_what_webdatasets_opener_is_asked_for(word_shards, tmp_path, monkeypatch, location, opened):
    before, after = opened.split("{}")

    def opener(url):
        assert url.startswith(before) and url.endswith(after)
        return io.BytesIO((word_shards / url.removeprefix(before).removesuffix(after)).read_bytes())

    monkeypatch.setattr(importlib.import_module("webdataset.gopen"), "gopen", opener)
    assert_holds_the_set(open_store(location, str(tmp_path / "cache")), word_shards, 1)


def test_a_missing_curl_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShardError, match="install curl"):
        open_store("http://127.0.0.1/set", str(tmp_path / "cache"))


@pytest.mark.parametrize("location", ["ftp://host/set", "pipe:cat /set"])
def test_a_location_of_no_known_kind_is_refused(location):
    with pytest.raises(ConfigError, match=re.escape(location)):
        open_store(location)
