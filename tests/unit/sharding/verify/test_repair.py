"""verify --repair: what was whole before is whole again, to the same bytes; what cannot be says why."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.errors import ShardError
from sharding.progress import Progress
from sharding.verify.repair import repair_set
from sharding.verify.verify import verify_shards


@pytest.fixture
def made(make_words, build, tmp_path: Path) -> tuple[Path, Path]:
    """(source, shards) of 80 words in shards of 10."""
    src = make_words(80)
    build(src, tmp_path / "out", samples_per_shard=10)
    return src, tmp_path / "out"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_every_kind_of_damage_is_repaired_at_once(made, read_set):
    src, out = made
    whole = read_set(out)
    (out / "train-000000.tar").unlink()
    (out / "train-000001.idx").write_bytes(b"")
    flip(out / "train-000002.tar", 700)
    (out / "val-000000.tar").write_bytes(b"more" + (out / "val-000000.tar").read_bytes())
    (out / "index.json").unlink()
    (out / ".train-000003.tar.tmp-123").write_bytes(b"half")
    seen: list[Progress] = []
    report = repair_set(out, workers=1, report=seen.append)
    assert report.ok and report.restored_index
    assert report.repaired == ("train-000000", "train-000001", "train-000002", "val-000000")
    assert read_set(out) == whole
    assert sorted(path.name for path in (out / "build").iterdir() if path.name in ("lock", "spool")) == []
    assert list(dict.fromkeys(progress.stage for progress in seen)) == ["verifying", "repairing"]
    assert seen[-1].stage == "verifying" and seen[-1].total < 80  # the damaged ones alone are read again
    assert verify_shards(out, workers=1).ok


@pytest.mark.slow
def test_two_workers_repair_what_one_does(made, read_set, monkeypatch):
    src, out = made
    whole = read_set(out)
    for name in ("train-000000", "train-000001", "test-000000"):
        (out / f"{name}.tar").unlink()
    monkeypatch.chdir(out.parent)
    assert repair_set(Path("out"), workers=2).ok
    assert read_set(out) == whole


def test_a_whole_set_is_left_alone(made):
    src, out = made
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.*")}
    report = repair_set(out, workers=1)
    assert report.ok and (report.repaired, report.restored_index) == ((), False)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.*")} == before


def test_a_source_that_moved_is_named(made, read_set):
    src, out = made
    whole = read_set(out)
    moved = src.rename(src.with_name("moved"))
    (out / "train-000000.tar").unlink()
    report = repair_set(out, workers=1)
    assert report.damaged.keys() == {"train-000000"}
    (problem,) = report.problems
    assert problem.startswith(f"nothing was repaired: there is no folder {src}")
    assert repair_set(out, [moved], workers=1).ok
    assert read_set(out) == whole


def test_a_shard_whose_images_have_changed_says_so_and_the_others_are_repaired(made, make_image, read_set):
    src, out = made
    whole = read_set(out)
    for name in ("train-000000", "train-000001"):
        (out / f"{name}.tar").unlink()
    images = sorted((src / "images").iterdir())
    changed = next(path for path in images if path.read_bytes() in whole["train-000000.tar"])
    changed.write_bytes(make_image(99, (50, 64)))
    report = repair_set(out, workers=1)
    assert (report.damaged.keys(), report.repaired) == ({"train-000000"}, ("train-000001",))
    missing, why = report.damaged["train-000000"]
    assert missing == "train-000000.tar is missing"
    assert why.startswith("train-000000 cannot be made again: 1 of its images have changed, the first is images/")
    assert not report.ok


@pytest.fixture(scope="module")
def small(tmp_path_factory, make_image, build) -> Path:
    """A set of 12 words. The test that changes it puts it back."""
    src = tmp_path_factory.mktemp("small")
    for number in range(12):
        (src / f"{number}.png").write_bytes(make_image(number))
    (src / "labels.tsv").write_text("".join(f"{number}.png\tدن {number}\n" for number in range(12)), "utf-8")
    build(src, src / "out", samples_per_shard=4)
    return src / "out"


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_a_flipped_index_is_restored_where_it_is_wrong_of_the_shards(small: Path, data):
    out = small
    content = (out / "index.json").read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    try:
        flip(out / "index.json", position)
        report = repair_set(out, workers=1)
        found = (out / "index.json").read_bytes()
    finally:
        (out / "index.json").write_bytes(content)
    assert report.ok and report.repaired == ()
    assert report.restored_index == (found == content)


def test_an_index_and_a_copy_that_are_both_damaged_are_an_error(made):
    src, out = made
    (out / "index.json").write_bytes(b"{")
    (out / "build" / "index.json").write_bytes(b"[")
    with pytest.raises(ShardError, match="build/index.json is damaged"):
        repair_set(out, workers=1)
    assert (out / "index.json").read_bytes() == b"{"


def test_where_there_is_nothing_to_repair_from(made, tmp_path: Path):
    src, out = made
    with pytest.raises(ShardError, match="no shards: there is no folder"):
        repair_set(tmp_path / "nothing")
    shutil.rmtree(out / "build")
    with pytest.raises(ShardError, match=r"build/build.json is missing, and without the folder build/ nobody knows"):
        repair_set(out)
    assert not (out / "build").exists()
