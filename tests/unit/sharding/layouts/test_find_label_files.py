"""Label files by other usual names, in the folders below, beside others: found, or refused with what to say."""

import pytest

from sharding.errors import SourceError
from sharding.layouts import find_source
from sharding.layouts.entry import Entry
from sharding.layouts.find_label_files import lists_of_splits

LINES = "a.png\tx\nb.png\ty\n"
PICTURES = {"a.png": b".", "b.png": b"."}


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("labels.tsv", "labels"), ("labels.txt", "labels"), ("gt.txt", "labels"), ("gt.csv", "labels"),
        ("annotations.tsv", "labels"), ("rec_gt.txt", "paddleocr"), ("train.txt", "paddleocr"),
        ("train_gt.txt", "paddleocr"), ("train_labels.tsv", "labels"), ("anything.tsv", "labels"),
    ],
)  # fmt: skip
def test_one_file_by_any_usual_name(write, name, layout):
    source = find_source(write({name: LINES, **PICTURES}))
    assert source.layout == layout
    assert [(entry.path, entry.label, entry.split) for entry in source.entries()] == [
        (b"a.png", b"x", ""), (b"b.png", b"y", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (("train.tsv", "valid.tsv", "test.tsv"), "splits"),
        (("training.csv", "dev.csv", "eval.csv"), "splits"),
        (("Train.tsv", "validation.csv", "testing.tsv"), "splits"),
        (("train.txt", "val.txt", "test.txt"), "paddleocr"),
        (("rec_gt_train.txt", "rec_gt_val.txt", "rec_gt_test.txt"), "paddleocr"),
        (("gt_train.txt", "gt_valid.txt", "gt_test.txt"), "paddleocr"),
    ],
)
def test_splits_by_any_usual_name(write, names, layout):
    lines = {name: f"{number}.png\tx\n".replace("\t", "," if name.endswith("csv") else "\t")
             for number, name in enumerate(names)}  # fmt: skip
    source = find_source(write(lines))
    assert source.layout == layout
    assert [(entry.path, entry.split) for entry in source.entries()] == [
        (b"0.png", "train"), (b"1.png", "val"), (b"2.png", "test"),
    ]  # fmt: skip


def test_label_files_below_the_top(write):
    files = {f"part{part}/labels.tsv": f"{part}.png\tx\n" for part in (0, 1)}
    source = find_source(write(files | {"part0/0.png": b".", "part1/1.png": b"."}))
    assert sorted(source.entries())[0][:2] == (b"part0/0.png", b"x")
    assert [entry.path for entry in sorted(source.entries())] == [b"part0/0.png", b"part1/1.png"]


def test_easyocr_below_the_top(write):
    files = {f"all_data/{name}/labels.csv": "filename,words\n1.png,a, b\n" for name in ("en", "ur")}
    source = find_source(write(files | {"all_data/en/1.png": b".", "all_data/ur/1.png": b"."}))
    assert source.layout == "easyocr"
    assert [(entry.path, entry.label) for entry in source.entries()] == [
        (b"all_data/en/1.png", b"a, b"), (b"all_data/ur/1.png", b"a, b"),
    ]  # fmt: skip


def test_folders_of_splits_are_the_splits(write):
    names = ("Train", "valid", "test")
    files = {f"{name}/gt.txt": "1.png\tx\n" for name in names} | {f"{name}/1.png": b"." for name in names}
    entries = sorted(find_source(write(files)).entries())
    assert [(entry.path, entry.split) for entry in entries] == [
        (b"Train/1.png", "train"), (b"test/1.png", "test"), (b"valid/1.png", "val"),
    ]  # fmt: skip


def test_paths_that_begin_with_the_folder_of_a_split(write):
    rows = "train/1.png\tx\ntest/1.png\tx\n"
    source = find_source(write({"labels.tsv": rows, "train/1.png": b".", "test/1.png": b"."}))
    assert [entry.split for entry in source.entries()] == ["train", "test"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"labels.tsv": LINES, "labels.csv": "a.png,x\n"}, "labels.csv and labels.tsv may both be the labels"),
        ({"labels.tsv": LINES, "gt.txt": LINES}, "gt.txt and labels.tsv may both be the labels"),
        ({"labels.tsv": LINES, "train.tsv": LINES, "test.tsv": LINES}, "several layouts.*labels.tsv: --layout labels"),
        ({"train.tsv": LINES, "test.tsv": LINES, "eval.tsv": LINES}, "eval.tsv and test.tsv may both be the labels"),
        ({"one.csv": "a.png,x\n", "two.csv": "a.png,x\n"}, "one.csv, two.csv name pictures and texts; call the one"),
    ],
)
def test_what_may_be_meant_in_two_ways(write, files, sentence):
    with pytest.raises(SourceError, match=sentence):
        find_source(write(files | PICTURES))


