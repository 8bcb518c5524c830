"""The LMDB of PARSeq and clovaai: one, or many in folders below."""

import os
import pickle
import shutil
import sys

import lmdb
import pytest

from sharding.errors import ConfigError, SourceError
from sharding.layouts import lmdb_records
from sharding.layouts.entry import Entry
from sharding.layouts.files import LFS_POINTER
from sharding.layouts.find import find_source
from sharding.reasons import Rejected


@pytest.fixture(autouse=True)
def closed_afterwards():
    yield
    lmdb_records._environment.cache_clear()


def write_lmdb(folder, records: dict[bytes, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)


def numbered(*pairs: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    records = {b"num-samples": b"%d" % len(pairs)}
    for number, (image, label) in enumerate(pairs, 1):
        records |= {b"image-%09d" % number: image, b"label-%09d" % number: label}
    return records


def test_one_lmdb(tmp_path):
    write_lmdb(tmp_path, numbered((b"image one", "ایک".encode()), (b"two", b"\xff")))
    source = pickle.loads(pickle.dumps(find_source(tmp_path)))
    assert (source.layout, source.kind, source.labels_apart) == ("lmdb", "words", True)
    entries = list(source.entries())
    assert entries == [
        Entry(b"image-000000001", b"label-000000001"),
        Entry(b"image-000000002", b"label-000000002"),
    ]
    reader = source.open()
    assert [reader.read_image(entry.path, entry.at, entry.size) for entry in entries] == [b"image one", b"two"]
    assert [reader.read_label(entry.label) for entry in entries] == ["ایک".encode(), b"\xff"]
    assert source.open().read_label(b"label-000000001") == "ایک".encode()  # a second reader beside the first
    reader.close()


def test_folders_of_lmdbs(tmp_path):
    write_lmdb(tmp_path / "train/real", numbered((b"1", b"a"), (b"2", b"b")))
    write_lmdb(tmp_path / "train/synth", numbered((b"3", b"c")))
    write_lmdb(tmp_path / "val", numbered((b"4", b"d")))
    source = find_source(tmp_path)
    reader = source.open()
    assert [
        (entry.path, entry.split, reader.read_image(*entry[:1], 0, 0), reader.read_label(entry.label))
        for entry in source.entries()
    ] == [
        (b"train/real/image-000000001", "train", b"1", b"a"),
        (b"train/real/image-000000002", "train", b"2", b"b"),
        (b"train/synth/image-000000001", "train", b"3", b"c"),
        (b"val/image-000000001", "val", b"4", b"d"),
    ]
    assert {entry.split for entry in find_source(tmp_path / "train").entries()} == {""}
    write_lmdb(tmp_path / "more", numbered((b"5", b"e")))
    source = find_source(tmp_path)
    assert "which is named like a split, and more/data.mdb, which is not" in source.doubt
    assert {entry.split for entry in source.entries()} == {""}
    shutil.rmtree(tmp_path / "more")
    write_lmdb(tmp_path / "Evaluation", numbered((b"5", b"e")))
    assert {entry.split for entry in find_source(tmp_path).entries()} == {"train", "val", "test"}


def test_other_keys_are_left_alone_and_what_lies_loose_is_named(tmp_path):
    more = {b"dim-000000009": b"", b"wh-000000009": b"", b"label-": b"", b"zzz": b""}
    write_lmdb(tmp_path / "a", numbered((b"1", b"a")) | more)
    for name in ("a/sheet.png", "w.txt", "readme.txt", "a/meta.csv", "b.tar", "info.json"):
        (tmp_path / name).write_bytes(b"?")
    assert [(entry.path, entry.problem) for entry in find_source(tmp_path).entries()] == [
        (b"a/image-000000001", ""),
        (b"b.tar", "outside"),
        (b"w.txt", "outside"),
        (b"a/meta.csv", "outside"),
        (b"a/sheet.png", "outside"),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (LFS_POINTER + b"v1\n", "data.mdb is a pointer of Git LFS.*run: git lfs pull"),
        (b"", "cannot be opened|has 0 bytes"),
    ],
)
def test_what_stands_in_the_place_of_data_mdb(tmp_path, content, sentence):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(SourceError, match=sentence):
        list(find_source(tmp_path).entries())
    assert (tmp_path / "data.mdb").read_bytes() == content


def test_a_pointer_of_git_lfs_in_the_place_of_a_picture(tmp_path):
    write_lmdb(tmp_path, numbered((LFS_POINTER + b"v1\noid sha256:0\n", b"a")))
    with pytest.raises(Rejected, match="Git LFS pointer"):
        find_source(tmp_path).open().read_image(b"image-000000001", 0, 0)


def test_records_that_are_missing_or_empty(tmp_path):
    write_lmdb(tmp_path, {b"num-samples": b"2", b"image-000000001": b""})
    reader = find_source(tmp_path).open()
    with pytest.raises(Rejected, match="empty file"):
        reader.read_image(b"image-000000001", 0, 0)
    with pytest.raises(Rejected, match="missing image"):
        reader.read_image(b"image-000000002", 0, 0)
    assert reader.read_label(b"label-000000001") is None
    with pytest.raises(Rejected, match="unreadable file"):
        reader.read_image(b"", 0, 0)  # LMDB refuses an empty key


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ({b"key": b"value"}, "without num-samples"),
        ({b"num-samples": b"many"}, "without num-samples"),
        ({b"num-samples": b"0"}, "holds no image"),
        ({b"num-samples": b"-3"}, "without num-samples"),
        ({b"num-samples": b"1_0"}, "without num-samples"),
        ({b"num-samples": b"3"}, "there are only 1 keys in all"),
        (
            {b"num-samples": b"1", b"image-000000002": b"i"},
            "num-samples is 1, but there is image-000000002 too .*2 keys",
        ),
        ({b"num-samples": b"2", b"label-000000011": b"x"}, "num-samples is 2, but there is label-000000011 too"),
        ({b"num-samples": b"2", b"image-000000000": b"i"}, "there is image-000000000 too .*counted from 000000001"),
        ({b"num-samples": b"2", b"image-1": b"i"}, "there is image-1 too"),
    ],
)
def test_an_lmdb_of_another_kind(tmp_path, records, sentence):
    write_lmdb(tmp_path, records)
    with pytest.raises(SourceError, match=sentence):
        list(find_source(tmp_path).entries())


