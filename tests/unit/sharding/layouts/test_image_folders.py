"""Folders of images: texts beside them, labels in their names, one folder a class."""

import os
import pickle
import re

import pytest

from sharding.errors import SourceError
from sharding.layouts import classes, image_folders
from sharding.layouts.entry import Entry
from sharding.layouts.find import find_source
from sharding.reasons import Rejected


def test_text_beside_the_image_in_any_depth(write):
    files = {
        "x/1.png": b"i",
        "x/1.gt.txt": "\ufeffone\n",
        "x/1.txt": "not this",
        "2.JPG": b"i",
        "2.txt": b"\xff",
        "3.png": b"i",
        "lost.txt": "four",
        "x/both.png": b"i",
        "x/both.tif": b"i",
        "x/both.txt": "b",
        "y/1.bin.png": b"i",
        "y/1.nrm.PNG": b"i",
        "y/1.GT.TXT": "five\r\n",
        "y/1.txt": "read\n",
        "y/2.png": b"i",
        "y/2.txt": "",
        "y/2.TXT": "",
        "y/3.gif": b"i",
        "y/4.dew.png": b"i",
        "y/4.dew.txt": "",
        "y/4.txt": "",
        ".hidden.png": b"i",
        ".git/1.png": b"i",
        "x/notes.md": "",
    }
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
        Entry(b"x/1.txt", b"1.gt.txt", problem="another text is the label"),
        Entry(b"y/1.bin.png", b"y/1.GT.TXT"),
        Entry(b"y/1.nrm.PNG", b"y/1.GT.TXT"),
        Entry(b"y/2.png", b"2.TXT and 2.txt", problem="two labels"),
        Entry(b"y/3.gif", None),
        Entry(b"y/4.dew.png", b"y/4.dew.txt"),
        Entry(b"y/1.txt", b"1.GT.TXT", problem="another text is the label"),
        Entry(b"y/2.TXT", b"2.TXT and 2.txt", problem="two labels"),
        Entry(b"y/2.txt", b"2.TXT and 2.txt", problem="two labels"),
        Entry(b"y/4.txt", None, problem="missing image"),
    ]
    reader = source.open()
    assert reader.read_label(b"x/1.gt.txt") == b"one"
    assert reader.read_label(b"y/1.GT.TXT") == b"five"
    assert reader.read_label(b"2.txt") == b"\xff"
    assert reader.read_label(b"gone.txt") is None
    with pytest.raises(Rejected, match="unreadable file.*x: Is a directory"):
        reader.read_label(b"x")


def test_a_long_look_without_a_text_is_enough(write, monkeypatch):
    monkeypatch.setattr(image_folders, "LOOK_FILES", 2)
    monkeypatch.setattr(classes, "LOOK_FILES", 2)
    src = write({"a/1.png": b"", "a/2.png": b"", "a/3.png": b"", "b/4.png": b"", "b/4.txt": "four"})
    source = find_source(src)
    assert source.layout == "classes"
    with pytest.raises(SourceError, match="b/4.txt; if the folders are the classes"):  # but it is not passed over
        list(source.entries())
    assert find_source(src, "beside").layout == "beside"
    assert len(list(find_source(src, "classes").entries())) == 4


def test_one_folder_per_class(write):
    source = find_source(
        write({"dog/1.png": b"", "cat/sub/2.jpeg": b"", "stray.png": b"", "cat/notes.md": "", "no/x": ""})
    )
    assert (source.layout, source.kind) == ("classes", "classes")
    assert sorted(source.entries()) == [
        Entry(b"cat/sub/2.jpeg", b"cat"),
        Entry(b"dog/1.png", b"dog"),
        Entry(b"stray.png", None),
    ]


def test_classes_under_given_splits(write):
    files = {f"{split}/{name}/1.png": b"" for split in ("train", "validation") for name in ("cat", "dog")}
    source = find_source(write(files | {"notes/readme.md": ""}))
    assert [(entry.label, entry.split) for entry in source.entries()] == [
        (b"cat", "train"),
        (b"dog", "train"),
        (b"cat", "val"),
        (b"dog", "val"),
    ]


