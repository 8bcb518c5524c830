"""Folders of images: texts beside them, labels in their names, one folder a class."""

import os
import pickle

import pytest

from sharding.errors import SourceError
from sharding.layouts import find_source, image_folders
from sharding.layouts.entry import Entry
from sharding.reasons import Rejected


def test_text_beside_the_image_in_any_depth(write):
    files = {"x/1.png": b"i", "x/1.gt.txt": "\ufeffone\n", "x/1.txt": "not this", "2.JPG": b"i", "2.txt": b"\xff",
             "3.png": b"i", "lost.txt": "four", "x/both.png": b"i", "x/both.tif": b"i", "x/both.txt": "b",
             ".hidden.png": b"i", ".git/1.png": b"i", "x/notes.md": ""}  # fmt: skip
    source = find_source(write(files))
    assert (source.layout, source.kind, source.labels_apart) == ("beside", "words", True)
    entries = list(source.entries())
    assert entries == [
        Entry(b"2.JPG", b"2.txt"),
        Entry(b"3.png", None),
        Entry(b"lost.txt", None, problem="missing image"),
        Entry(b"x/1.png", b"x/1.gt.txt"),
        Entry(b"x/both.png", b"x/both.txt"),
        Entry(b"x/both.tif", b"x/both.txt"),
        Entry(b"x/1.txt", None, problem="missing image"),
    ]
    reader = source.open()
    assert reader.read_label(b"x/1.gt.txt") == b"one\n"
    assert reader.read_label(b"2.txt") == b"\xff"
    assert reader.read_label(b"gone.txt") is None
    with pytest.raises(Rejected, match="unreadable file.*x: Is a directory"):
        reader.read_label(b"x")


def test_a_long_look_without_a_text_is_enough(write, monkeypatch):
    monkeypatch.setattr(image_folders, "_LOOK_IMAGES", 2)
    src = write({"a/1.png": b"", "a/2.png": b"", "a/3.png": b"", "b/4.png": b"", "b/4.txt": "four"})
    assert find_source(src).layout == "classes"
    assert find_source(src, "beside").layout == "beside"


def test_one_folder_per_class(write):
    source = find_source(
        write({"dog/1.png": b"", "cat/sub/2.jpeg": b"", "stray.png": b"", "cat/notes.md": "", "no/x": ""})
    )
    assert (source.layout, source.kind) == ("classes", "classes")
    assert sorted(source.entries()) == [
        Entry(b"cat/sub/2.jpeg", b"cat"),
        Entry(b"dog/1.png", b"dog"),
        Entry(b"stray.png", None),
    ]  # fmt: skip


def test_classes_under_given_splits(write):
    files = {f"{split}/{name}/1.png": b"" for split in ("train", "validation") for name in ("cat", "dog")}
    source = find_source(write(files | {"notes/readme.md": ""}))
    assert [(entry.label, entry.split) for entry in source.entries()] == [
        (b"cat", "train"), (b"dog", "train"), (b"cat", "val"), (b"dog", "val")
    ]  # fmt: skip


@pytest.mark.parametrize("folders", [("train/cat", "train/dog"), ("train/cat", "other/dog")])
def test_folders_of_splits_alone_or_among_others_are_classes_or_nothing(write, folders):
    src = write({f"{folder}/1.png": b"" for folder in folders})
    if folders[1].startswith("train"):
        with pytest.raises(SourceError, match="at least two folders"):
            find_source(src)
    else:
        assert {(entry.label, entry.split) for entry in find_source(src).entries()} == {(b"train", ""), (b"other", "")}


def test_the_label_in_the_name(write):
    src = write({"9_x/1_word_7.png": b"", "2_ایک_8.jpg": b"", "nothing.png": b"", "3__9.png": b"", "a_b_c.txt": ""})
    source = find_source(src, label_from_name=r"_(?P<label>[^_]*)_\d+\.")
    assert (source.layout, source.kind, source.labels_apart) == ("names", "words", False)
    assert list(source.entries()) == [
        Entry(b"2_" + "ایک".encode() + b"_8.jpg", "ایک".encode()),
        Entry(b"3__9.png", b""),
        Entry(b"nothing.png", None, problem="no label"),
        Entry(b"9_x/1_word_7.png", b"word"),
    ]
    first_group = find_source(src, "names", r"^\d_([^_]*)_(\d)")
    assert [entry.label for entry in first_group.entries()] == [entry.label for entry in source.entries()]


def test_a_group_that_took_no_part_is_no_label(write):
    source = find_source(write({"a.png": b""}), label_from_name="(x)?a")
    assert list(source.entries()) == [Entry(b"a.png", None, problem="no label")]


def test_no_image_to_take_a_name_from(write):
    with pytest.raises(SourceError, match="looked for: images"):
        find_source(write({"a.txt": ""}), label_from_name="(.)")


def test_every_folder_is_marked_as_it_was_before_it_was_listed(write):
    src = write({"x/1.png": b"i", "y/sub/2.png": b"i"})
    source = find_source(src)
    marks = source.listing()
    assert [(path, size) for path, size, _ in marks] == [("", 0), ("x", 0), ("y", 0), ("y/sub", 0)]
    entries = source.entries()
    next(entries)
    assert source.listing() == marks
    os.utime(src / "x", ns=(5, 5))  # while it is listed
    list(entries)
    assert source.listing() == marks
    assert not source.is_as_listed(marks)
    assert find_source(src).is_as_listed(find_source(src).listing())
    assert pickle.loads(pickle.dumps(source)).__dict__["_listed"] == []  # megabytes are not for every task of a worker


@pytest.mark.parametrize(
    "change",
    [
        lambda src: (src / "y/sub/3.png").touch(),
        lambda src: (src / "x/1.png").unlink(),
        lambda src: os.rename(src / "x/1.png", src / "x/one.png"),
        lambda src: os.rename(src / "y", src / "z"),
        lambda src: (src / "y/sub/more").mkdir(),
        lambda src: (src / "x/1.txt").touch(),
    ],
)
def test_whatever_is_added_removed_or_renamed_is_seen(write, change):
    src = write({"x/1.png": b"i", "y/sub/2.png": b"i"})
    for folder in ("y/sub", "y", "x", ""):
        os.utime(src / folder, ns=(1, 1))  # long ago: a change within the same tick of the clock would not show
    source = find_source(src)
    marks = source.listing()
    (src / "x/1.png").write_bytes(b"other")  # nobody asks for images
    assert source.is_as_listed(marks)
    change(src)
    assert not source.is_as_listed(marks)
