"""The build: the same bytes whatever happens around it, and an index that tells the truth."""

import hashlib
import io
import json
import os
import random
from collections import Counter
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import webdataset
from PIL import Image

from sharding.errors import ShardError, SourceError
from sharding.format.frames import Frames
from sharding.format.idx import digest_of, read_idx
from sharding.format.index import check_shards_present, read_index
from sharding.progress import Progress

# webdataset leaves its tars for the garbage collector to close
LEAVES_FILES_OPEN = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.slow
def test_the_same_bytes_with_one_and_four_workers(build, make_words, tmp_path: Path, read_set):
    src = make_words(700)
    for workers in (1, 4):
        report = build(src, tmp_path / f"out{workers}", workers=workers, samples_per_shard=40)
        assert len(report.index.shards) > 12
    assert read_set(tmp_path / "out1") == read_set(tmp_path / "out4")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["labels", "beside", "classes"])
def test_the_same_bytes_for_files_made_in_another_order(build, tmp_path: Path, read_set, make_image, layout: str):
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
        assert build(tmp_path / copy, tmp_path / f"{copy}.out").index.options["layout"] == layout
    assert read_set(tmp_path / "first.out") == read_set(tmp_path / "second.out")


@pytest.mark.slow
def test_workers_find_relative_paths_after_a_change_of_folder(build, make_words, tmp_path: Path, monkeypatch, read_set):
    make_words(300)
    for workers in (1, 2):
        monkeypatch.chdir(tmp_path)
        build(Path("raw"), Path(f"out{workers}"), workers=workers)
    assert read_set(tmp_path / "out1") == read_set(tmp_path / "out2")


def test_another_seed_gives_other_splits_and_another_order(build, read_packed, make_words, tmp_path: Path):
    src = make_words(100)
    keys = []
    for seed in (0, 1):
        build(src, tmp_path / str(seed), seed=seed)
        keys.append([image for _, image, _ in read_packed(tmp_path / str(seed))])
    assert sorted(keys[0]) == sorted(keys[1])
    assert keys[0] != keys[1]


@pytest.mark.slow
def test_no_label_stands_in_two_splits(build, read_packed, make_words, tmp_path: Path):
    report = build(make_words(400), tmp_path / "out")
    labels = {
        split: {label for other, _, label in read_packed(tmp_path / "out") if other == split}
        for split in report.index.counts.totals
    }
    assert all(labels.values())
    assert sum(map(len, labels.values())) == len(set.union(*labels.values()))


@pytest.mark.slow
def test_the_index_tells_the_truth(build, read_packed, make_words, tmp_path: Path):
    src = make_words(300)
    with (src / "labels.tsv").open("a", encoding="utf-8") as file:
        file.write("images/none.png\tدن\t\nimages/00001.png\n")
    build(src, tmp_path / "out", samples_per_shard=25)
    index = read_index(tmp_path / "out")
    check_shards_present(index)
    packed = read_packed(tmp_path / "out")
    assert Counter(split for split, _, _ in packed) == {
        split: count for split, count in index.counts.totals.items() if count
    }
    letters = Counter("".join(label for split, _, label in packed if split == "train"))
    assert {letter: count for letter, count in index.alphabet.items() if count} == letters
    assert set(index.alphabet) == set("".join(label for _, _, label in packed))
    assert index.counts.label_lengths == Counter(len(label) for _, _, label in packed)
    assert index.counts.rejects == {"missing image": 1, "two labels": 2}
    assert index.subsets == ("", "lexicon", "random")
    records = [read_idx(index.idx_path(shard)) for shard in index.shards]
    for shard, rows in zip(index.shards, records, strict=True):
        tar = index.tar_path(shard).read_bytes()
        assert hashlib.sha256(tar).hexdigest() == shard.sha256
        assert hashlib.sha256(index.idx_path(shard).read_bytes()).hexdigest() == shard.idx_sha256
        aspects = rows["width"] / rows["height"]
        assert aspects.max() <= index.bucket_edges[shard.bucket]
        assert shard.samples == len(rows) <= 25
    rows = np.concatenate(records)
    assert [digest_of(image) for _, image, _ in packed] == rows["digest"].tolist()
    assert [crc32(label.encode()) for _, _, label in packed] == rows["label_crc32"].tolist()
    assert [len(label) for _, _, label in packed] == rows["label_length"].tolist()
    assert sum(index.counts.bucket_samples) == len(rows) == sum(index.counts.totals.values())
    assert Counter(rows["subset"].tolist()).keys() == {1, 2}


