"""Label files by other usual names, in the folders below, beside others: found, or refused with what to say."""

import pytest

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.find import find_source
from sharding.layouts.find_label_files import lists_of_splits

LINES = "a.png\tx\nb.png\ty\n"
PICTURES = {"a.png": b".", "b.png": b"."}


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("labels.tsv", "labels"),
        ("labels.txt", "labels"),
        ("gt.txt", "labels"),
        ("gt.csv", "labels"),
        ("annotations.tsv", "labels"),
        ("rec_gt.txt", "paddleocr"),
        ("train.txt", "paddleocr"),
        ("train_gt.txt", "paddleocr"),
        ("train_labels.tsv", "labels"),
        ("anything.tsv", "labels"),
    ],
)
def test_one_file_by_any_usual_name(write, name, layout):
    source = find_source(write({name: LINES, **PICTURES}))
    assert source.layout == layout
    assert [(entry.path, entry.label, entry.split) for entry in source.entries()] == [
        (b"a.png", b"x", ""),
        (b"b.png", b"y", ""),
    ]


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
    lines = {
        name: f"{number}.png\tx\n".replace("\t", "," if name.endswith("csv") else "\t")
        for number, name in enumerate(names)
    }
    source = find_source(write(lines))
    assert source.layout == layout
    assert [(entry.path, entry.split) for entry in source.entries()] == [
        (b"0.png", "train"),
        (b"1.png", "val"),
        (b"2.png", "test"),
    ]


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
        (b"all_data/en/1.png", b"a, b"),
        (b"all_data/ur/1.png", b"a, b"),
    ]


def test_folders_of_splits_are_the_splits(write):
    names = ("Train", "valid", "test")
    files = {f"{name}/gt.txt": "1.png\tx\n" for name in names} | {f"{name}/1.png": b"." for name in names}
    entries = sorted(find_source(write(files)).entries())
    assert [(entry.path, entry.split) for entry in entries] == [
        (b"Train/1.png", "train"),
        (b"test/1.png", "test"),
        (b"valid/1.png", "val"),
    ]


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
    assert "named like a split, and more/" in source.doubt
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
    assert build(src, tmp_path / "out", split_lists=src).index.counts.totals == {"train": 1, "val": 0, "test": 1}


def test_what_else_may_hold_labels_is_told(write):
    others = {
        "a.gt.txt": "x",
        "b.gt.txt": "y",
        "old/0.tar": "",
        "old/more.csv": "",
        "README.txt": "",
        "synth.json": "{}",
    }
    source = find_source(write({"labels.tsv": LINES, **PICTURES, **others}))
    assert [*source.entries()] and source.notes() == []
    assert [sorted(paths) for paths in source.pictures()] == [[b"a.png", b"b.png"], []]
    assert source.notes() == ["labels come from labels.tsv; not read: a.gt.txt, b.gt.txt, old/0.tar and 1 more"]


def test_folders_of_label_files_say_the_splits_of_pictures_elsewhere(write):
    files = {"train/labels.tsv": "1.png\tx\n2.png\ty\n", "test/labels.tsv": "3.png\tz\n4.png\tw\n"}
    source = find_source(write(files | {f"images/{number}.png": b"." for number in (1, 2, 3, 4)}))
    assert sorted((entry.path, entry.split) for entry in source.entries()) == [
        (b"images/1.png", "train"),
        (b"images/2.png", "train"),
        (b"images/3.png", "test"),
        (b"images/4.png", "test"),
    ]


def test_what_contradicts_a_column_or_a_file_is_told(write):
    pictures = {f"{folder}/{name}.png": b"." for folder in ("train", "test") for name in "ab"}
    rows = "path,text,split\ntest/a.png,x,train\ntrain/a.png,y,train\n"
    source = find_source(write({"labels.csv": rows, **pictures}))
    assert [entry.split for entry in source.entries()] == ["train", "train"]
    assert source.notes() == [
        "labels.csv: the column of splits and the folder of the picture say different splits in 1 of the rows; the "
        "column counts"
    ]
    (source.root / "labels.csv").unlink()
    source = find_source(write({"train.tsv": "train/a.png\tx\n", "test.tsv": "train/b.png\ty\n"}))
    assert sorted(entry.split for entry in source.entries()) == ["test", "train"]
    assert source.notes() == ["test.tsv is of test, whatever the folder of train/b.png says"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"labels.tsv": LINES, "test.tsv": LINES}, "several layouts|there is no train"),
        ({"val.tsv": LINES, "test.tsv": LINES}, "test.tsv, val.tsv: there is no train.tsv for the others"),
    ],
)
def test_files_of_splits_without_train_are_not_passed_over(write, files, sentence):
    with pytest.raises(SourceError, match=sentence):
        find_source(write(files | PICTURES))


def test_splits_in_several_folders(write):
    source = find_source(write({"part1/train.tsv": "a.png\tx\n", "part2/test.tsv": "b.png\ty\n"}))
    assert [(entry.path, entry.split) for entry in source.entries()] == [
        (b"part1/a.png", "train"),
        (b"part2/b.png", "test"),
    ]


def test_a_label_file_with_the_name_of_a_picture(write):
    source = find_source(write({"gt.txt": "1.png\ta\n", "1.png": b".", "gt.png": b"."}))
    assert source.layout == "labels"
    files = {"train.tsv": "a.png\tx\n", "test.tsv": "test.png\ty\n", "a.png": b".", "test.png": b"."}
    (source.root / "gt.txt").unlink()
    (source.root / "gt.png").unlink()
    assert [entry.split for entry in find_source(write(files)).entries()] == ["train", "test"]


def test_lists_without_suffixes_and_in_other_folders_are_lists(write):
    src = write({"labels.tsv": LINES, **PICTURES, "splits/train.lst": "a\n", "splits/test.txt": "b\n"})
    assert lists_of_splits(src) == ["splits/test.txt", "splits/train.lst"]