def test_one_split_alone_is_no_split(write):
    source = find_source(write({"train/cat/1.png": b"", "train/dog/2.png": b"", "3.png": b""}))
    assert [(entry.label, entry.split) for entry in source.entries()] == [(None, ""), (b"cat", ""), (b"dog", "")]


def test_capitals_and_other_names_of_splits(write):
    folders = {"Training": "train", "DEV": "val", "evaluation": "test"}
    source = find_source(write({f"{name}/{label}/1.png": b"" for name in folders for label in "ab"}))
    assert sorted((entry.label, entry.split) for entry in source.entries()) == sorted(
        (label, split) for label in (b"a", b"b") for split in folders.values()
    )


def test_folders_of_which_some_are_named_like_splits(write):
    src = write({"train/1.png": b"", "holdout/2.png": b"", "notes/a.md": b""})
    with pytest.raises(SourceError, match="train/, which is named like a split, and holdout/, which is not"):
        find_source(src)
    assert {entry.label for entry in find_source(src, "classes").entries()} == {b"train", b"holdout"}
    src = write({"train/cat/3.png": b""})  # no class holds classes
    with pytest.raises(SourceError, match="splits or classes"):
        find_source(src, "classes")


@pytest.mark.parametrize(
    "name", ["a/labels.txt", "TRUTH.JSON", "b/x/1.xml", "a.tar", "b/data.parquet", "b/c/data.mdb", "words.xlsx"]
)
def test_what_may_hold_labels_of_words_is_seen_before_classes_are_guessed(write, name):
    src = write({"a/1.png": b"", "b/2.png": b"", "README.txt": b"", "a/LICENSE-CC.txt": b"", ".x/y.txt": b""})
    assert find_source(src).layout == "classes"
    src = write({name: b"?"})
    with pytest.raises(SourceError, match=f"may be labels of words: {name}; .*--layout classes"):
        find_source(src)
    assert len(list(find_source(src, "classes").entries())) == 2


@pytest.mark.parametrize(("layout", "pattern"), [("beside", None), ("names", "(.)")])
def test_folders_of_splits_give_the_splits_of_lines_and_names(write, layout, pattern):
    names = ("set/train/1.png", "set/train/x/2.png", "set/Valid/3.png", "set/test/4.png")
    files = {name: b"" for name in names} | {name.replace("png", "gt.txt"): b"" for name in names}
    source = find_source(write(files), layout, pattern)
    assert source.doubt == ""
    assert [(entry.path.decode(), entry.split) for entry in source.entries()] == [
        (names[2], "val"),
        (names[3], "test"),
        (names[0], "train"),
        (names[1], "train"),
    ]


@pytest.mark.parametrize(
    ("more", "doubt"),
    [
        ("5.png", "holds test/, which is named like a split, and 5.png, which is not"),
        ("extra/5.png", "holds test/, .* and extra/, which is not"),
        ("eval/5.png", "eval/ and test/, which both are names of the split test"),
        ("extra/5.md", ""),
        ("eval/5.md", ""),
    ],
)
def test_splits_that_cannot_be_told(write, build, tmp_path, make_image, more, doubt):
    names = ("train/1.png", "test/2.png", more)
    files = {name: make_image(number) for number, name in enumerate(names)}
    src = write(files | {f"{name[:-4]}.txt": "دن" for name in names if name.endswith("png")})
    source = find_source(src)
    assert re.search(doubt, source.doubt) if doubt else source.doubt == ""
    assert {entry.split for entry in source.entries()} == ({""} if doubt else {"train", "test"})
    if doubt:
        with pytest.raises(SourceError, match=doubt):
            build(src, tmp_path / "out")
        assert sum(build(src, tmp_path / "out", split="file").index.counts.totals.values()) == 3


def test_splits_below_other_folders(write):
    files = {
        f"{book}/{split}/1.{suffix}": b"" for book in "ab" for split in ("train", "test") for suffix in ("png", "txt")
    }
    assert "holds splits below other folders (a/test/, a/train/)" in find_source(write(files)).doubt


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


