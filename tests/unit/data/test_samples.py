"""Samples drawn by lot are those of the set, and nothing else of it is read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from horovod_ocr.data.image import Geometry
from horovod_ocr.data.samples import decode_train_image, draw_samples, fetch_some
from horovod_ocr.errors import ShardError
from sharding.format.index import ShardIndex
from tests.unit.shard_sets import image_bytes, write_set


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., ShardIndex]:
    return lambda labels, **options: write_set(tmp_path / "shards", labels, **options)


def test_samples_by_lot_are_those_of_the_set(make_set):
    index = make_set({"train": [f"t{n}" for n in range(11)], "val": ["v0", "v1"]})
    labels = [*(f"t{n}" for n in range(11)), "v0", "v1"]
    expected = {label: image_bytes(n, (48 * (1 + n % 3), 64)) for n, label in enumerate(labels)}
    drawn = draw_samples(index, 100, seed=1)
    assert {label: image for image, label in drawn} == expected and len(drawn) == 13
    some = draw_samples(index, 5, seed=1)
    assert len({sample.label for sample in some}) == 5
    assert some == draw_samples(index, 5, seed=1) != draw_samples(index, 5, seed=2)


def test_a_class_is_shown_by_its_name(make_set):
    index = make_set({"train": ["0", "1", "1"]}, kind="classes", classes=("cat", "dog"))
    assert sorted(sample.label for sample in draw_samples(index, 9, seed=0)) == ["cat", "dog", "dog"]


def test_only_the_samples_wanted_are_read(make_set, monkeypatch):
    index = make_set({"train": [f"{n:04d}" for n in range(400)]}, per_shard=200)
    sizes, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *position: sizes.append(position[1]) or pread(*position))
    draw_samples(index, 6, seed=0)
    assert len(sizes) == 12 and sum(sizes) < 6 * 1000


def test_a_split_is_drawn_from_its_own_shards(make_set):
    index = make_set({"train": [f"t{n}" for n in range(9)], "test": ["x"]})
    assert {shard.split for shard in fetch_some(str(index.root), split="train").shards} == {"train"}
    assert fetch_some(str(index.root)).shards == index.shards
    assert fetch_some(str(index.root), split="val").shards == ()


def test_few_shards_of_a_remote_set_are_fetched_by_lot(make_set, tmp_path):
    index = make_set({"train": [f"t{n}" for n in range(40)]})
    remote = f"pipe:cat {index.root}/{{}}"
    one, again, other = (fetch_some(remote, seed, cache_dir=str(tmp_path / "cache")).shards for seed in (1, 1, 2))
    assert len(one) == 4 and one == again and set(one) != set(other)
    (folder,) = [path.parent for path in (tmp_path / "cache").rglob("index.json")]
    fetched = {path.stem for path in folder.glob("*.tar")}
    assert fetched == {path.stem for path in folder.glob("*.idx")} == {shard.name for shard in {*one, *other}}


def test_a_damaged_image_is_named_with_what_to_do(make_set):
    index = make_set({"train": ["x"]})
    with pytest.raises(ShardError, match="a train image does not decode .* horovod-ocr verify"):
        decode_train_image(b"gone", Geometry(64, (2.0,)), index)
    assert decode_train_image(image_bytes(1, (96, 32)), Geometry(64, (2.0,)), index).shape == (64, 192)
