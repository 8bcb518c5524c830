"""The proof of a shard set: any damage is found and blamed on its shard alone, and so is a writer that lied."""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.build import ShardOptions, build_shards
from sharding.errors import ConfigError, ShardError
from sharding.format.idx import read_idx
from sharding.format.index import read_index
from sharding.progress import Progress
from sharding.verify.verify import VerifyReport, verify_shards

WORDS = ("کتاب", "پاکستان", "اردو", "دن", "رات", "سال", "شہر", "ندی", "پہاڑ", "آسمان", "بچہ", "گھر", "میز", "کرسی")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make_image) -> Path:
    """A set of 90 words in several shards of each split. Tests that change it put it back."""
    folder = tmp_path_factory.mktemp("set")
    lines = []
    for number in range(90):
        (folder / f"{number}.png").write_bytes(make_image(number, (64 + 96 * (number % 2), 64)))
        lines.append(f"{number}.png\t{WORDS[number % 14][: 2 + number % 3]}{WORDS[number * 5 % 13][:2]}\n")
    (folder / "labels.tsv").write_text("".join(lines), encoding="utf-8")
    build_shards(ShardOptions.of(src=folder, out=folder / "shards", samples_per_shard=8, workers=1))
    return folder / "shards"


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "shards"))


def verify(root: Path) -> VerifyReport:
    return verify_shards(root, workers=1)


def edit_index(root: Path, edit: Callable[[dict], object]) -> None:
    path = root / "index.json"
    values = json.loads(path.read_bytes())
    edit(values)
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def shard_in(values: dict, name: str) -> dict:
    return next(shard for shard in values["shards"] if shard["name"] == name)


def test_a_whole_set_is_proved(whole: Path):
    seen: list[Progress] = []
    report = verify_shards(whole, workers=1, report=seen.append)
    assert report.ok and (report.damaged, report.problems) == ({}, ())
    index = read_index(whole)
    assert {split: len(index.of(split)) for split in ("train", "val", "test")}["train"] > 5
    assert (report.samples, report.shards) == (90, len(index.shards))
    assert (report.images_in_two_splits, report.labels_in_two_splits) == (0, 0)
    assert report.bytes == sum(path.stat().st_size for path in whole.glob("*.tar"))
    assert [progress.stage for progress in seen] == ["verifying"] * report.shards
    assert seen[-1][1:4] == (90, 90, report.bytes)


def test_two_workers_find_what_one_finds(copy: Path, monkeypatch):
    (copy / "train-000001.tar").write_bytes(b"")
    monkeypatch.chdir(copy.parent)
    reports = [replace(verify_shards(Path("shards"), workers), seconds=0) for workers in (1, 2)]
    assert reports[0] == reports[1]
    assert reports[0].damaged.keys() == {"train-000001"}


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_any_flipped_byte_is_blamed_on_its_shard_alone(whole: Path, data):
    path = data.draw(st.sampled_from(sorted((*whole.glob("*.tar"), *whole.glob("*.idx")))))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[at] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(flipped)
        report = verify(whole)
    finally:
        path.write_bytes(content)
    assert (report.damaged.keys(), report.problems) == ({path.stem}, ())
    assert not report.ok


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_any_other_length_is_blamed_on_its_shard_alone(whole: Path, data):
    path = data.draw(st.sampled_from(sorted((*whole.glob("*.tar"), *whole.glob("*.idx")))))
    content = path.read_bytes()
    length = data.draw(st.integers(0, len(content) + 2000).filter(lambda length: length != len(content)))
    try:
        os.truncate(path, length)
        report = verify(whole)
    finally:
        path.write_bytes(content)
    assert (report.damaged.keys(), report.problems) == ({path.stem}, ())


def test_no_damage_hides_another(copy: Path):
    (copy / "train-000000.tar").unlink()
    (copy / "train-000002.idx").unlink()
    (copy / "val-000000.tar").unlink()
    (copy / "val-000000.tar").mkdir()
    flipped = bytearray((copy / "test-000000.tar").read_bytes())
    flipped[700] ^= 1
    (copy / "test-000000.tar").write_bytes(flipped)
    (copy / "test-000000.idx").write_bytes(b"")
    report = verify(copy)
    assert report.damaged.keys() == {"train-000000", "train-000002", "val-000000", "test-000000"}
    assert report.damaged["train-000000"] == ("train-000000.tar is missing",)
    assert "train-000002.idx is missing" in report.damaged["train-000002"][0]
    assert "cannot be read (Is a directory)" in report.damaged["val-000000"][0]
    assert len(report.damaged["test-000000"]) == 2  # of the .idx and of the tar
    assert report.problems == ()