@LEAVES_FILES_OPEN
def test_stock_webdataset_reads_the_shards(build, read_packed, make_words, tmp_path: Path):
    build(make_words(60), tmp_path / "out", samples_per_shard=20)
    index = read_index(tmp_path / "out")
    urls = [str(index.tar_path(shard)) for shard in index.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("png", "txt", "__key__"))
    assert len(samples) == 60
    assert all(image.height == 64 for image, _, _ in samples)
    assert [label for _, label, _ in samples] == [label for _, _, label in read_packed(tmp_path / "out")]
    assert len({key for _, _, key in samples}) == 60


@LEAVES_FILES_OPEN
def test_classes_get_numbers_in_the_order_of_the_index(build, tmp_path: Path, make_image):
    for number in range(40):
        folder = tmp_path / "raw" / ("zebra", "ant")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(make_image(number, (30, 30), "RGB", "jpg"))
    report = build(tmp_path / "raw", tmp_path / "out")
    assert (report.index.kind, report.index.classes, report.index.alphabet) == ("classes", ("ant", "zebra"), {})
    index = read_index(tmp_path / "out")
    urls = [str(index.tar_path(shard)) for shard in index.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode().to_tuple("jpg", "cls"))
    sources = {path.read_bytes(): path.parent.name for path in (tmp_path / "raw").rglob("*.jpg")}
    assert len(samples) == 40
    assert all(index.classes[number] == sources[content] for content, number in samples)


def test_what_must_be_converted_is_packed_as_png(build, read_packed, tmp_path: Path, make_image):
    (tmp_path / "a.bmp").write_bytes(make_image(1, mode="RGB", suffix="bmp"))
    (tmp_path / "b.png").write_bytes(make_image(2, mode="RGBA"))
    (tmp_path / "c.JPEG").write_bytes(make_image(3, mode="RGB", suffix="jpg"))
    (tmp_path / "labels.tsv").write_text("a.bmp\tدن\nb.png\tدن\nc.JPEG\tدن\n", encoding="utf-8")
    build(tmp_path, tmp_path / "out")
    index = read_index(tmp_path / "out")
    formats = Counter(
        number for shard in index.shards for number in read_idx(index.idx_path(shard))["image_format"].tolist()
    )
    assert formats == {0: 2, 1: 1}
    kinds = Counter(Image.open(io.BytesIO(image)).format for _, image, _ in read_packed(tmp_path / "out"))
    assert kinds == {"PNG": 2, "JPEG": 1}


def test_what_changes_or_disappears_after_the_listing_is_taken_as_it_is_or_rejected(
    build, read_packed, make_words, tmp_path: Path, make_image
):
    src = make_words(40)

    def disturb(progress: Progress) -> None:
        if progress.stage == "listing":
            (src / "images" / "00003.png").write_bytes(make_image(77))
            (src / "images" / "00004.png").unlink()
            (src / "images" / "00005.png").write_bytes(b"")

    report = build(src, tmp_path / "out", disturb)
    assert report.index.counts.rejects == {"empty file": 1, "missing image": 1}
    assert sum(report.index.counts.totals.values()) == 38
    assert digest_of(make_image(77)) in {digest_of(image) for _, image, _ in read_packed(tmp_path / "out")}


