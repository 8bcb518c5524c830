"""Samples as the index promises them, or a DamagedError that says what is wrong; a server that is away is awaited."""

import errno
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from horovod_ocr.data import reader
from horovod_ocr.data.reader import Damage, DamagedError, MappedShard, OpenShards
from horovod_ocr.data.store import open_store
from sharding.format.idx import read_idx

ROOT = Path(__file__).parents[3]
# Reads a sample of each shard, where a process may have few files open: first as many as it has to, then as it is let.
FEW_FILES = """
import os, resource, sys
from horovod_ocr.data import reader
from horovod_ocr.data.store import open_store
reader.OTHER_FILES = 30
for hard in (resource.getrlimit(resource.RLIMIT_NOFILE)[1], 60):
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    store = open_store(sys.argv[1])
    opened = reader.OpenShards(store, store.index.shards, most=len(store.index.shards))
    for number in range(len(store.index.shards)):
        opened.sample(number, 0)
    print(len(store.index.shards), len(opened.open), len(os.listdir("/proc/self/fd")))
    del opened
"""


@pytest.fixture
def store(word_shards, tmp_path):
    shutil.copytree(word_shards, tmp_path / "shards")
    return open_store(str(tmp_path / "shards"))


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def damage_of(action) -> Damage:
    with pytest.raises(DamagedError) as raised:
        action()
    return raised.value.damage


def test_each_sample_is_what_its_tar_holds(store):
    shard = store.index.of("train")[0]
    mapped, content = MappedShard(store, shard), store.tar_path(shard).read_bytes()
    for row, record in enumerate(read_idx(store.idx_path(shard))):
        image, label, subset = mapped.sample(row)
        start, size = int(record["image_offset"]), int(record["image_size"])
        assert image == content[start : start + size] and image[:4] == b"\x89PNG"
        start, size = int(record["label_offset"]), int(record["label_size"])
        assert label.encode() == content[start : start + size] and subset == record["subset"]


def test_one_flipped_bit_of_an_image_or_a_label_is_damage_of_that_sample_alone(store):
    shard = store.index.of("train")[0]
    records = read_idx(store.idx_path(shard))
    flip(store.tar_path(shard), int(records["image_offset"][3]) + 40)
    flip(store.tar_path(shard), int(records["label_offset"][5]))
    mapped = MappedShard(store, shard)
    assert damage_of(lambda: mapped.sample(3)) == Damage(shard.name, 3, "the image's bytes differ from the index")
    assert damage_of(lambda: mapped.sample(5)) == Damage(shard.name, 5, "the label's bytes differ from the index")
    assert str(damage_of(lambda: mapped.sample(5))).startswith(f"{shard.name}, sample 5: the label")
    assert mapped.sample(4)[1]


def test_a_cut_tar_and_a_changed_idx_are_damage_of_the_whole_shard(store):
    first, second = store.index.of("train")[:2]
    tar = store.tar_path(first)
    tar.write_bytes(tar.read_bytes()[:-512])
    assert damage_of(lambda: MappedShard(store, first)) == Damage(
        first.name, None, f"{first.name}.tar has {first.bytes - 512:,} bytes, the index says {first.bytes:,}"
    )
    flip(store.idx_path(second), 100)
    assert damage_of(lambda: MappedShard(store, second)) == Damage(
        second.name, None, f"{second.name}.idx differs from the index"
    )


def test_a_tar_that_is_cut_while_it_is_open_is_damage_and_no_crash(store):
    """Touching such a page of a memory map ends a process with SIGBUS."""
    opened = OpenShards(store, store.index.of("train"), most=2)
    opened.mapped(0)
    with open(store.tar_path(opened.shards[0]), "r+b") as file:
        file.truncate(0)
    assert "has 0 bytes, the index says" in damage_of(lambda: opened.sample(0, 0)).reason


def test_an_open_shard_that_cannot_be_read_any_more_is_opened_again(store, monkeypatch):
    """As on a file server that came back and does not know the file by its old handle."""
    opened = OpenShards(store, store.index.of("train"), most=2)
    stale, again = opened.mapped(0), OpenShards(store, store.index.of("train"), most=2)

    def no_handle(mapped: MappedShard, chunk: int) -> None:
        if mapped is stale or chunk in disk_errors:
            raise OSError(errno.ESTALE, "Stale file handle")
        fetch(mapped, chunk)

    disk_errors: set[int] = set()
    fetch = MappedShard.fetch
    monkeypatch.setattr(MappedShard, "fetch", no_handle)
    assert opened.sample(0, 3) == again.sample(0, 3) and opened.mapped(0) is not stale
    disk_errors.update(range(len(opened.mapped(0).fetched)))
    opened.mapped(0).fetched[:] = bytes(len(opened.mapped(0).fetched))
    lost = damage_of(lambda: opened.sample(0, 4))
    assert lost == Damage(opened.shards[0].name, 4, "cannot be read (Stale file handle)")


