"""A set of this program keeps what it knows of itself."""

import io
import os
import tarfile

import numpy as np
import pytest

from sharding.errors import ShardError
from sharding.format.idx import IDX_RECORD, IdxHeader, read_idx, read_idx_header, write_idx
from sharding.format.index import SetCounts, ShardIndex, ShardInfo, write_index
from sharding.format.script.profile import build_profile
from sharding.layouts import tar_sets
from sharding.layouts.entry import Entry
from sharding.layouts.find import find_source
from sharding.reasons import Rejected


def write_tar(path, files: dict[str, bytes] | list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items() if isinstance(files, dict) else files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def contents(source) -> list[tuple]:
    reader = source.open()
    result = []
    for entry in source.entries():
        image = b"" if entry.problem else reader.read_image(entry.path, entry.at, entry.size)
        label = reader.read_label(entry.label) if source.labels_apart and not entry.problem else entry.label
        result.append((entry.path, image, label, *entry[2:5]))
    reader.close()
    return sorted(result)


def write_own_set(folder, kind: str) -> None:
    """Two shards of two samples; labels "cat" and "dog"."""
    suffix, labels = ("txt", (b"cat", b"dog")) if kind == "words" else ("cls", (b"0", b"1"))
    shards = []
    for split in ("train", "val"):
        name, first = f"{split}-000000", 2 * len(shards)
        files = [(f"{first + n:09d}.png", f"{split} image {n}".encode()) for n in range(2)]
        texts = [(f"{first + n:09d}.{suffix}", label) for n, label in enumerate(labels)]
        write_tar(folder / f"{name}.tar", [files[0], texts[0], files[1], texts[1]])
        with tarfile.open(folder / f"{name}.tar") as tar:
            members = [(member.offset_data, member.size) for member in tar]
        records = np.zeros(2, IDX_RECORD)
        for number in range(2):
            (at, size), (label_at, label_size) = members[2 * number : 2 * number + 2]
            records[number] = (at, label_at, size, label_size, 9, 9, 3, number, 0, 0, 0)
        end = os.path.getsize(folder / f"{name}.tar")
        write_idx(folder / f"{name}.idx", IdxHeader(2, end, "00" * 32, "00" * 32), records)
        shards.append(ShardInfo(name, split, 0, 2, end, "00" * 32))
    index = ShardIndex(
        folder,
        kind,
        0,
        build_profile("plain"),
        {},
        () if kind == "words" else ("cat", "dog"),
        (1.0,),
        tuple(shards),
        subsets=("", "random"),
        counts=SetCounts({"train": 2, "val": 2}),
    )
    write_index(index)


@pytest.mark.parametrize("kind", ["words", "classes"])
def test_a_set_of_this_program(tmp_path, kind):
    write_own_set(tmp_path, kind)
    (tmp_path / "labels.tsv").write_text("not for this\tx\n")
    source = find_source(tmp_path)
    assert (source.layout, source.kind, source.labels_apart) == ("shards", kind, kind == "words")
    assert contents(source) == [
        (b"train-000000.tar/000000000.png", b"train image 0", b"cat", "", "train", ""),
        (b"train-000000.tar/000000001.png", b"train image 1", b"dog", "random", "train", ""),
        (b"val-000000.tar/000000002.png", b"val image 0", b"cat", "", "val", ""),
        (b"val-000000.tar/000000003.png", b"val image 1", b"dog", "random", "val", ""),
    ]
    assert find_source(tmp_path, "webdataset").layout == "webdataset"


def test_a_set_of_this_program_with_a_cut_shard(tmp_path):
    write_own_set(tmp_path, "words")
    os.truncate(tmp_path / "val-000000.tar", 2048 + 700)
    entries = list(find_source(tmp_path).entries())
    detail = b"the file is cut: from byte 2,048 on, of 2,748, everything is lost"
    assert Entry(b"val-000000.tar", detail, problem="damaged tar") in entries
    assert len(entries) == 4
    reader = find_source(tmp_path).open()
    with pytest.raises(Rejected, match="damaged image.*val-000000.tar ends inside it"):
        reader.read_label(b"val-000000.tar/3000+9")
    reader.close()
    records = np.array(read_idx(tmp_path / "train-000000.idx"))
    records["subset"] = 9
    write_idx(tmp_path / "train-000000.idx", read_idx_header(tmp_path / "train-000000.idx"), records)
    with pytest.raises(ShardError, match="idx is damaged; run: horovod-ocr verify .* --repair"):
        list(find_source(tmp_path).entries())
    (tmp_path / "train-000000.idx").unlink()
    with pytest.raises(ShardError, match="idx is missing"):
        list(find_source(tmp_path).entries())


def test_an_index_of_somebody_else_is_not_looked_at(tmp_path):
    write_tar(tmp_path / "a.tar", {"1.png": b"i", "1.txt": b"x"})
    for content in ("{}", "[]", "no json"):
        (tmp_path / "index.json").write_text(content)
        assert find_source(tmp_path).layout == "webdataset"


def test_texts_of_a_set_of_this_program_are_not_read_while_it_is_listed(tmp_path, monkeypatch):
    write_own_set(tmp_path, "words")
    monkeypatch.setattr(tar_sets.BufferedFile, "read", None)
    assert len(list(find_source(tmp_path).entries())) == 4


def test_tars_and_index_are_marked(tmp_path):
    write_own_set(tmp_path, "words")
    for name in ("val-000000.tar", "index.json"):
        source = find_source(tmp_path)
        list(source.entries())
        marks = source.listing()
        assert [mark[0] for mark in marks] == ["train-000000.tar", "val-000000.tar", "index.json"]
        assert find_source(tmp_path).is_as_listed(marks)
        os.utime(tmp_path / name, ns=(1, 1))
        assert not find_source(tmp_path).is_as_listed(marks)
