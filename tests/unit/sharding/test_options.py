"""What a build is asked for: what makes no sense is refused, several sources go together, images are encoded again."""

import io
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharding.errors import ConfigError, SourceError
from sharding.format.idx import read_idx
from sharding.format.index import read_index


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"src": ()}, "no source is named"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"samples_per_shard": 0}, "samples_per_shard must be at least 1, not 0"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"max_label": -1}, "max_label must be at least 0, not -1"),
        ({"model_height": 0}, "model_height must be at least 1, not 0"),
        ({"frame_px": 0}, "frame_px must be at least 1, not 0"),
        ({"check": "none"}, "full, structure, header"),
        ({"image": "webp"}, "keep, png, jpeg"),
        ({"height": 64}, "goes with --image png or --image jpeg"),
        ({"image": "png", "height": 0}, "height must be at least 1, not 0"),
        ({"frame_px": 10**20}, "frame_px must be at most 10000, not 1"),
        ({"fractions": (0.9, 0.1, 0.1)}, "must add to 1"),
        ({"fractions": (1.1, 0.0, -0.1)}, "must add to 1"),
        ({"profile": "greek"}, "urdu, arabic, persian, thai, latin, plain"),
        ({"layout": "zip"}, "labels, splits, paddleocr"),
        ({"split": "page"}, "unknown split 'page'"),
        ({"split": "lists"}, "unknown split 'lists'"),
        ({"split": "file", "group_from": "p"}, "exclude each other"),
        ({"group_from": "p", "split_lists": Path("lists")}, "exclude each other"),
        ({"group_from": "("}, "not a regular expression"),
        ({"group_from": ""}, "takes a pattern"),
    ],
)
def test_options_that_make_no_sense(build, make_words, tmp_path: Path, change: dict, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        build(**{"src": make_words(3), "out": tmp_path / "out", **change})
    assert not (tmp_path / "out" / "index.json").exists()


@pytest.mark.slow
def test_sources_of_several_layouts_make_one_set(build, read_packed, read_list, make_words, make_image, tmp_path: Path):
    beside, given, shards = tmp_path / "beside", tmp_path / "given", tmp_path / "shards"
    beside.mkdir()
    given.mkdir()
    for number in range(30):
        (beside / f"{number}.png").write_bytes(make_image(1000 + number))
        (beside / f"{number}.gt.txt").write_text("رات", encoding="utf-8")
        (given / f"{number}.png").write_bytes(make_image(2000 + number))
    for split, numbers in (("train", range(10)), ("test", range(10, 31))):
        rows = "".join(f"{number}.png\tدن\t{split}ed\n" for number in numbers)
        (given / f"{split}.tsv").write_text(rows, encoding="utf-8")
    build(make_words(40, "first"), shards, samples_per_shard=7)
    report = build((make_words(50), beside, given, shards), tmp_path / "out", dedup=True)
    assert report.index.options["layout"] == "labels, beside, splits, shards"
    # the shards hold the first 40 of the words again: other words of another split, so copies, left out
    assert report.index.counts.duplicates["left out"] == len(read_list(tmp_path / "out" / "duplicates.tsv")) == 40
    assert (sum(report.index.counts.totals.values()), report.index.counts.rejects) == (
        50 + 30 + 30,
        {"missing image": 1},
    )
    packed = read_packed(tmp_path / "out")
    assert Counter(split for split, _, label in packed if label == "دن")["test"] >= 20
    images = {make_image(1000 + number) for number in range(30)}
    assert {label for _, image, label in packed if image in images} == {"رات"}
    index = read_index(tmp_path / "out")
    assert index.subsets == ("", "lexicon", "random", "tested", "trained")
    rows = np.concatenate([read_idx(index.idx_path(shard)) for shard in index.shards])
    named = Counter(index.subsets[number] for number in rows["subset"])
    assert named == {"": 30, "lexicon": 25, "random": 25, "tested": 20, "trained": 10}


@pytest.mark.slow
def test_a_source_that_is_added_leaves_the_order_of_the_first(build, read_packed, make_words, make_image, tmp_path):
    first, second = make_words(60, widths=(96,)), tmp_path / "second"  # one bucket
    (second / "images").mkdir(parents=True)
    rows = [f"images/{number:05d}.png\tآسمان\n" for number in range(60)]  # the names of the first source again
    for number in range(60):
        (second / f"images/{number:05d}.png").write_bytes(make_image(500 + number))
    (second / "labels.tsv").write_text("".join(rows), encoding="utf-8")
    build(first, tmp_path / "alone", samples_per_shard=1000)
    build((first, second), tmp_path / "together", samples_per_shard=1000)
    of_second = {make_image(500 + number) for number in range(60)}
    together = read_packed(tmp_path / "together")
    assert len(together) == 120
    alone = read_packed(tmp_path / "alone")
    assert [sample for sample in together if sample.image not in of_second] == alone
    assert together[: len(alone)] != alone


def test_words_and_classes_do_not_go_together(build, make_words, make_image, tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        (tmp_path / "classes" / name / "1.png").write_bytes(make_image(1))
    with pytest.raises(ConfigError, match="words and classes do not go into one set .*classes holds classes"):
        build((make_words(3), tmp_path / "classes"), tmp_path / "out")


def test_the_same_folder_twice_is_refused(build, make_words, tmp_path: Path, monkeypatch):
    src = make_words(3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(src)
    for again in (src, Path("raw"), src / ".." / "raw", tmp_path / "link"):
        with pytest.raises(ConfigError, match="the same folder is named twice"):
            build((src, again), tmp_path / "out")


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_images_are_encoded_again_at_a_height(build, read_packed, make_image, tmp_path: Path, form: str):
    sizes = {"high": (300, 128), "low": (90, 32), "right": (90, 64)}
    src, out = tmp_path / "raw", tmp_path / "out"
    src.mkdir()
    for name, size in sizes.items():
        (src / f"{name}.png").write_bytes(make_image(7, size))
        (src / f"{name}.jpg").write_bytes(make_image(7, size, "RGB", "jpg"))
    labels = {"high": "رات", "low": "دن", "right": "سال"}
    rows = "".join(f"{name}.{suffix}\t{labels[name]}\n" for name in sizes for suffix in ("png", "jpg"))
    (src / "labels.tsv").write_text(rows, encoding="utf-8")
    build(src, out, image=form, height=64)
    wanted = {"رات": (150, 64), "دن": (90, 32), "سال": (90, 64)}  # what is lower stays as it is
    packed = read_packed(out)
    assert len(packed) == 6
    index = read_index(out)
    records = np.concatenate([read_idx(index.idx_path(shard)) for shard in index.shards])
    for sample, record in zip(packed, records, strict=True):
        with Image.open(io.BytesIO(sample.image)) as image:
            assert image.format == form.upper()
            assert image.size == wanted[sample.label] == (record["width"], record["height"])
    assert set(records["image_format"].tolist()) == {int(form == "jpeg")}
    kept = [sample for sample in packed if sample.image == (src / "low.jpg").read_bytes()]
    assert len(kept) == (form == "jpeg")  # a JPEG that may stay as it is does
    for shard in index.shards:
        with tarfile.open(index.tar_path(shard)) as tar:
            suffixes = {name.rsplit(".", 1)[1] for name in tar.getnames()}
        assert suffixes == {"jpg" if form == "jpeg" else "png", "txt"}


def test_names_that_are_no_utf8_pass_through(build, read_packed, read_list, make_image, tmp_path: Path):
    root = os.fsencode(tmp_path) + b"/raw \xff"
    os.mkdir(root)
    for number in range(6):
        with open(root + b"/%d\xfe.png" % number, "wb") as file:
            file.write(make_image(number))
    with open(root + b"/labels.tsv", "wb") as file:
        file.write(b"".join(b"%d\xfe.png\t\xd8\xaf\xd9\x86\n" % number for number in range(7)))
    src, out = Path(os.fsdecode(root)), tmp_path / "out"
    report = build(src, out)
    assert (sum(report.index.counts.totals.values()), report.index.counts.rejects) == (6, {"missing image": 1})
    assert [row["path"] for row in read_list(out / "rejects.tsv")] == ["6\\xfe.png"]
    assert build(src, out).already_complete


def test_a_class_whose_name_is_no_utf8_is_rejected(build, read_packed, read_list, make_image, tmp_path: Path):
    root = os.fsencode(tmp_path / "raw")
    for position, name in enumerate((b"ant", b"bee \xff", "چیونٹی".encode())):
        os.makedirs(os.path.join(root, name))
        for number in range(3):
            with open(os.path.join(root, name, b"%d.png" % number), "wb") as file:
                file.write(make_image(10 * position + number))
    report = build(tmp_path / "raw", tmp_path / "out")
    assert report.index.classes == ("ant", "چیونٹی")
    assert (sum(report.index.counts.totals.values()), report.index.counts.rejects) == (6, {"label is not UTF-8": 3})
    assert Counter(label for _, _, label in read_packed(tmp_path / "out")) == {"0": 3, "1": 3}
    assert {row["path"] for row in read_list(tmp_path / "out" / "rejects.tsv")} == {
        f"bee \\xff/{number}.png" for number in range(3)
    }


def test_classes_are_taken_up_again_whatever_profile_is_named(build, make_image, tmp_path: Path):
    for number in range(4):
        folder = tmp_path / "raw" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(make_image(number))
    first = build(tmp_path / "raw", tmp_path / "out", profile="urdu")
    assert first.index.profile.name == "plain"
    assert build(tmp_path / "raw", tmp_path / "out", profile="urdu").already_complete


def test_a_source_without_a_usable_name_is_said(build, tmp_path: Path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(SourceError, match="raw is empty"):
        build(tmp_path / "raw", tmp_path / "out")
