"""What is counted in a set is what it holds, and what an audit counts is what a build packs."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharding.audit.audit import audit_source
from sharding.audit.set_stats import SetStats, count_set, stats_of_audit
from sharding.format.index import ShardIndex, read_index
from sharding.options import ShardOptions
from tests.unit.shard_sets import write_set

WORDS = {"train": ["اب", "جہان"] * 20 + ["x"], "val": ["ابج"], "test": ["اب", "ب"]}


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., ShardIndex]:
    return lambda labels, **options: write_set(tmp_path / "shards", labels, **options)


def sizes_of(stats: SetStats) -> dict[str, dict[int, int]]:
    found = {name: histogram.counts() for name, histogram in stats.sizes.items()}
    return {name: dict(zip(n.tolist(), counts.tolist(), strict=True)) for name, (n, counts) in found.items()}


def test_counts_are_those_of_the_samples(make_set):
    stats = count_set(make_set(WORDS))
    lengths = Counter(len(word) for words in WORDS.values() for word in words)
    assert sizes_of(stats)["label_length"] == dict(lengths)
    assert sizes_of(stats)["width"] == {48: 15, 96: 15, 144: 14}
    assert stats.splits == ("train", "val", "test")
    assert stats.buckets.tolist() == [[41], [1], [2]] and stats.subsets.sum(axis=1).tolist() == [41, 1, 2]


def test_classes_are_counted_by_split(make_set):
    names = tuple(f"class {n}" for n in range(12))
    train = [str(n) for n in range(12) for _ in range(n)]
    stats = count_set(make_set({"train": train, "val": ["0", "11"]}, kind="classes", classes=names))
    assert stats.classes.tolist() == [[*range(12)], [1, *[0] * 10, 1]]
    assert stats.classes_in_train.tolist() == [*range(12)] and "label_length" not in stats.sizes


def test_without_a_train_split_all_samples_count_for_a_class(make_set):
    stats = count_set(make_set({"val": ["0"], "test": ["0", "1"]}, kind="classes", classes=("a", "b")))
    assert stats.classes_in_train.tolist() == [2, 1]


def test_an_older_set_does_not_say_how_many_samples_a_class_has(make_set):
    index = make_set({"train": ["0"] * 4}, kind="classes", classes=("only",), class_samples={})
    assert count_set(index).classes.size == 0


def test_progress_reaches_the_end(make_set):
    records = []
    count_set(make_set(WORDS), records.append)
    assert [record.done for record in records] == [*range(0, 41, 4), 41, 42, 44]
    assert {record.total for record in records} == {44}


def options_of(src: Path, out: Path) -> ShardOptions:
    return ShardOptions.of(src=src, out=out, workers=1, samples_per_shard=20)


def assert_an_audit_counts_what_a_build_packs(src: Path, out: Path, build) -> None:
    expected = stats_of_audit(audit_source(options_of(src, out)))
    build(src, out, samples_per_shard=20)
    packed = count_set(read_index(out))
    assert sizes_of(packed) == sizes_of(expected)
    order = [expected.splits.index(split) for split in packed.splits]
    for name in ("buckets", "subsets", "classes"):
        assert np.array_equal(getattr(packed, name), getattr(expected, name)[order]), name


def test_an_audit_counts_what_a_build_packs(make_words, build, tmp_path: Path):
    assert_an_audit_counts_what_a_build_packs(make_words(90), tmp_path / "out", build)


def test_an_audit_of_classes_counts_what_a_build_packs(make_image, build, tmp_path: Path):
    for number in range(60):
        (tmp_path / "raw" / f"c{number % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / f"c{number % 3}" / f"{number}.png").write_bytes(make_image(number))
    assert_an_audit_counts_what_a_build_packs(tmp_path / "raw", tmp_path / "out", build)
