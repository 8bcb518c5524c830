"""The same images and labels lie in thirteen layouts: every one of them is packed as the same set."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import lmdb
import pyarrow
import pyarrow.parquet
import pytest

from sharding.errors import SourceError
from sharding.format.index import read_index
from sharding.layouts import lmdb_records
from sharding.layouts.find import LAYOUTS

LABELS = ("کتاب", "پاکستان", "دن", "رات")
SAMPLES = [(f"w{number:02d}", LABELS[number % len(LABELS)]) for number in range(12)]


@pytest.fixture(autouse=True)
def closed_afterwards():
    yield
    lmdb_records._environment.cache_clear()


@pytest.fixture
def images(make_image) -> dict[str, bytes]:
    return {name: make_image(number) for number, (name, _) in enumerate(SAMPLES)}


def lines(form: str, rows: list[tuple[str, str]] = SAMPLES) -> str:
    return "".join(form % row for row in rows)


def write_tars(folder: Path, suffix: str, images: dict[str, bytes], cut: int = 7) -> None:
    folder.mkdir()
    for number, rows in enumerate((SAMPLES[:cut], SAMPLES[cut:])):
        with tarfile.open(folder / f"{number}.tar", "w") as tar:
            for name, label in rows:
                for member, content in ((f"{name}.png", images[name]), (f"{name}.{suffix}", label.encode())):
                    info = tarfile.TarInfo(member)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def write_lmdb(folder: Path, images: dict[str, bytes]) -> None:
    folder.mkdir()
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"num-samples", b"%d" % len(SAMPLES))
        for number, (name, label) in enumerate(SAMPLES, 1):
            transaction.put(b"image-%09d" % number, images[name])
            transaction.put(b"label-%09d" % number, label.encode())


def write_parquet(folder: Path, images: dict[str, bytes]) -> None:
    folder.mkdir()
    for number, rows in enumerate((SAMPLES[:7], SAMPLES[7:])):
        pictures = [{"bytes": images[name], "path": None} for name, _ in rows]
        table = pyarrow.table({"image": pictures, "text": [label for _, label in rows]})
        pyarrow.parquet.write_table(table, folder / f"{number}.parquet", row_group_size=3)


@pytest.fixture
def raw(tmp_path: Path, write, build, images) -> Callable[[str], Path]:
    """raw(layout): a folder that holds SAMPLES in that layout."""
    pictures = {f"{name}.png": image for name, image in images.items()}
    below = {f"images/{name}": image for name, image in pictures.items()}
    files: dict[str, dict] = {
        "easyocr": pictures | {"labels.csv": "filename,words\n" + lines("%s.png,%s\n")},
        "labels": below | {"labels.tsv": lines("images/%s.png\t%s\n")},
        "splits": pictures
        | {"train.tsv": lines("%s.png\t%s\n", SAMPLES[:7]), "val.csv": lines("%s.png,%s\n", SAMPLES[7:])},
        "paddleocr": below | {"rec_gt_train.txt": lines("images/%s.png\t%s\n")},
        "huggingface": pictures | {"metadata.csv": "file_name,text\n" + lines("%s.png,%s\n")},
        "doctr": below | {"labels.json": json.dumps({f"{name}.png": label for name, label in SAMPLES})},
        "beside": below | {f"images/{name}.gt.txt": label + "\n" for name, label in SAMPLES},
        "classes": {f"{label}/{name}.png": images[name] for name, label in SAMPLES},
        "names": {f"{name}_{label}.png": images[name] for name, label in SAMPLES},
    }

    def write_source(layout: str) -> Path:
        if layout == "lmdb":
            write_lmdb(tmp_path / "lmdb", images)
        elif layout == "parquet":
            write_parquet(tmp_path / "parquet", images)
        elif layout == "webdataset":
            write_tars(tmp_path / "webdataset", "txt", images)
        elif layout == "shards":
            build(write(files["labels"]), tmp_path / "shards", samples_per_shard=2)
        else:
            return write(files[layout])
        return tmp_path / layout

    return write_source


@pytest.fixture
def pairs(read_packed) -> Callable[[Path], list[tuple[bytes, str]]]:
    """(image, label) of every sample of a set, sorted; a class by its name."""

    def read_pairs(out: Path) -> list[tuple[bytes, str]]:
        names = read_index(out).classes
        return sorted(
            (sample.image, names[int(sample.label)] if names else sample.label) for sample in read_packed(out)
        )

    return read_pairs


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_packed_as_the_same_set(tmp_path, raw, images, build, pairs, layout):
    src, out = raw(layout), tmp_path / "out"
    name_pattern = "_(.*)[.]png" if layout == "names" else None
    report = build(src, out, label_from_name=name_pattern)
    assert (report.index.options["layout"], report.index.counts.rejects) == (layout, {})
    assert pairs(out) == sorted((images[name], label) for name, label in SAMPLES)
    again = build(src, out, label_from_name=name_pattern, workers=2)
    assert again.already_complete
    (out / "index.json").unlink()
    (out / "build/index.json").unlink()
    assert build(src, out, label_from_name=name_pattern).kept_shards == len(report.index.shards)


def test_the_splits_that_a_source_gives_are_kept(tmp_path, raw, build, read_packed):
    build(raw("splits"), tmp_path / "out")
    assert [sample.split for sample in read_packed(tmp_path / "out")].count("val") == 5


@pytest.mark.parametrize("kind", ["words", "classes"])
def test_a_set_in_shards_of_another_size(tmp_path, raw, build, pairs, read_packed, kind):
    src = raw("labels" if kind == "words" else "classes")
    first = build(src, tmp_path / "first", samples_per_shard=2)
    second = build(tmp_path / "first", tmp_path / "second", samples_per_shard=100)
    assert second.index.options["layout"] == "shards"
    assert second.index.kind == kind
    assert second.index.counts.totals == first.index.counts.totals
    assert len(second.index.shards) < len(first.index.shards)
    assert set(read_packed(tmp_path / "second")) == set(read_packed(tmp_path / "first"))  # each in its split
    assert pairs(tmp_path / "second") == pairs(tmp_path / "first")


def test_two_sets_in_one(tmp_path, build, make_image, read_packed):
    for position, name in enumerate("ab"):
        src = tmp_path / f"raw-{name}"
        src.mkdir()
        for number in range(20):
            (src / f"{number}.png").write_bytes(make_image(100 * position + number))
        rows = [f"{number}.png\t{LABELS[number % 4][: 2 + number // 8]}\t{name}\n" for number in range(20)]
        (src / "labels.tsv").write_text("".join(rows), encoding="utf-8")
        build(src, tmp_path / name, samples_per_shard=3 + position)
    report = build((tmp_path / "a", tmp_path / "b"), tmp_path / "both")
    both = read_packed(tmp_path / "both")
    assert report.index.options["layout"] == "shards, shards"
    assert sorted(both) == sorted(read_packed(tmp_path / "a") + read_packed(tmp_path / "b"))
    assert read_index(tmp_path / "both").subsets == ("", "a", "b")
    assert not {one.label for one in both if one.split == "train"} & {one.label for one in both if one.split != "train"}


def test_two_sets_of_classes_in_one(tmp_path, build, write, make_image, pairs):
    for position, names in enumerate((("cat", "dog"), ("ant", "dog"))):
        for number in range(8):
            folder = tmp_path / f"raw-{position}" / names[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.png").write_bytes(make_image(position * 100 + number))
        build(tmp_path / f"raw-{position}", tmp_path / f"set-{position}")
    report = build((tmp_path / "set-0", tmp_path / "set-1"), tmp_path / "both")
    assert report.index.classes == ("ant", "cat", "dog")  # their numbers are others than in either set
    assert pairs(tmp_path / "both") == sorted(pairs(tmp_path / "set-0") + pairs(tmp_path / "set-1"))


def test_tars_of_classes_of_anybody(tmp_path, images, build, pairs):
    write_tars(tmp_path / "tars", "cls", images)
    report = build(tmp_path / "tars", tmp_path / "out")
    assert (report.index.options["layout"], report.index.kind) == ("webdataset", "classes")
    assert pairs(tmp_path / "out") == sorted((images[name], label) for name, label in SAMPLES)


def test_a_changed_tar_is_another_source(tmp_path, raw, build):
    src, out = raw("webdataset"), tmp_path / "out"
    build(src, out)
    content = bytearray((src / "1.tar").read_bytes())
    content[600] ^= 1
    (src / "1.tar").write_bytes(content)
    with pytest.raises(SourceError, match="complete set of another or an older source"):
        build(src, out)
