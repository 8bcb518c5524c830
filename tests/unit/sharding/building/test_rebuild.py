"""Damaged shards made again: exactly those, to the same bytes; or a sentence, and nothing is touched."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sharding.building import state as resume
from sharding.building.rebuild import rebuild_shards
from sharding.building.state import BuildFolder
from sharding.errors import ShardError, SourceError
from sharding.format.index import read_index
from sharding.system.workers import open_workers
from sharding.verify.verify import verify_shards


@pytest.fixture(scope="module")
def sources(tmp_path_factory, make_image) -> tuple[Path, Path]:
    """Words in a label file with copies, conflicts, rejects and images that are converted; and words with texts beside
    them."""
    listed, beside = tmp_path_factory.mktemp("listed"), tmp_path_factory.mktemp("beside")
    rows = []
    for number in range(90):
        suffix = ("png", "png", "bmp")[number % 3]
        (listed / f"{number}.{suffix}").write_bytes(make_image(number % 80, (60 + number % 4 * 15, 64), "RGB", suffix))
        rows.append(f"{number}.{suffix}\t{'دن' if number != 85 else 'رات'}{'ابپ'[number % 2]}\tlisted\n")
    (listed / "labels.tsv").write_text("".join([*rows, "none.png\tدن\n"]), encoding="utf-8")
    for number in range(30):
        (beside / f"{number}.png").write_bytes(make_image(200 + number, (150, 64)))
        (beside / f"{number}.txt").write_text("آسمان" + "ابپ"[number % 3], encoding="utf-8")
    return listed, beside


@pytest.fixture(scope="module")
def whole(sources, build, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("set") / "out"
    build(sources, out, samples_per_shard=7, dedup=True)
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "out"))


def rebuild(out: Path, names, workers: int = 1, src: list[Path] | None = None) -> dict[str, str]:
    with open_workers(workers) as pool:
        return rebuild_shards(BuildFolder(out), read_index(out), names, pool, lambda progress: None, src)


def damaged(out: Path) -> set[str]:
    return set(verify_shards(out, workers=1).damaged)


def stats(out: Path, but: set[str]) -> dict[str, tuple]:
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in out.iterdir()
        if path.is_file() and path.stem not in but
    }


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "tar cut": lambda tar, idx: tar.write_bytes(tar.read_bytes()[:-2048]),
    "tar cut in the middle": lambda tar, idx: tar.write_bytes(tar.read_bytes()[:700]),
    "image flipped": lambda tar, idx: flip(tar, 600),
    "header flipped": lambda tar, idx: flip(tar, 3),
    "tar missing": lambda tar, idx: tar.unlink(),
    "idx missing": lambda tar, idx: idx.unlink(),
    "idx cut": lambda tar, idx: idx.write_bytes(idx.read_bytes()[:-1]),
    "idx flipped": lambda tar, idx: flip(idx, 200),
    "both missing": lambda tar, idx: (tar.unlink(), idx.unlink()),
    "both empty": lambda tar, idx: (tar.write_bytes(b""), idx.write_bytes(b"")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_exactly_the_damaged_shards_are_named_and_made_again(out: Path, whole: Path, read_set, damage: str):
    names = {"train-000001", "test-000000"}
    for name in names:
        DAMAGE[damage](out / f"{name}.tar", out / f"{name}.idx")
    others = stats(out, but=names)
    assert len(others) > 10
    assert damaged(out) == names
    assert rebuild(out, names) == {}
    assert read_set(out) == read_set(whole)
    assert stats(out, but=names) == others
    assert damaged(out) == set()


@pytest.mark.slow
def test_every_shard_can_be_made_again_by_several_workers(out: Path, whole: Path, read_set):
    names = {shard.name for shard in read_index(out).shards}
    for path in [*out.glob("*.tar"), *out.glob("*.idx")]:
        path.unlink()
    assert damaged(out) == names
    assert rebuild(out, names, workers=2) == {}
    assert read_set(out) == read_set(whole)


@pytest.fixture
def moved(sources, tmp_path: Path) -> list[Path]:
    """A copy of both sources, to be changed."""
    return [Path(shutil.copytree(source, tmp_path / source.name)) for source in sources]


def test_a_source_that_moved_is_read_where_it_lies_now(out: Path, whole: Path, moved, read_set):
    (out / "train-000000.tar").unlink()
    assert rebuild(out, {"train-000000"}, src=moved) == {}
    assert read_set(out) == read_set(whole)
    (out / "train-000000.tar").unlink()
    with pytest.raises(ShardError, match="was made of 2 sources, 1 are named; name all"):
        rebuild(out, {"train-000000"}, src=moved[:1])
    with pytest.raises(SourceError, match="there is no folder .*gone"):
        rebuild(out, {"train-000000"}, src=[moved[0], out / "gone"])
    assert not (out / "train-000000.tar").exists()


def failures_of(out: Path, change: Callable[[], object], moved: list[Path]) -> dict[str, str]:
    """What rebuilding everything says after a change of the sources. Nothing in the folder may be another after it."""
    change()
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    failed = rebuild(out, {shard.name for shard in read_index(out).shards}, src=moved)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert not list(out.glob(".*"))
    return failed


@pytest.mark.slow
def test_an_image_that_changed_is_named(out: Path, moved, make_image):
    image = moved[1] / "3.png"
    for change, sentence in (
        (lambda: image.write_bytes(make_image(999, (150, 64))), "1 of its images have changed, the first is 3.png;"),
        (lambda: image.write_bytes(make_image(3)[:-9]), "3.png: damaged image"),
        (image.unlink, "3.png: missing image"),
    ):
        ((name, why),) = failures_of(out, change, moved).items()
        assert why.startswith(f"{name} cannot be made again: {sentence}")


def test_a_text_that_changed_or_went_is_found(out: Path, moved):
    (failed,) = failures_of(out, lambda: (moved[1] / "3.txt").write_text("دن", encoding="utf-8"), moved).values()
    assert "cannot be made again: its source is no longer what it was made of" in failed
    (failed,) = failures_of(out, (moved[1] / "3.txt").unlink, moved).values()
    assert "cannot be made again: 3.png: no label" in failed


def test_what_stands_in_the_label_file_by_now_does_not_matter(out: Path, whole: Path, moved, read_set):
    labels = moved[0] / "labels.tsv"
    labels.write_text(labels.read_text("utf-8").replace("دن", "رات"), encoding="utf-8")
    (out / "train-000002.tar").unlink()
    assert rebuild(out, {"train-000002"}, src=moved) == {}
    assert read_set(out) == read_set(whole)


@pytest.mark.parametrize("lost", ["", "build.json", "members.bin", "entries.bin", "order.bin", "texts.bin"])
def test_without_the_build_folder_it_is_said_what_to_do(out: Path, lost: str):
    shutil.rmtree(out / "build") if not lost else (out / "build" / lost).unlink()
    (out / "train-000000.tar").unlink()
    with pytest.raises(ShardError, match="does not say any more what went into each shard; make the set again into"):
        rebuild(out, {"train-000000"})


def test_the_same_command_says_so_where_the_source_no_longer_holds_it(
    build, make_words, make_image, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(resume, "_COMPARED", 0)  # of a large set the change of one image is not seen
    src, out = make_words(40), tmp_path / "out"
    build(src, out, samples_per_shard=100)
    (out / "train-000000.tar").unlink()
    (out / "test-000000.idx").unlink()
    for path in (src / "images").iterdir():
        path.write_bytes(make_image(5000))
    sentence = "train-000000 cannot be made again: .* of its images have changed, the first is .*1 more like this"
    with pytest.raises(ShardError, match=sentence):
        build(src, out, samples_per_shard=100)
    assert not (out / "train-000000.tar").exists()