def test_a_folder_that_takes_no_more_is_said_and_the_build_goes_on_later(
    build, make_words, tmp_path: Path, monkeypatch, read_set
):
    src, out = make_words(60), tmp_path / "out"
    build(src, tmp_path / "undisturbed", samples_per_shard=10)
    real, left = os.fsync, [24]

    def full_after_a_while(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        real(handle)

    sentence = "No space left on device; what is finished is kept"
    with monkeypatch.context() as patch, pytest.raises(ShardError, match=sentence):
        patch.setattr(os, "fsync", full_after_a_while)
        build(src, out, samples_per_shard=10)
    assert build(src, out, samples_per_shard=10).kept_shards > 0
    assert read_set(out) == read_set(tmp_path / "undisturbed")


@pytest.mark.slow
def test_progress_counts_to_the_end_of_both_stages(build, make_words, tmp_path: Path):
    calls: list[Progress] = []
    build(make_words(600), tmp_path / "out", calls.append)
    for stage in ("reading", "writing"):
        done = [call.done for call in calls if call.stage == stage]
        assert done == sorted(done)
        assert done[-1] == 600 == {call.total for call in calls if call.stage == stage}.pop()
        assert [call.read_bytes for call in calls if call.stage == stage][-1] > 600 * 80


def test_the_index_says_nothing_of_this_machine(build, make_words, tmp_path: Path):
    build(make_words(30), tmp_path / "out")
    text = (tmp_path / "out" / "index.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "workers" not in json.loads(text)["options"]


def test_a_build_that_made_nothing_takes_other_options(build, make_words, tmp_path: Path):
    src = make_words(20)
    with pytest.raises(SourceError, match="20 unknown letters; the profile thai refuses .*--profile plain"):
        build(src, tmp_path / "out", profile="thai")
    assert sum(build(src, tmp_path / "out", profile="urdu").index.counts.totals.values()) == 20


def test_images_that_are_not_there_are_said_to_have_been_looked_for(build, make_words, tmp_path: Path):
    src = make_words(20)
    for path in (src / "images").glob("*0.png"):
        path.unlink()
    report = build(src, tmp_path / "out")
    assert report.index.counts.rejects == {"missing image": 2}
    (note,) = report.notes
    assert f"2 images were looked for below {src}, and are not there; --images FOLDER" in note


def test_texts_without_an_image_have_no_paths_that_an_option_could_mend(build, make_image, tmp_path: Path):
    src = tmp_path / "raw"
    src.mkdir()
    for number in range(10):
        (src / f"{number}.gt.txt").write_text("دن", encoding="utf-8")
        if number:
            (src / f"{number}.png").write_bytes(make_image(number))
    report = build(src, tmp_path / "out")
    assert report.index.counts.rejects == {"missing image": 1}
    assert report.notes == (f"1 image was looked for below {src}, and is not there",)


def test_where_the_splits_come_from_is_reported(build, make_words, tmp_path: Path):
    src = make_words(20)
    rows = (src / "labels.tsv").read_text("utf-8").splitlines()
    splits = ["split", *["train"] * 8, *["val"] * 5, *["test"] * 2, *[""] * 5]
    lines = [f"{row}\t{split}" for row, split in zip(rows, splits, strict=True)]
    (src / "labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = build(src, tmp_path / "out")
    assert (report.index.options["split"], report.given_splits) == ("label", (15, 20))
    assert build(src, tmp_path / "out").given_splits == (15, 20)
    asked = build(src, tmp_path / "asked", group_from="images")
    options = asked.index.options
    assert (options["split"], options["asked"]["group_from"], asked.given_splits) == ("group", "images", (0, 20))


def test_pictures_that_no_label_file_names_are_rejects(build, make_words, make_image, read_list, tmp_path: Path):
    src = make_words(20)
    (src / "images/more.png").write_bytes(make_image(100))
    (src / "e\u0301.png").write_bytes(make_image(101))
    with (src / "labels.tsv").open("a", encoding="utf-8") as file:
        file.write("é.png\tدن\t\n")  # the name in the other form of Unicode
    report = build(src, tmp_path / "out")
    assert report.entries == 22
    assert report.index.counts.rejects == {"in no label file": 1}
    assert read_list(tmp_path / "out/rejects.tsv")[0]["path"] == "images/more.png"


def test_some_labels_are_shown_with_their_files(build, make_words, tmp_path: Path):
    src = make_words(30)
    meant = {}
    for line in (src / "labels.tsv").read_text("utf-8").splitlines()[1:]:
        path, label, _ = line.split("\t")
        meant[path] = label
    examples = build(src, tmp_path / "out").examples
    assert len(examples) == 5 and all(meant[path] == label for path, label in examples)


def test_the_index_records_by_which_frames_labels_were_checked(build, make_words, tmp_path: Path):
    src = make_words(20)
    assert build(src, tmp_path / "out").index.frames == Frames(64, 4)
    assert build(src, tmp_path / "low", model_height=32, frame_px=2).index.frames == Frames(32, 2)
    assert json.loads((tmp_path / "low/index.json").read_bytes())["frames"] == {"height_px": 32, "frame_px": 2}
