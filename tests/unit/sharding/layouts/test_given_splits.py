"""Splits by the names of folders: exact names first, then names that contain one."""

import pytest

from sharding.errors import SourceError
from sharding.layouts.find import find_source
from sharding.layouts.given_splits import find_top_splits, splits_of_files

EASYOCR = {"en_train_filtered": "train", "ur_train": "train", "en_val": "val"}


@pytest.mark.parametrize(
    "splits",
    [
        {"en_train": "train", "en_val": "val"},
        {"train_imgs": "train", "test_imgs": "test"},
        {"train1": "train", "train2": "train", "Val1": "val"},
        EASYOCR,
    ],
)
@pytest.mark.parametrize("above", ["", "all_data/", "raw/train/"])
@pytest.mark.parametrize("layout", ["beside", "names", "labels"])
def test_folders_whose_names_contain_those_of_splits(write, splits, above, layout):
    files = {f"{above}{name}/x/1.png": b"i" for name in splits}
    if layout == "beside":
        files |= {f"{above}{name}/x/1.txt": "w" for name in splits}
    if layout == "labels":
        files["labels.tsv"] = "".join(f"{path}\tw\n" for path in files)
    source = find_source(write(files), layout, "(1)" if layout == "names" else None)
    assert source.doubt == ""
    assert {entry.path.decode(): entry.split for entry in source.entries()} == {
        f"{above}{name}/x/1.png": split for name, split in splits.items()
    }


def test_label_files_of_easyocr_in_folders_of_splits(write):
    files = {f"all_data/{name}/1.png": b"i" for name in EASYOCR}
    files |= {f"all_data/{name}/labels.csv": "filename,words\n1.png,w\n" for name in EASYOCR}
    source = find_source(write(files))
    assert (source.layout, source.doubt) == ("easyocr", "")
    assert {entry.path.decode(): entry.split for entry in source.entries()} == {
        f"all_data/{name}/1.png": split for name, split in EASYOCR.items()
    }


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (("train_station/1", "bus_station/1"), ""),
        (("train_a/1", "train_b/1"), ""),
        (("train_a/1", "notes/x.md", "val_a/1"), "given"),
        (("my_test/1", "my_eval/1", "my_train/1"), "given"),
        (("train_a/1", "val_a/1", "more/1"), "holds train_a/, which is named like a split, and more/, which is not"),
        (
            ("train_a/1", "val_a/1", "train_val/1"),
            "train_a/, which is named like a split, and train_val/, which is not",
        ),
        (("train_a/1", "val_a/1", "2"), "holds train_a/, which is named like a split, and 2.png, which is not"),
        (("train/1", "en_val/1"), "holds train/, which is named like a split, and en_val/, which is not"),
        (("a/train_x/1", "a/val_x/1", "b/1"), "holds splits below other folders (a/train_x/, a/val_x/)"),
        (("train/test/1", "train/val/1"), "given"),
    ],
)
def test_when_such_names_are_splits(write, names, doubt):
    files = {name if "." in name else f"{name}.png": b"i" for name in names}
    splits = find_top_splits(write(files))
    assert splits.are_given == (doubt == "given")
    assert (doubt in splits.doubt) if doubt not in ("", "given") else splits.doubt == ""


def test_folders_of_classes_are_no_splits_by_a_word(write):
    src = write({"train_station/1.png": b"i", "bus_station/2.png": b"i"})
    assert {(entry.label, entry.split) for entry in find_source(src).entries()} == {
        (b"train_station", ""),
        (b"bus_station", ""),
    }
    src = write({"train/3.png": b"i", "test_tube/2.png": b"i"})
    named = find_source(src, "classes")
    assert {(entry.label, entry.split) for entry in named.entries()} == {
        (name, "") for name in (b"train", b"test_tube", b"train_station", b"bus_station")
    }
    with pytest.raises(SourceError, match="they may be splits or classes"):
        find_source(src)


def test_folders_that_may_be_splits_or_classes(write):
    src = write({f"{split}_imgs/{name}/1.png": b"i" for split in ("train", "test") for name in ("cat", "dog")})
    with pytest.raises(SourceError, match="test_imgs/ and train_imgs/.: they may be splits or classes; .*--layout cl"):
        find_source(src)
    assert {entry.label for entry in find_source(src, "classes").entries()} == {b"train_imgs", b"test_imgs"}


@pytest.mark.parametrize(
    ("paths", "splits", "doubt"),
    [
        (("train/labels.tsv", "test/labels.tsv"), ("train", "test"), ""),
        (("a/Train/labels.tsv", "b/valid/gt.txt"), ("train", "val"), ""),
        (("lmdb_train/data.mdb", "lmdb_val/data.mdb"), ("train", "val"), ""),
        (("en/train_x/data.mdb", "ur/train_y/data.mdb", "val_x/data.mdb"), ("train", "train", "val"), ""),
        (("train_set/en_train/data.mdb", "train_set/en_val/data.mdb"), ("train", "val"), ""),
        (("train/train/data.mdb", "train/val/data.mdb"), ("train", "val"), ""),
        (("train_a/data.mdb", "train_b/data.mdb"), (), ""),
        (("train_station/data.mdb", "bus_station/data.mdb"), (), ""),
        (("en_train/data.mdb", "en_val/data.mdb", "x/data.mdb"), (), "en_train/data.mdb, which is named like a split"),
        (("train/labels.tsv", "en_val/labels.tsv"), (), "train/labels.tsv, which is named like a split"),
        (("labels.tsv",), (), ""),
    ],
)
def test_files_by_the_names_of_their_folders(tmp_path, paths, splits, doubt):
    given, why = splits_of_files(tmp_path, paths, by_name=False)
    assert given == splits
    assert (doubt in why) if doubt else why == ""