def test_all_of_a_sample_is_asked_for_once_also_where_the_kernel_is_older(store, monkeypatch):
    """One that does not know the advice reads when the map is touched."""
    monkeypatch.setattr(reader, "CHUNK", 4096)
    shard = store.index.of("train")[0]
    mapped, asked = MappedShard(store, shard), []

    class OldMap:
        def __len__(self) -> int:
            return shard.bytes

        def madvise(self, advice: int, start: int, size: int) -> None:
            asked.append(start)
            raise OSError(errno.EINVAL, "Invalid argument")

    mapped.map = OldMap()
    for row, record in enumerate(read_idx(store.idx_path(shard))):
        assert mapped.sample(row)
        end = int(record["label_offset"]) + int(record["label_size"])
        assert set(range(int(record["image_offset"]) // 4096 * 4096, end, 4096)) <= set(asked)
    assert len(set(asked)) == len(asked)


def test_a_shard_that_comes_back_is_waited_for_and_one_that_stays_away_is_lost(store, monkeypatch):
    first, second = store.index.of("train")[:2]
    away = [shard_path.with_suffix(".away") for shard_path in map(store.tar_path, (first, second))]
    for shard, path in zip((first, second), away, strict=True):
        store.tar_path(shard).rename(path)
    waited = []

    def come_back(pause_s: float) -> None:
        waited.append(pause_s)
        if len(waited) == 2:
            away[0].rename(store.tar_path(first))

    monkeypatch.setattr(reader.time, "sleep", come_back)
    opened = OpenShards(store, store.index.of("train"), most=2)
    assert opened.sample(0, 0)[1] and waited == [1, 4]
    lost = damage_of(lambda: opened.sample(1, 0))
    assert lost == Damage(second.name, None, "cannot be opened (No such file or directory)")
    assert waited[2:] == list(reader.PAUSES_S[1:]) and set(opened.lost) == {1}
    assert damage_of(lambda: opened.sample(1, 3)) == lost and len(waited) == 1 + len(reader.PAUSES_S)  # once


def test_no_shard_is_lost_while_the_whole_set_is_away(store, monkeypatch, capsys):
    root, away = store.index.root, store.index.root.with_suffix(".away")
    root.rename(away)
    waited = []

    def come_back(pause_s: float) -> None:
        waited.append(pause_s)
        if len(waited) == 3 * len(reader.PAUSES_S):
            away.rename(root)

    monkeypatch.setattr(reader.time, "sleep", come_back)
    opened = OpenShards(store, store.index.of("train"), most=2)
    assert opened.sample(0, 0)[1] and not opened.lost
    assert len(waited) == 3 * len(reader.PAUSES_S) and waited[-1] == reader.PAUSES_S[-1]
    assert capsys.readouterr().err.count("is away; reading waits until it is back") == 1


@pytest.mark.parametrize("suffix", [".tar", ".idx"])
def test_a_copy_that_was_damaged_in_the_cache_is_fetched_again(store, tmp_path, suffix):
    cached = open_store(str(store.index.root), str(tmp_path / "cache"))
    shard = cached.index.of("train")[0]
    copies = {".tar": cached.tar_path(shard), ".idx": cached.idx_path(shard)}
    flip(copies[suffix], int(read_idx(store.idx_path(shard))["image_offset"][3]) + 40 if suffix == ".tar" else 100)
    opened = OpenShards(cached, cached.index.of("train"), most=2)
    assert opened.sample(0, 3) == OpenShards(store, store.index.of("train"), most=2).sample(0, 3)
    assert copies[suffix].read_bytes() == (store.index.root / copies[suffix].name).read_bytes()
    assert not opened.lost and list(opened.open) == [0]


def test_one_flipped_bit_costs_one_sample_with_a_cache_as_without(store, tmp_path):
    cached = open_store(str(store.index.root), str(tmp_path / "cache"))
    shard = cached.index.of("train")[0]
    flip(store.tar_path(shard), int(read_idx(store.idx_path(shard))["image_offset"][3]) + 40)
    opened = OpenShards(cached, cached.index.of("train"), most=2)
    damage = Damage(shard.name, 3, "the image's bytes differ from the index")
    dropped, drop_copies = [], cached.drop_copies
    cached.drop_copies = lambda shard: dropped.append(shard) or drop_copies(shard)
    assert [damage_of(lambda: opened.sample(0, 3)) for _ in range(2)] == [damage] * 2 and opened.sample(0, 4)
    assert len(dropped) == 1, "it is fetched again once, and not for each of its samples"


def test_a_remote_shard_of_other_bytes_is_lost_at_once(store, tmp_path, monkeypatch):
    remote = open_store(f"pipe:cat {store.index.root}/{{}}", str(tmp_path / "cache"))
    shard = remote.index.of("train")[0]
    flip(store.tar_path(shard), 600)
    monkeypatch.setattr(reader, "time", None)  # to wait does not help
    opened = OpenShards(remote, remote.index.of("train"), most=2)
    lost = damage_of(lambda: opened.sample(0, 3))
    assert lost.row is None and "its bytes are not those of the index" in lost.reason
    assert damage_of(lambda: opened.sample(0, 4)) == lost and opened.sample(1, 0)


def test_the_latest_shards_stay_open_and_none_travels(store):
    opened = OpenShards(store, store.index.of("train"), most=2)
    for shard in (0, 1, 0, 2):
        opened.sample(shard, 0)
    assert list(opened.open) == [0, 2]
    copied = pickle.loads(pickle.dumps(opened))
    assert not copied.open and copied.sample(1, 0) == opened.sample(1, 0)


@pytest.mark.slow
def test_where_few_files_may_be_open_the_limit_is_raised_or_fewer_shards_stay_open(word_shards):
    """Each open shard holds two descriptors: of what a shell allows, 1,024, a large set needs more."""
    done = subprocess.run(
        [sys.executable, "-c", FEW_FILES, str(word_shards)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    raised, few = (map(int, line.split()) for line in done.stdout.splitlines())
    count, still_open, descriptors = raised
    assert count == still_open > 30 and descriptors >= 2 * count > 60
    count, still_open, descriptors = few
    assert still_open == (60 - 30) // 4 < count and descriptors < 60