def test_what_else_may_hold_labels_is_told(write):
    files = {
        "1.png": b"i",
        "1.txt": "one",
        "2.png": b"j",
        "2.gt.txt": "two",
        "x/3.png": b"k",
        "x/words.tsv": "",
        "a.tar": b"?",
        "b/x.parquet": b"?",
        "x/1.xml": "",
        "lost.label": "",
        "README.csv": "",
    }
    source = find_source(write(files))
    assert source.layout == "beside"
    list(source.entries())
    note = "; not read: a.tar, b/x.parquet, x/1.xml and 1 more"
    assert source.notes() == [f"labels come from the texts beside the pictures{note}"]
    list(source.entries())
    assert len(source.notes()) == 1
    (source.root / "lost.label").unlink()
    write({"z/4.png": b"l"})
    for layout, position in (("names", "the names of the pictures"), ("classes", "the names of the folders")):
        source = find_source(source.root, layout, "(.)" if layout == "names" else None)
        list(source.entries())
        assert source.notes()[0] == f"labels come from {position}; not read: 1.txt, 2.gt.txt, a.tar and 3 more"


def test_nothing_is_told_of_what_holds_no_labels(write):
    source = find_source(write({"1.png": b"i", "1.txt": "one", "lost.txt": "", "readme.txt": "", "x/notes.md": ""}))
    list(source.entries())
    assert source.notes() == []


@pytest.mark.parametrize("name", ["words.csv", "y/metadata.csv", "my_labels.json", "all.jsonl", "x/list_gt.txt"])
def test_pictures_without_texts_beside_a_file_that_may_hold_their_labels(write, name):
    files = {f"{folder}{number}.png": b"i" for number in range(3) for folder in ("", "x/")}
    src = write(files | {"1.txt": "one", "x/1.txt": "two", "y/4.png": b"i", name: "?"})
    with pytest.raises(SourceError, match=f"5 of the first 7 pictures have no text.*{name} may hold.*--layout beside"):
        image_folders.find_beside(src)
    assert len(list(find_source(src, "beside").entries())) == (8 if name.endswith(".txt") else 7)
    (src / name).unlink()
    assert find_source(src).layout == "beside"


def test_texts_for_people_are_left_out_unless_they_belong_to_a_picture(write):
    files = {
        "1.png": b"i",
        "1.txt": "one",
        "README.txt": "",
        "LICENSE-CC.txt": "",
        "x/readme.gt.txt": "",
        "license.png": b"i",
        "license.txt": "license",
    }
    assert [(entry.path, entry.label, entry.problem) for entry in find_source(write(files)).entries()] == [
        (b"1.png", b"1.txt", ""),
        (b"license.png", b"license.txt", ""),
    ]


def test_folders_without_images_are_no_classes_and_are_named(write):
    source = find_source(write({"cat/1.png": b"i", "dog/2.png": b"i", "empty/.keep": "", "__MACOSX/cat/._1.png": b"i"}))
    assert [entry.label for entry in source.entries()] == [b"cat", b"dog"]
    assert source.notes() == ["__MACOSX/, empty/ hold no image, and are no class"]
    assert [entry.label for entry in source.entries()] == [b"cat", b"dog"]
    assert len(source.notes()) == 1, "those of the last listing"


def test_below_splits_a_class_may_be_in_some_of_them(write):
    source = find_source(
        write({"train/cat/1.png": b"i", "train/dog/2.png": b"i", "val/cat/3.png": b"i", "val/new/.k": ""})
    )
    assert [entry.label for entry in source.entries()] == [b"cat", b"dog", b"cat"]
    assert source.notes() == ["new/ holds no image, and is no class"]


def test_folders_that_are_not_read_are_not_named(write):
    """Hidden ones, and the shard set that is made of this source."""
    files = {
        "cat/1.png": b"i",
        "dog/2.png": b"i",
        ".ipynb_checkpoints/1.png": b"i",
        "cat/.ipynb_checkpoints/1.png": b"i",
    }
    source = find_source(write(files | {"shards/build/entries.bin": b"", "shards/sheet.png": b"i"}))
    assert [(entry.path, entry.label) for entry in source.entries()] == [(b"cat/1.png", b"cat"), (b"dog/2.png", b"dog")]
    assert source.notes() == []
