"""Each sample of a set knows its file, as long as the set has its own build folder."""

import shutil
from pathlib import Path

import pytest

from sharding.building.origins import files_of, origins_of
from sharding.format.idx import read_idx, read_sample, record_of


@pytest.fixture
def built(tmp_path: Path, build, make_image):
    src = tmp_path / "raw"
    src.mkdir()
    for number in range(40):
        (src / f"{number}.png").write_bytes(make_image(number))
    (src / "labels.tsv").write_text("".join(f"{n}.png\t{'ابپت'[n % 4]}\n" for n in range(40)), "utf-8")
    return build(src, tmp_path / "out", samples_per_shard=8, split="file").index


def test_the_path_of_each_sample_is_that_of_its_image(built, tmp_path: Path):
    places, images = [], []
    for shard in built.shards:
        records = read_idx(built.idx_path(shard))
        with built.tar_path(shard).open("rb") as tar:
            images += [read_sample(tar, record_of(records, row))[0] for row in range(shard.samples)]
        places += [(shard.name, row) for row in range(shard.samples)]
    paths = origins_of(built, places[::-1])[::-1]
    assert len(built.shards) > 2 and len(set(paths)) == 40
    assert [(tmp_path / "raw" / path).read_bytes() for path in paths] == images
    assert files_of(built, places) == [str(tmp_path / "raw" / path) for path in paths]


@pytest.mark.parametrize("lost", ["build", "build/members.bin", "build/index.json", "build/texts.bin"])
def test_without_the_build_folder_nothing_is_known(built, lost):
    path = built.root / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    place = [(built.shards[0].name, 0)]
    assert origins_of(built, place) is None and files_of(built, place) is None


def test_the_folder_of_another_build_is_not_asked(built):
    index = built.root / "build" / "index.json"
    index.write_bytes(index.read_bytes() + b"\n")
    assert origins_of(built, [(built.shards[0].name, 0)]) is None
