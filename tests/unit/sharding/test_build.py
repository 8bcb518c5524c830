"""The build: the same bytes whatever happens around it, every input in exactly one place, and a sentence for every
refusal."""

import csv
import hashlib
import io
import json
import os
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sharding.build import ShardOptions, build_shards
from sharding.catalogue import open_catalogue
from sharding.errors import ConfigError, ShardError, SourceError
from sharding.images import digest_of
from sharding.index import check_shards_present, read_idx, read_index
from sharding.progress import Progress

# webdataset leaves its tars for the garbage collector to close
LEAVES_FILES_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def options(src: Path, out: Path, **others) -> ShardOptions:
    return ShardOptions(**{"src": src, "out": out, "workers": 1, **others})


def read_rejects(out: Path) -> list[tuple[str, str]]:
    with (out / "rejects.tsv").open(encoding="utf-8") as file:
        return [(row["path"], row["reason"]) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def packed_samples(out: Path) -> list[tuple[str, bytes, str]]:
    """(split, image bytes, label) of every sample, read by the offsets of the .idx."""
    index, samples = read_index(out), []
    for shard in index.shards:
        tar = index.tar_path(shard).read_bytes()
        for record in read_idx(index.idx_path(shard)):
            image, label = (
                tar[int(record[f"{part}_offset"]) :][: int(record[f"{part}_size"])] for part in ("image", "label")
            )
            samples.append((shard.split, image, label.decode()))
    return samples


def test_the_same_bytes_with_one_and_four_workers(make_words, tmp_path: Path, read_set):
    src = make_words(700)
    for workers in (1, 4):
        report = build_shards(options(src, tmp_path / f"out{workers}", workers=workers, samples_per_shard=40))
        assert report.shards > 12
    assert read_set(tmp_path / "out1") == read_set(tmp_path / "out4")


@pytest.mark.parametrize("layout", ["labels", "beside", "classes"])
def test_the_same_bytes_for_files_made_in_another_order(tmp_path: Path, read_set, make_image, layout: str):
    for copy in ("first", "second"):
        files = {f"c{number % 3}/{number}.png": make_image(number) for number in range(60)}
        lines = [f"{name}\tدن{'ابپ'[number % 3]}\n" for number, name in enumerate(files)]
        if layout == "beside":
            files |= {name.replace(".png", ".gt.txt"): b"\xd8\xaf\xd9\x86" for name in files}
        names = list(files)
        if copy == "second":
            random.Random(1).shuffle(names)
            random.Random(2).shuffle(lines)
        for name in names:
            (tmp_path / copy / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / copy / name).write_bytes(files[name])
        if layout == "labels":
            (tmp_path / copy / "labels.tsv").write_text("".join(lines), encoding="utf-8")
        assert build_shards(options(tmp_path / copy, tmp_path / f"{copy}.out")).layout == layout
    assert read_set(tmp_path / "first.out") == read_set(tmp_path / "second.out")


def test_workers_find_relative_paths_after_a_change_of_folder(make_words, tmp_path: Path, monkeypatch, read_set):
    make_words(300)
    for workers in (1, 2):
        monkeypatch.chdir(tmp_path)
        build_shards(options(Path("raw"), Path(f"out{workers}"), workers=workers))
    assert read_set(tmp_path / "out1") == read_set(tmp_path / "out2")


def test_another_seed_gives_other_splits_and_another_order(make_words, tmp_path: Path):
    src = make_words(100)
    keys = []
    for seed in (0, 1):
        build_shards(options(src, tmp_path / str(seed), seed=seed))
        keys.append([image for _, image, _ in packed_samples(tmp_path / str(seed))])
    assert sorted(keys[0]) == sorted(keys[1])
    assert keys[0] != keys[1]


IMAGES = st.sampled_from(["good", "good", "good", "palette", "truncated", "empty", "missing", "text", "narrow"])
LABELS = st.sampled_from(["دن", "رات", "کتاب", "بب", "abc", "", " ", "\u064eدن", None, "ي", "سال 12"])


@given(entries=st.lists(st.tuples(IMAGES, LABELS, st.integers(0, 5)), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_every_input_ends_in_exactly_one_shard_or_in_rejects(make_image, entries: list):
    with tempfile.TemporaryDirectory() as folder:
        src, out = Path(folder, "raw"), Path(folder, "out")
        src.mkdir()
        lines, contents = [], {}
        for place, (kind, label, repeat) in enumerate(entries):
            name = f"{place if repeat else 0}.png"  # now and then an image is named again
            lines.append(name if label is None else f"{name}\t{label}")
            good = make_image(place, (8, 64) if kind == "narrow" else (96, 64), "P" if kind == "palette" else "L")
            content = {"truncated": good[:-20], "empty": b"", "text": b"hello"}.get(kind, good)
            if kind != "missing" and name not in contents:
                contents[name] = content
                (src / name).write_bytes(content)
        (src / "labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        try:
            report = build_shards(options(src, out, profile="urdu", samples_per_shard=3))
        except SourceError as error:
            assert "no image of" in str(error)
            assert len(read_rejects(out)) == len(entries)
            return
        rejects = read_rejects(out)
        assert sum(report.samples.values()) + len(rejects) == len(entries)
        assert Counter(reason for _, reason in rejects) == report.rejects
        packed = packed_samples(out)
        assert len(packed) == sum(report.samples.values())
        known = {digest_of(content) for content in contents.values()}
        kept = [image for _, image, _ in packed if digest_of(image) in known]
        assert len(kept) == len(set(kept))
        rejected = Counter(path for path, _ in rejects)
        catalogue = open_catalogue(out / "build")
        listed = Counter(entry.path.decode() for entry in catalogue.read(0, catalogue.entries))
        fine = listed - rejected
        assert len(packed) == fine.total()
        assert max(fine.values()) == 1


def test_no_label_stands_in_two_splits(make_words, tmp_path: Path):
    report = build_shards(options(make_words(400), tmp_path / "out"))
    labels = {
        split: {label for other, _, label in packed_samples(tmp_path / "out") if other == split}
        for split in report.samples
    }
    assert all(labels.values())
    assert sum(map(len, labels.values())) == len(set.union(*labels.values()))


def test_given_splits_win(tmp_path: Path, make_image):
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(make_image(number))
    (tmp_path / "train.tsv").write_text("".join(f"{n}.png\tدن\n" for n in range(20)), encoding="utf-8")
    (tmp_path / "val.tsv").write_text("".join(f"{n}.png\tدن\n" for n in range(20, 30)), encoding="utf-8")
    report = build_shards(options(tmp_path, tmp_path / "out"))
    assert report.samples == {"train": 20, "val": 10, "test": 0}


def test_the_index_tells_the_truth(make_words, tmp_path: Path):
    src = make_words(300)
    with (src / "labels.tsv").open("a", encoding="utf-8") as file:
        file.write("images/none.png\tدن\nimages/00001.png\n")
    build_shards(options(src, tmp_path / "out", samples_per_shard=25))
    index = read_index(tmp_path / "out")
    check_shards_present(index)
    packed = packed_samples(tmp_path / "out")
    assert Counter(split for split, _, _ in packed) == {split: count for split, count in index.totals.items() if count}
    letters = Counter("".join(label for split, _, label in packed if split == "train"))
    assert {letter: count for letter, count in index.alphabet.items() if count} == letters
    assert set(index.alphabet) == set("".join(label for _, _, label in packed))
    assert index.label_lengths == Counter(len(label) for _, _, label in packed)
    assert index.rejects == {"missing image": 1, "two labels": 2}
    assert index.subsets == ("", "lexicon", "random")
    records = [read_idx(index.idx_path(shard)) for shard in index.shards]
    for shard, rows in zip(index.shards, records, strict=True):
        tar = index.tar_path(shard).read_bytes()
        assert hashlib.sha256(tar).hexdigest() == shard.sha256
        assert hashlib.sha256(index.idx_path(shard).read_bytes()).hexdigest() == shard.idx_sha256
        aspects = rows["width"] / rows["height"]
        assert aspects.max() <= index.aspect_edges[shard.aspect_class]
        assert shard.samples == len(rows) <= 25
    rows = np.concatenate(records)
    assert [digest_of(image) for _, image, _ in packed] == rows["digest"].tolist()
    assert [len(label) for _, _, label in packed] == rows["label_length"].tolist()
    assert sum(index.aspect_histogram) == len(rows) == sum(index.totals.values())
    assert Counter(rows["subset"].tolist()).keys() == {1, 2}


@LEAVES_FILES_OPEN
def test_stock_webdataset_reads_the_shards(make_words, tmp_path: Path):
    build_shards(options(make_words(60), tmp_path / "out", samples_per_shard=20))
    index = read_index(tmp_path / "out")
    urls = [str(index.tar_path(shard)) for shard in index.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("png", "txt", "__key__"))
    assert len(samples) == 60
    assert all(image.height == 64 for image, _, _ in samples)
    assert [label for _, label, _ in samples] == [label for _, _, label in packed_samples(tmp_path / "out")]
    assert len({key for _, _, key in samples}) == 60


@LEAVES_FILES_OPEN
def test_classes_get_numbers_in_the_order_of_the_index(tmp_path: Path, make_image):
    for number in range(40):
        folder = tmp_path / "raw" / ("zebra", "ant")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(make_image(number, (30, 30), "RGB", "jpg"))
    report = build_shards(options(tmp_path / "raw", tmp_path / "out"))
    assert (report.kind, report.classes, report.alphabet) == ("classes", ("ant", "zebra"), {})
    index = read_index(tmp_path / "out")
    urls = [str(index.tar_path(shard)) for shard in index.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode().to_tuple("jpg", "cls"))
    sources = {path.read_bytes(): path.parent.name for path in (tmp_path / "raw").rglob("*.jpg")}
    assert len(samples) == 40
    assert all(index.classes[number] == sources[content] for content, number in samples)


def test_what_must_be_converted_is_packed_as_png(tmp_path: Path, make_image):
    (tmp_path / "a.bmp").write_bytes(make_image(1, mode="RGB", suffix="bmp"))
    (tmp_path / "b.png").write_bytes(make_image(2, mode="RGBA"))
    (tmp_path / "c.JPEG").write_bytes(make_image(3, mode="RGB", suffix="jpg"))
    (tmp_path / "labels.tsv").write_text("a.bmp\tدن\nb.png\tدن\nc.JPEG\tدن\n", encoding="utf-8")
    build_shards(options(tmp_path, tmp_path / "out"))
    index = read_index(tmp_path / "out")
    formats = Counter(
        number for shard in index.shards for number in read_idx(index.idx_path(shard))["image_format"].tolist()
    )
    assert formats == {0: 2, 1: 1}
    kinds = Counter(Image.open(io.BytesIO(image)).format for _, image, _ in packed_samples(tmp_path / "out"))
    assert kinds == {"PNG": 2, "JPEG": 1}


def test_a_complete_set_is_left_alone(make_words, tmp_path: Path):
    src, out = make_words(80), tmp_path / "out"
    first = build_shards(options(src, out))
    (out / "notes.txt").write_text("mine")
    before = {path.name: path.stat() for path in out.iterdir()}
    again = build_shards(options(src, out, workers=2))
    assert again == replace(first, already_complete=True, kept_shards=first.shards)
    assert {path.name: path.stat() for path in out.iterdir()} == before


def test_a_damaged_or_missing_shard_is_mended_by_the_same_command(make_words, tmp_path: Path, read_set):
    src, out = make_words(80), tmp_path / "out"
    report = build_shards(options(src, out, samples_per_shard=10))
    whole = read_set(out)
    (out / "train-000000.tar").unlink()
    (out / "train-000001.idx").write_bytes(b"")
    again = build_shards(options(src, out, samples_per_shard=10))
    assert read_set(out) == whole
    assert again.kept_shards == report.shards - 2


def test_an_unfinished_build_goes_on_and_what_it_no_longer_names_goes(make_words, tmp_path: Path, read_set):
    src, out = make_words(80), tmp_path / "out"
    build_shards(options(src, tmp_path / "undisturbed", samples_per_shard=10))
    build_shards(options(src, out, samples_per_shard=10))
    (out / "index.json").unlink()
    (out / "build" / "index.json").unlink()
    flipped = bytearray((out / "val-000000.tar").read_bytes())
    flipped[600] ^= 1
    (out / "val-000000.tar").write_bytes(flipped)
    shutil.copy(out / "train-000000.tar", out / "train-000900.tar")
    (out / ".train-000001.tar.tmp-123").write_bytes(b"half")
    (out / "notes.txt").write_text("mine")
    report = build_shards(options(src, out, samples_per_shard=10))
    assert report.kept_shards == report.shards - 1
    (out / "notes.txt").unlink()
    assert read_set(out) == read_set(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 5}, "seed"),
        ({"samples_per_shard": 7}, "samples_per_shard"),
        ({"profile": "plain"}, "profile"),
        ({"check": "header"}, "check"),
        ({"fractions": (0.5, 0.25, 0.25)}, "fractions"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_refused_by_name(
    make_words, tmp_path: Path, read_set, change: dict, name: str, finished: bool
):
    src, out = make_words(40), tmp_path / "out"
    build_shards(options(src, out))
    if not finished:
        (out / "index.json").unlink()
    before = read_set(out)
    with pytest.raises(ConfigError, match=f"was begun with {name} = .*, now {name} = .*name another folder with --out"):
        build_shards(options(src, out, **change))
    assert read_set(out) == before


def test_a_complete_set_of_another_source_is_refused(make_words, tmp_path: Path, make_image):
    src, out = make_words(40), tmp_path / "out"
    build_shards(options(src, out))
    (src / "images" / "00000.png").write_bytes(make_image(99, (50, 64)))
    with pytest.raises(SourceError, match="complete set of another or an older source"):
        build_shards(options(src, out))


def test_folders_that_are_not_ours_are_refused(make_words, tmp_path: Path):
    src = make_words(5)
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train-000000.tar").write_bytes(b"")
    (tmp_path / "damaged" / "build").mkdir(parents=True)
    (tmp_path / "damaged" / "build" / "build.json").write_text("{")
    for name, sentence in (
        ("file", "is a file; name a folder with --out"),
        ("file/below", "cannot be made"),
        ("other", "holds train-000000.tar but no build/build.json"),
        ("damaged", "build.json is damaged"),
    ):
        with pytest.raises(ShardError, match=sentence):
            build_shards(options(src, tmp_path / name))


def test_nothing_usable_is_said_with_counts(tmp_path: Path, make_image):
    src = tmp_path / "raw"
    src.mkdir()
    (src / "a.png").write_bytes(make_image())
    (src / "labels.tsv").write_text("a.png\tabc\nb.png\tدن\nc.png\tدن\n", encoding="utf-8")
    with pytest.raises(SourceError, match="can be used: 2 missing image, 1 unknown letters; .*rejects.tsv says why"):
        build_shards(options(src, tmp_path / "out", profile="urdu"))
    assert read_rejects(tmp_path / "out") == [
        ("a.png", "unknown letters"),
        ("b.png", "missing image"),
        ("c.png", "missing image"),
    ]
    assert not (tmp_path / "out" / "index.json").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"samples_per_shard": 0}, "at least 1 sample"),
        ({"check": "none"}, "full, structure, header"),
        ({"fractions": (0.9, 0.1, 0.1)}, "must add to 1"),
        ({"profile": "arabic"}, "urdu, thai, latin, plain"),
        ({"layout": "zip"}, "labels, splits, paddleocr"),
    ],
)
def test_options_that_make_no_sense(make_words, tmp_path: Path, change: dict, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        build_shards(options(make_words(3), tmp_path / "out", **change))


def test_what_changes_or_disappears_after_the_listing_is_taken_as_it_is_or_rejected(
    make_words, tmp_path: Path, make_image
):
    src = make_words(40)

    def disturb(progress: Progress) -> None:
        if progress.stage == "listing":
            (src / "images" / "00003.png").write_bytes(make_image(77))
            (src / "images" / "00004.png").unlink()
            (src / "images" / "00005.png").write_bytes(b"")

    report = build_shards(options(src, tmp_path / "out"), disturb)
    assert report.rejects == {"empty file": 1, "missing image": 1}
    assert sum(report.samples.values()) == 38
    assert digest_of(make_image(77)) in {digest_of(image) for _, image, _ in packed_samples(tmp_path / "out")}


def test_a_folder_that_takes_no_more_is_said_and_the_build_goes_on_later(
    make_words, tmp_path: Path, monkeypatch, read_set
):
    src, out = make_words(60), tmp_path / "out"
    build_shards(options(src, tmp_path / "undisturbed", samples_per_shard=10))
    real, left = os.fsync, [24]

    def full_after_a_while(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    sentence = "No space left on device; what is finished is kept"
    with monkeypatch.context() as patch, pytest.raises(ShardError, match=sentence):
        patch.setattr(os, "fsync", full_after_a_while)
        build_shards(options(src, out, samples_per_shard=10))
    assert build_shards(options(src, out, samples_per_shard=10)).kept_shards > 0
    assert read_set(out) == read_set(tmp_path / "undisturbed")


def test_progress_counts_to_the_end_of_both_stages(make_words, tmp_path: Path):
    calls: list[Progress] = []
    build_shards(options(make_words(600), tmp_path / "out"), calls.append)
    for stage in ("reading", "writing"):
        done = [call.done for call in calls if call.stage == stage]
        assert done == sorted(done)
        assert done[-1] == 600 == {call.total for call in calls if call.stage == stage}.pop()
        assert [call.read_bytes for call in calls if call.stage == stage][-1] > 600 * 80


def test_the_index_says_nothing_of_this_machine(make_words, tmp_path: Path):
    build_shards(options(make_words(30), tmp_path / "out"))
    text = (tmp_path / "out" / "index.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "workers" not in json.loads(text)["options"]