@pytest.mark.parametrize(
    "files",
    [
        {"train/gt.txt": LINES, "test/gt.txt": LINES, "more/gt.txt": LINES},
        {"labels.tsv": "train/a.png\tx\ntest/a.png\ty\nmore/a.png\tz\n"},
        {"train/metadata.csv": "file_name,text\na.png,x\n", "more/metadata.csv": "file_name,text\na.png,x\n"},
        {"train/labels.json": '{"a.png": "x"}', "more/labels.json": '{"a.png": "y"}'},
    ],
)
def test_folders_of_which_some_are_splits_are_in_doubt_and_nothing_is_left_out(write, files):
    folders = ("train/", "test/", "more/")
    pictures = {f"{folder}{below}a.png": b"." for folder in folders for below in ("", "images/")}
    source = find_source(write(files | pictures))
    assert "named like a split, and more/, which is not" in source.doubt
    entries = [*source.entries()]
    assert {entry.split for entry in entries} == {""}
    assert any(entry.path.startswith(b"more/") for entry in entries)


def test_a_column_of_splits_leaves_no_doubt(write):
    rows = "path,split,label\ntrain/a.png,train,x\nmore/a.png,test,y\n"
    source = find_source(write({"labels.csv": rows, "train/a.png": b".", "more/a.png": b"."}))
    assert (source.doubt, [entry.split for entry in source.entries()]) == ("", ["train", "test"])


def test_names_of_classes_in_labels_txt_are_no_label_file(write):
    source = find_source(write({"labels.txt": "cat\ndog\n", "cat/1.png": b".", "dog/1.png": b"."}), "classes")
    assert source.layout == "classes"


def test_the_text_beside_a_picture_called_test_is_no_label_file(write):
    assert find_source(write({"test.png": b".", "test.txt": "a\tb"})).layout == "beside"


def test_a_detection_export_is_said_to_be_one(write):
    row = 'a.png\t[{"transcription": "x", "points": [[1, 2]]}]\n'
    source = find_source(write({"Label.txt": row * 3}))
    with pytest.raises(SourceError, match="Label.txt holds boxes on whole pages; export .*rec_gt.txt"):
        list(source.entries())
    write({"rec_gt.txt": "crop_img/a.png\tx\n", "fileState.txt": "a.png\t1\n"})  # the whole export
    assert list(find_source(source.root).entries()) == [Entry(b"crop_img/a.png", b"x")]


def test_lists_without_texts_are_no_label_files_and_are_named(write, build, tmp_path, make_image):
    pictures = {"a.png": make_image(0), "b.png": make_image(1)}
    src = write({"labels.tsv": LINES, "train.txt": "a.png\n", "test.txt": "b.png\n", **pictures})
    assert find_source(src).layout == "labels"
    assert lists_of_splits(src) == ["test.txt", "train.txt"]
    with pytest.raises(SourceError, match="holds test.txt, train.txt, which list paths.*--split-lists .*--split label"):
        build(src, tmp_path / "out")
    assert build(src, tmp_path / "out", split_lists=src).samples == {"train": 1, "val": 0, "test": 1}


def test_what_else_may_hold_labels_is_told(write):
    others = {"a.gt.txt": "x", "b.gt.txt": "y", "old/0.tar": "", "old/more.csv": "", "README.txt": ""}
    source = find_source(write({"labels.tsv": LINES, **PICTURES, **others}))
    assert [*source.entries()] and source.notes() == []
    assert [sorted(paths) for paths in source.pictures()] == [[b"a.png", b"b.png"], []]
    assert source.notes() == ["labels come from labels.tsv; not read: a.gt.txt, b.gt.txt, old/0.tar and 1 more"]