def test_a_file_that_was_cut_or_is_no_lmdb(tmp_path):
    write_lmdb(tmp_path / "cut", numbered(*[(os.urandom(50_000), b"x")] * 5))
    os.truncate(tmp_path / "cut/data.mdb", 100_000)
    with pytest.raises(SourceError, match="has 100,000 bytes, its pages need .*copy it again"):
        list(find_source(tmp_path / "cut").entries())
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(SourceError, match="cannot be opened"):
        list(find_source(tmp_path / "other").entries())


def test_without_the_package(tmp_path, monkeypatch):
    write_lmdb(tmp_path, numbered((b"1", b"a")))
    source = find_source(tmp_path)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(ConfigError, match=r"pip install 'horovod-ocr\[lmdb\]'"):
        list(source.entries())


def test_every_data_mdb_is_marked(tmp_path):
    write_lmdb(tmp_path / "a", numbered((b"1", b"a")))
    source = find_source(tmp_path)
    list(source.entries())
    marks = source.listing()
    assert [mark[0] for mark in marks] == ["a/data.mdb"]
    assert find_source(tmp_path).is_as_listed(marks)
    write_lmdb(tmp_path / "b", numbered((b"1", b"a")))
    assert not find_source(tmp_path).is_as_listed(marks)
    assert not find_source(tmp_path / "a").is_as_listed(marks)