def test_a_changed_image_is_named_by_its_key(copy: Path):
    record = read_idx(copy / "train-000001.idx")[3]
    path = copy / "train-000001.tar"
    tar = bytearray(path.read_bytes())
    tar[record["image_offset"] + 50] ^= 1
    path.write_bytes(tar)
    sentences = " ".join(verify(copy).damaged["train-000001"])
    assert "its sha256 is another" in sentences
    assert "an image that is not the one of the .idx" in sentences
    assert f"(samples: 1, the first: {int(tar[:9]) + 3:09d})" in sentences


def test_swapped_shards_are_both_named(copy: Path):
    for suffix in ("tar", "idx"):
        first, second = copy / f"train-000000.{suffix}", copy / f"train-000001.{suffix}"
        first.rename(copy / "aside")
        second.rename(first)
        (copy / "aside").rename(second)
    report = verify(copy)
    assert report.damaged.keys() == {"train-000000", "train-000001"}

    def follow(values: dict) -> None:  # an index that was made to fit
        first, second = shard_in(values, "train-000000"), shard_in(values, "train-000001")
        for key in ("bytes", "sha256", "idx_sha256"):
            first[key], second[key] = second[key], first[key]

    edit_index(copy, follow)
    report = verify(copy)
    assert (report.ok, report.damaged) == (False, {})
    assert "the keys of train-000000 begin at 000000008, where 000000000 is the next" in report.problems


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda index: index["alphabet"].update({"ا": 1}), r"each letter in .*: 'ا' \d+ instead of 1$"),
        (lambda index: index["alphabet"].pop("ا"), r"'ا' \d+ instead of 0$"),
        (lambda index: index["alphabet"].update({"ﷺ": 0}), "'ﷺ' 0 instead of 0"),
        (lambda index: index["alphabet"].update({"ا": index["alphabet"].pop("ا")}), "order of code points"),
        (lambda index: index["label_lengths"].update({"4": 1}), r"each label length in .*: 4 \d+ instead of 1$"),
        (lambda index: index["totals"].update(val=3), "the index says .* 3 val, .*, its shards add to"),
        (lambda index: index["bucket_samples"].append(1), "of each bucket, its shards hold"),
        (lambda index: index["bucket_edges"].append(0.1), "do not ascend"),
        (lambda index: index["options"].update(samples_per_shard=9), "train-000000 has 8 samples, the index says 9"),
        (lambda index: index["shards"].pop(1), "names train-000002 where train-000001 is its turn"),
        (lambda index: index["shards"].clear(), "names no shards"),
        (lambda index: index.update(kind="classes"), "one of classes, with 0 classes"),
        (lambda index: shard_in(index, "train-000001").update(samples=7), "train-000001 has 7 samples, .* 8 a shard"),
    ],
)
def test_an_index_edited_by_hand_is_found(copy: Path, edit: Callable[[dict], object], sentence: str):
    edit_index(copy, edit)
    report = verify(copy)
    assert not report.ok
    assert any(re.search(sentence, problem) for problem in report.problems), report.problems


@pytest.mark.parametrize(
    ("name", "value"),
    [("samples", 7), ("bytes", 512), ("sha256", "0" * 64), ("idx_sha256", ""), ("bucket", 1)],
)
def test_a_shard_that_the_index_describes_wrongly_is_named(copy: Path, name: str, value: object):
    edit_index(copy, lambda index: shard_in(index, "train-000000").update({name: value}))
    assert verify(copy).damaged.keys() == {"train-000000"}


