"""A set of classes, from folders to its index."""

import json
from collections import Counter
from pathlib import Path

import pytest

from sharding.build import build_shards
from sharding.format.idx import read_idx, read_sample, record_of
from sharding.format.index import ShardIndex, read_index
from sharding.options import ShardOptions

NAMES = ("emu", "ant", "big cat", "گربه")


@pytest.fixture(scope="module")
def raw(tmp_path_factory, make_image) -> Path:
    """Videos of ten frames, three of each class, and of images of many shapes."""
    root = tmp_path_factory.mktemp("raw")
    for number in range(120):
        folder = root / NAMES[number // 30]
        folder.mkdir(exist_ok=True)
        name = f"video{number // 10:02d}-{number % 10}.png"
        (folder / name).write_bytes(make_image(number, (20 + 7 * (number % 9), 40), "RGB"))
    return root


def build(raw: Path, out: Path, **options) -> ShardIndex:
    build_shards(ShardOptions.of(src=raw, out=out, samples_per_shard=20, **{"workers": 1, **options}))
    return read_index(out)


def labels_of(index: ShardIndex, split: str) -> Counter:
    """Class -> samples, as the tars hold them."""
    found: Counter = Counter()
    for shard in index.of(split):
        records = read_idx(index.idx_path(shard))
        with index.tar_path(shard).open("rb") as tar:
            for row in range(shard.samples):
                found[index.classes[int(read_sample(tar, record_of(records, row))[1])]] += 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_the_index_counts_each_class_in_each_split(raw, tmp_path, workers):
    index = build(raw, tmp_path / "shards", workers=workers, fractions=(0.6, 0.2, 0.2))
    assert index.classes == tuple(sorted(NAMES))
    for split in ("train", "val", "test"):
        counted = dict(zip(index.classes, index.counts.class_samples[split], strict=True))
        assert Counter({name: count for name, count in counted.items() if count}) == labels_of(index, split)
        assert sum(counted.values()) == index.counts.totals[split]


@pytest.mark.slow
def test_classes_have_one_bucket_whatever_their_shapes(raw, tmp_path):
    index = build(raw, tmp_path / "shards")
    assert len(index.bucket_edges) == 1 and {shard.bucket for shard in index.shards} == {0}
    widest = max(
        (read_idx(index.idx_path(shard)) for shard in index.shards), key=lambda records: records["width"].max()
    )
    assert index.bucket_edges[0] >= widest["width"].max() / 40


@pytest.mark.slow
def test_a_group_is_in_one_split(raw, tmp_path):
    """Near-copies of a training image would score too well."""
    index = build(raw, tmp_path / "shards", group_from=r"video\d+", fractions=(0.5, 0.25, 0.25))
    totals = index.counts.totals.values()
    assert sum(totals) == 120 and sum(count > 0 for count in totals) >= 2
    for samples in index.counts.class_samples.values():
        assert all(count % 10 == 0 for count in samples)


@pytest.mark.slow
def test_an_image_of_no_group_is_rejected_and_counted(raw, tmp_path):
    index = build(raw, tmp_path / "shards", group_from=r"video0\d")
    assert index.counts.rejects == {"no group": 20} and sum(index.counts.totals.values()) == 100


@pytest.mark.slow
def test_a_set_without_the_counts_is_read(raw, tmp_path):
    build(raw, tmp_path / "shards")
    path = tmp_path / "shards" / "index.json"
    values = json.loads(path.read_text("utf-8"))
    del values["class_samples"]
    path.write_text(json.dumps(values), "utf-8")
    assert read_index(tmp_path / "shards").counts.class_samples == {}
