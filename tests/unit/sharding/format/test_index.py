"""index.json and .idx: what is written is what is read, and anything else has its sentence."""

import json
from pathlib import Path

import numpy as np
import pytest

from sharding.build import ShardOptions, build_shards
from sharding.errors import ShardError
from sharding.format.frames import Frames
from sharding.format.idx import IDX_RECORD, IdxHeader, idx_bytes, read_idx, read_idx_header, write_idx
from sharding.format.index import SetCounts, ShardIndex, ShardInfo, check_shards_present, read_index, write_index
from sharding.format.script.profile import build_profile


@pytest.fixture
def index(tmp_path: Path) -> ShardIndex:
    return ShardIndex(
        root=tmp_path,
        kind="words",
        seed=3,
        profile=build_profile("urdu", joiners=False),
        alphabet={"ا": 5, "ب": 0},
        classes=(),
        bucket_edges=(0.8, 1.0),
        shards=(
            ShardInfo("train-000000", "train", 1, 4, 10, "a", "b"),
            ShardInfo("val-000000", "val", 0, 1, 9, "c", "d"),
        ),
        subsets=("", "lexicon"),
        counts=SetCounts(
            totals={"train": 4, "val": 1, "test": 0},
            label_lengths={1: 2, 12: 3},
            bucket_samples=(1, 4),
            rejects={"empty label": 2},
        ),
        frames=Frames(32, 8),
        options={"seed": 3},
    )


def test_an_index_is_read_as_it_was_written(index: ShardIndex):
    digest = write_index(index)
    again = read_index(str(index.root))
    assert again.digest == digest
    assert again == ShardIndex(**{**vars(index), "digest": digest})
    assert [shard.name for shard in again.of("val")] == ["val-000000"]
    assert again.of("test") == ()


def test_an_idx_is_memory_mapped_and_read_as_it_was_written(tmp_path: Path):
    records = np.zeros(3, IDX_RECORD)
    records["digest"], records["width"], records["subset"] = 2**64 - 1, (1, 2, 3), 7
    header = IdxHeader(3, 12345, "ab" * 32, "cd" * 32)
    write_idx(tmp_path / "a.idx", header, records)
    again = read_idx(tmp_path / "a.idx")
    assert isinstance(again, np.memmap)
    assert not again.flags.writeable
    assert again.tobytes() == records.tobytes()
    assert read_idx_header(tmp_path / "a.idx") == header
    assert (tmp_path / "a.idx").stat().st_size == idx_bytes(3)
    assert [path.name for path in tmp_path.iterdir()] == ["a.idx"]  # nothing half-written is left


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is missing"),
        (b"", "not an index of a shard"),
        (b"x" * 200, "not an index of a shard"),
        (b"ocr-idx\0\x09" + bytes(90), "version 9, this program reads 3"),
        (b"ocr-idx\0\x03\0\0\0\x05" + bytes(100), "its 5 samples need 338"),
    ],
)
def test_a_damaged_idx_is_refused(tmp_path: Path, content: bytes | None, sentence: str):
    if content is not None:
        (tmp_path / "a.idx").write_bytes(content)
    with pytest.raises(ShardError, match=sentence):
        read_idx(tmp_path / "a.idx")


def test_folders_without_a_usable_index_are_refused(index: ShardIndex):
    with pytest.raises(ShardError, match="no shards: there is no folder .*shards.*horovod-ocr shard --src"):
        read_index(index.root / "shards")
    with pytest.raises(ShardError, match="were never finished; run the same horovod-ocr shard again"):
        read_index(index.root)
    write_index(index)
    path = index.root / "index.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    damages = [
        ("{", "is damaged"),
        ("[]", "is not an index"),
        (json.dumps({**values, "format": "other"}), "is not an index"),
        (
            json.dumps({**values, "version": 1}),
            "index version 1, this program reads 4: shard again with: horovod-ocr shard",
        ),
        (json.dumps({**values, "profile": {"name": "urdu"}}), "is damaged"),
        (json.dumps({**values, "shards": [{"name": "x"}]}), "is damaged"),
        (
            json.dumps({**values, "shards": [{**values["shards"][0], "name": "train-1"}]}),
            "'train-1' is not a name of a",
        ),
        (json.dumps({**values, "shards": [{**values["shards"][0], "name": 1}]}), "'1' is not a name of a shard"),
        (json.dumps({**values, "shards": [{**values["shards"][0], "split": "val"}]}), "not a shard of the split 'val'"),
        (json.dumps({**values, "shards": [{**values["shards"][0], "split": None}]}), "not a shard of the split None"),
        (json.dumps({**values, "frames": {"height_px": 0, "frame_px": 4}}), "is damaged"),
        (json.dumps({key: value for key, value in values.items() if key != "totals"}), "is damaged"),
    ]
    for content, sentence in damages:
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ShardError, match=sentence):
            read_index(index.root)


def test_shards_that_are_missing_or_cut_are_found(make_words, tmp_path: Path):
    build_shards(ShardOptions.of(src=make_words(30), out=tmp_path / "out", workers=1))
    index = read_index(tmp_path / "out")
    check_shards_present(index)
    for path in (index.tar_path(index.shards[0]), index.idx_path(index.shards[-1])):
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(ShardError, match=f"{path.name} has .* the index says"):
            check_shards_present(index)
        path.unlink()
        with pytest.raises(ShardError, match=f"{path.name} is missing"):
            check_shards_present(index)
        path.write_bytes(content)
    check_shards_present(index)