@pytest.mark.parametrize(
    "edit",
    [
        lambda index: index["alphabet"].update({"ا": "1"}),
        lambda index: index["shards"][0].update(name="../train-000000"),
        lambda index: index["shards"][0].update(samples="8"),
        lambda index: index["shards"][0].update(split="val"),
        lambda index: index["shards"][0].update(bytes=-1),
    ],
)
def test_an_index_that_cannot_be_counted_with_is_an_error(copy: Path, edit: Callable[[dict], object]):
    edit_index(copy, edit)
    with pytest.raises(ShardError, match="index.json is damaged .*; copy it again"):
        verify(copy)


def test_what_the_index_does_not_name_is_said(copy: Path):
    shutil.copy(copy / "train-000000.tar", copy / "train-000900.tar")
    shutil.copy(copy / "val-000000.idx", copy / "val-000901.idx")
    (copy / "notes.txt").write_text("mine")
    report = verify(copy)
    assert report.damaged == {}
    assert report.strays == ("train-000900.tar", "val-000901.idx")
    assert report.ok  # readers go by the index


def test_splits_that_share_labels_are_a_problem_unless_they_were_given(tmp_path: Path, make_image):
    for split, first in (("train", 0), ("val", 15)):  # 5 of the 20 images, and of the labels, stand in both
        lines = []
        for number in range(first, first + 20):
            (tmp_path / split).mkdir(exist_ok=True)
            (tmp_path / split / f"{number}.png").write_bytes(make_image(number))
            lines.append(f"{split}/{number}.png\tدن {number}\n")
        (tmp_path / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    build_shards(ShardOptions.of(src=tmp_path, out=tmp_path / "shards", samples_per_shard=8, workers=1))
    report = verify(tmp_path / "shards")
    assert (report.ok, report.images_in_two_splits, report.labels_in_two_splits) == (True, 5, 5)
    assert read_index(tmp_path / "shards").options["given_splits"]
    edit_index(tmp_path / "shards", lambda index: index["options"].update(given_splits=False))
    assert verify(tmp_path / "shards").problems == (
        "5 labels occur in more than one split, though the set is split by label",
    )
    edit_index(tmp_path / "shards", lambda index: index["options"].update(split="file"))
    assert verify(tmp_path / "shards").ok
    report = build_shards(
        ShardOptions.of(src=tmp_path, out=tmp_path / "again", layout="splits", split="label", workers=1)
    )
    assert sum(report.index.counts.totals.values()) == 40 and not read_index(tmp_path / "again").options["given_splits"]
    assert (verify(tmp_path / "again").ok, verify(tmp_path / "again").labels_in_two_splits) == (True, 0)


def test_a_set_of_classes_is_proved(tmp_path: Path, make_image):
    for number in range(40):
        folder = tmp_path / "raw" / ("zebra", "ant")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(make_image(number, (30, 30), "RGB", "jpg"))
    build_shards(ShardOptions.of(src=tmp_path / "raw", out=tmp_path / "shards", samples_per_shard=10, workers=1))
    assert verify(tmp_path / "shards").ok
    ants = read_index(tmp_path / "shards").counts.class_samples["train"][0]
    edit_index(tmp_path / "shards", lambda index: index["class_samples"]["train"].__setitem__(0, ants + 1))
    assert verify(tmp_path / "shards").problems == (
        f"counts of each class in the shards and in the index: 'ant in train' {ants} instead of {ants + 1}",
    )
    edit_index(tmp_path / "shards", lambda index: index["class_samples"].update(all=[1, 1]))
    with pytest.raises(ShardError, match="damaged .*splits of class_samples"):
        verify(tmp_path / "shards")
    edit_index(tmp_path / "shards", lambda index: index["class_samples"].pop("all"))
    edit_index(tmp_path / "shards", lambda index: index["classes"].pop())
    with pytest.raises(ShardError, match="damaged .*classes of class_samples"):
        verify(tmp_path / "shards")
    edit_index(tmp_path / "shards", lambda index: index.pop("class_samples"))  # as an earlier version wrote it
    damaged = verify(tmp_path / "shards").damaged
    assert all("a class number that the index does not name" in " ".join(sentences) for sentences in damaged.values())
    assert damaged


def test_where_there_is_nothing_to_verify(tmp_path: Path, whole: Path):
    with pytest.raises(ShardError, match="holds no index.json"):
        verify(tmp_path)
    with pytest.raises(ConfigError, match="at least 1 is needed"):
        verify_shards(whole, workers=0)
