"""Tars of anybody: every picture and every text in them is a sample or says why it is none."""

import gzip
import io
import itertools
import os
import tarfile

import pytest
import webdataset

from sharding.errors import SourceError
from sharding.layouts import tar_samples, tar_sets
from sharding.layouts.files import LFS_POINTER
from sharding.layouts.find import find_source
from sharding.reasons import Rejected


def write_tar(path, files: dict[str, bytes] | list[tuple[str, bytes]], links: dict[str, str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items() if isinstance(files, dict) else files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)


def contents(source) -> list[tuple]:
    """(path, bytes of the image, label or detail, split, problem) of each entry, sorted."""
    reader = source.open()
    result = []
    for entry in source.entries():
        image = b"" if entry.problem else reader.read_image(entry.path, entry.at, entry.size)
        result.append((entry.path, image, entry.label, entry.split, entry.problem))
    reader.close()
    return sorted(result, key=lambda row: (row[0], row[1], row[2] or b""))


def test_texts_belong_to_pictures_by_their_full_names(tmp_path):
    write_tar(
        tmp_path / "a.tar",
        {
            "d.x/1.png": b"i1",
            "d.x/1.txt": b"\xef\xbb\xbfone\r\n",
            "2.gt.txt": "دو".encode(),
            "2.JPG": b"i2",
            "2.json": b"{}",
            "3.tiff": b"i3",
            "4.label": b"four",
            "4.page.webp": b"i4",
            "5.txt": b"five",
            "6.mask.png": b"no",
            "6.png": b"i6",
            "6.txt": b"six",
            "__meta__": b"",
            ".hidden.png": b"",
            "nodot": b"",
            "p7.l0.png": b"i7",
            "p7.l0.txt": b"seven",
            "p7.l1.bin.png": b"i8",
            "p7.l1.GT.TXT": b"eight",
            "p7.l1.txt": b"",
            "p7.txt": b"page",
            "9.png": b"i9",
            "9.txt": "نو".encode("utf-16"),
            "10.png": b"",
            "10.txt": b"a\nb",
        },
    )
    source = find_source(tmp_path)
    assert (source.layout, source.kind, source.labels_apart) == ("webdataset", "words", False)
    assert contents(source) == sorted(
        [
            (b"a.tar/10.png", b"", b"10.txt has 2", "", "several lines"),
            (b"a.tar/2.JPG", b"i2", "دو".encode(), "", ""),
            (b"a.tar/3.tiff", b"i3", None, "", ""),
            (b"a.tar/4.page.webp", b"i4", b"four", "", ""),
            (b"a.tar/5.txt", b"", None, "", "missing image"),
            (b"a.tar/6.mask.png", b"no", None, "", ""),
            (b"a.tar/6.png", b"i6", b"six", "", ""),
            (b"a.tar/9.png", b"i9", "نو".encode(), "", ""),
            (b"a.tar/d.x/1.png", b"i1", b"one", "", ""),
            (b"a.tar/p7.l0.png", b"i7", b"seven", "", ""),
            (b"a.tar/p7.l1.bin.png", b"i8", b"eight", "", ""),
            (b"a.tar/p7.l1.txt", b"", b"p7.l1.GT.TXT", "", "another text is the label"),
            (b"a.tar/p7.txt", b"", None, "", "missing image"),
        ]
    )


def test_a_text_that_may_belong_to_several_pictures(tmp_path):
    write_tar(
        tmp_path / "a.tar", {"p0.a.png": b"i", "p0.b.png": b"j", "p0.txt": b"x", "p1.a.png": b"k", "p1.txt": b"y"}
    )
    assert contents(find_source(tmp_path)) == [
        (b"a.tar/p0.a.png", b"", b"p0.txt may be the text of any of 2 pictures", "", "no label"),
        (b"a.tar/p0.b.png", b"", b"p0.txt may be the text of any of 2 pictures", "", "no label"),
        (b"a.tar/p0.txt", b"", b"2 pictures may be meant", "", "missing image"),
        (b"a.tar/p1.a.png", b"k", b"y", "", ""),
    ]


@pytest.mark.slow
def test_any_order_gives_the_same(tmp_path):
    files = {"x/1.png": b"i", "x/1.txt": b"one", "2.a.png": b"j", "2.txt": b"two", "3.txt": b"three"}
    expected = None
    for order in itertools.permutations(files):
        write_tar(tmp_path / "a.tar", {name: files[name] for name in order})
        found = contents(find_source(tmp_path))
        assert found == (expected := expected or found)
    assert [row[:3] for row in expected if not row[-1]] == [
        (b"a.tar/2.a.png", b"j", b"two"),
        (b"a.tar/x/1.png", b"i", b"one"),
    ]


def test_what_comes_late_is_not_passed_over(tmp_path, build, make_image, read_list):
    pictures = [make_image(number) for number in range(4)]
    files = [
        ("1.png", pictures[0]),
        ("1.txt", b"one"),
        ("2.png", pictures[1]),
        ("2.txt", b"two"),
        ("3.png", pictures[2]),
        ("3.txt", b"three"),
        ("1.txt", b"not one"),
        ("2.txt", b"two"),
        ("3.bin.png", pictures[3]),
    ]
    write_tar(tmp_path / "raw/a.tar", files)
    report = build(tmp_path / "raw", tmp_path / "out", profile="plain")
    assert sum(report.index.counts.totals.values()) == 3
    assert [(row["path"], row["reason"]) for row in read_list(tmp_path / "out/rejects.tsv")] == [
        ("a.tar/1.png", "two labels"),
        ("a.tar/1.png", "two labels"),
        ("a.tar/2.txt", "listed twice"),
    ]


def test_a_tar_in_no_order_is_held_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_samples, "_MOST_HELD", 10)
    names = [f"{number}.{suffix}" for suffix in ("png", "txt") for number in range(10)]
    write_tar(tmp_path / "a.tar", dict.fromkeys(names, b"x"))
    assert len(contents(find_source(tmp_path))) == 10
    write_tar(tmp_path / "a.tar", dict.fromkeys(["more.png", *names], b"x"))
    with pytest.raises(SourceError, match="a.tar: more than 10 pictures and texts .*tar --sort=name"):
        contents(find_source(tmp_path))


def test_links_are_named(tmp_path):
    files = {"1.png": b"i", "1.txt": b"x", "2.txt": b"y", "3.png": b"k"}
    write_tar(tmp_path / "a.tar", files, {"2.png": "1.png", "3.txt": "1.txt", "4.txt": "1.txt", "5.json": "1.txt"})
    assert contents(find_source(tmp_path)) == [
        (b"a.tar/1.png", b"i", b"x", "", ""),
        (b"a.tar/2.png", b"", b"symbolic link to 1.png", "", "link in a tar"),
        (b"a.tar/3.png", b"", b"3.txt is a symbolic link to 1.txt", "", "link in a tar"),
        (b"a.tar/4.txt", b"", b"symbolic link to 1.txt", "", "link in a tar"),
    ]


def test_pointers_of_git_lfs(tmp_path):
    pointer = LFS_POINTER + b"v1\noid sha256:00\n"
    write_tar(tmp_path / "a.tar", {"1.png": pointer, "1.txt": b"x", "2.png": b"i", "2.txt": pointer})
    source = find_source(tmp_path)
    first, second = source.entries()
    with pytest.raises(Rejected, match="Git LFS pointer"):
        source.open().read_image(first.path, first.at, first.size)
    assert second[:5] == (b"a.tar/2.png", b"2.txt", "", "", "Git LFS pointer")
    (tmp_path / "b.tar").write_bytes(pointer)
    with pytest.raises(SourceError, match="b.tar is a pointer of Git LFS.*run: git lfs pull"):
        list(find_source(tmp_path).entries())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_same_samples_as_stock_webdataset(tmp_path):
    for number in range(3):
        with webdataset.TarWriter(str(tmp_path / f"{number}.tar")) as writer:
            for sample in range(50):
                writer.write({"__key__": f"{number}/{sample:04d}", "png": os.urandom(900), "txt": f"word {sample}"})
    urls = [str(path) for path in sorted(tmp_path.iterdir())]
    expected = sorted(
        (sample["png"], sample["txt"]) for sample in webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
    )
    assert sorted(row[1:3] for row in contents(find_source(tmp_path))) == expected


def test_classes_of_anybody(tmp_path):
    write_tar(tmp_path / "a.tar", {"1.jpg": b"h"})
    write_tar(tmp_path / "b.tar", {"1.cls": b"cat\n", "1.jpg": b"i", "2.jpg": b"j", "3.x.CLS": b"dog", "3.x.jpg": b"k"})
    source = find_source(tmp_path)
    assert source.kind == "classes"
    assert [row[:3] for row in contents(source)] == [
        (b"a.tar/1.jpg", b"h", None),
        (b"b.tar/1.jpg", b"i", b"cat"),
        (b"b.tar/2.jpg", b"j", None),
        (b"b.tar/3.x.jpg", b"k", b"dog"),
    ]


@pytest.mark.parametrize("names", [("1.cls", "1.txt"), ("1.txt", "1.cls"), ("1.cls", "2/1.gt.txt")])
def test_words_and_classes_do_not_go_together(tmp_path, names):
    write_tar(tmp_path / "a.tar", {"1.png": b"i", names[0]: b"x"})
    write_tar(tmp_path / "b.tar", {"2.png": b"i", names[1]: b"x"})
    with pytest.raises(SourceError, match=f"b.tar holds {names[1]}, but before it .*write the tars without"):
        contents(find_source(tmp_path))
    write_tar(tmp_path / "a.tar", {"1.png": b"i", names[0]: b"x", names[1]: b"x"})
    with pytest.raises(SourceError, match=f"a.tar holds {names[1]}, but before it"):
        contents(find_source(tmp_path))


def test_a_picture_that_comes_twice_is_refused(tmp_path, build, make_image, read_list):
    files = [
        ("1.png", make_image(0)),
        ("1.txt", b"x"),
        ("1.png", make_image(1)),
        ("1.txt", b"y"),
        ("2.png", make_image(2)),
        ("2.txt", b"z"),
        ("2.txt", b"z"),
    ]
    write_tar(tmp_path / "raw/a.tar", files)
    assert sum(build(tmp_path / "raw", tmp_path / "out", profile="plain").index.counts.totals.values()) == 1
    assert [(row["path"], row["reason"]) for row in read_list(tmp_path / "out/rejects.tsv")] == [
        ("a.tar/1.png", "two labels"),
        ("a.tar/1.png", "two labels"),
        ("a.tar/2.txt", "listed twice"),
    ]


@pytest.mark.parametrize(
    "names", [("train-0", "train-1", "validation-0", "test-0"), ("train/0", "Train/1", "valid/0", "x/eval/0")]
)
def test_splits_by_the_names_of_all_tars_or_of_their_folders(tmp_path, names):
    for name in names:
        write_tar(tmp_path / f"{name}.tar", {"1.png": b"i", "1.txt": b"x"})
    source = find_source(tmp_path)
    assert sorted((row[0].decode(), row[3]) for row in contents(source)) == sorted(
        zip([f"{name}.tar/1.png" for name in names], ("train", "train", "val", "test"), strict=True)
    )
    write_tar(tmp_path / "extra.tar", {"e.png": b"i", "e.txt": b"x"})
    source = find_source(tmp_path)
    assert "which is named like a split, and extra.tar, which is not" in source.doubt
    assert {entry.split for entry in source.entries()} == {""}


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (("train/test-0", "test/0"), "train/test-0.tar: its folder says train, its name says test"),
        (("train/0", "test/0", "eval/0"), "eval/ and test/, which both are names of the split test"),
        (("train-0", "train-1"), ""),
    ],
)
def test_splits_that_cannot_be_told(tmp_path, names, doubt):
    for name in names:
        write_tar(tmp_path / f"{name}.tar", {"1.png": b"i", "1.txt": b"x"})
    source = find_source(tmp_path)
    assert doubt in source.doubt and bool(doubt) == bool(source.doubt)
    assert {entry.split for entry in source.entries()} == {""}


def test_a_cut_tar_gives_what_is_whole_and_one_reject(tmp_path):
    write_tar(tmp_path / "a.tar", {"1.png": b"i" * 600, "1.txt": b"x", "2.png": b"j" * 600, "2.txt": b"y"})
    write_tar(tmp_path / "b.tar", {"3.png": b"k", "3.txt": b"z"})
    (tmp_path / "c.tar").touch()
    (tmp_path / "d.tar").write_bytes(b"<html>not found")
    os.truncate(tmp_path / "a.tar", 1536 + 1024 + 900)
    lost = b"from byte %s on, of %s, everything is lost"
    assert contents(find_source(tmp_path)) == [
        (b"a.tar", b"", b"the file is cut there: " + lost % (b"2,560", b"3,460"), "", "damaged tar"),
        (b"a.tar/1.png", b"i" * 600, b"x", "", ""),
        (b"b.tar/3.png", b"k", b"z", "", ""),
        (b"c.tar", b"", b"the file is empty: " + lost % (b"0", b"0"), "", "damaged tar"),
        (b"d.tar", b"", b"there is no header of a file: " + lost % (b"0", b"15"), "", "damaged tar"),
    ]


def test_many_samples_in_many_tars_come_once_each(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_sets, "_BATCH", 3)
    for tar in range(20):
        write_tar(tmp_path / f"{tar}.tar", {f"{n}.{s}": b"%d" % n for n in range(tar) for s in ("png", "txt")})
    source = find_source(tmp_path)
    expected = sorted(f"{tar}.tar/{n}.png".encode() for tar in range(20) for n in range(tar))
    assert sorted(entry.path for entry in source.entries()) == expected
    walk = source.entries()
    next(walk)
    walk.close()


def test_what_lies_loose_beside_the_tars(tmp_path):
    write_tar(tmp_path / "a.tar", {"3.png": b"k", "3.txt": b"z"})
    for name in ("sheet.png", "README.txt", "notes.txt", "sizes.json"):
        (tmp_path / name).write_bytes(b"?")
    assert [(row[0], row[-1]) for row in contents(find_source(tmp_path, "webdataset"))] == [
        (b"a.tar/3.png", ""),
        (b"notes.txt", "outside"),
        (b"sheet.png", "outside"),
    ]


@pytest.mark.parametrize("name", ["b.tar.gz", "b.TGZ", "x/b.tar.zst"])
def test_compressed_tars(tmp_path, name):
    (tmp_path / "x").mkdir()
    (tmp_path / name).touch()
    for _ in range(2):
        with pytest.raises(SourceError, match=f"{name} is compressed.*unpack"):
            find_source(tmp_path)
        write_tar(tmp_path / "a.tar", {})


@pytest.mark.parametrize(
    ("head", "name"),
    [(gzip.compress(b"x" * 600, mtime=0), "gzip"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"PK\3\4", "zip")],
)
def test_what_only_goes_by_the_name_of_a_tar(tmp_path, head, name):
    write_tar(tmp_path / "a.tar", {"3.png": b"k", "3.txt": b"z"})
    (tmp_path / "b.tar").write_bytes(head)
    with pytest.raises(SourceError, match=f"b.tar is not a tar but a {name}; unpack it"):
        contents(find_source(tmp_path))


def test_what_cannot_be_read(tmp_path):
    write_tar(tmp_path / "a.tar", {})
    with pytest.raises(SourceError, match="hold no image"):
        list(find_source(tmp_path).entries())
    source = find_source(tmp_path)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(SourceError, match="a.tar cannot be read"):
        list(source.entries())


def test_splits_inside_a_tar_are_a_doubt(tmp_path, build, make_image):
    files = {f"pics/{split}/{n}.png": make_image(n) for n, split in enumerate(("train", "test"))}
    write_tar(tmp_path / "raw/x.tar", files | {name.replace("png", "txt"): b"w" for name in files})
    source = find_source(tmp_path / "raw")
    assert "x.tar holds pics/train/ and pics/test/; folders inside a tar are not read as splits" in source.doubt
    with pytest.raises(SourceError, match="unpack it, write a tar for each split"):
        build(tmp_path / "raw", tmp_path / "out", profile="plain")
    assert (
        sum(build(tmp_path / "raw", tmp_path / "out", profile="plain", split="file").index.counts.totals.values()) == 2
    )


@pytest.mark.parametrize(
    ("tars", "doubt"),
    [
        ({"a": ["en_train/1"], "b": ["en_val/1"]}, "a.tar holds en_train/, and b.tar holds en_val/; folders inside"),
        ({"a": ["./train/1", "./test/1"]}, "a.tar holds train/ and test/"),
        ({"a": ["train/1", "train/2"]}, ""),
        ({"a": ["train_station/1", "bus_station/2"]}, ""),
        ({"train": ["train/1"], "test": ["test/1"]}, ""),
    ],
)
def test_folders_of_splits_in_tars(tmp_path, tars, doubt):
    for tar, names in tars.items():
        write_tar(tmp_path / f"{tar}.tar", {f"{name}.{end}": b"x" for name in names for end in ("png", "txt")})
    source = find_source(tmp_path)
    assert (doubt in source.doubt) if doubt else source.doubt == ""


def test_splits_behind_the_first_members_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_samples, "_LOOK_MEMBERS", 4)
    names = ["train/1", "train/2", "test/3"]
    write_tar(tmp_path / "x.tar", {f"{name}.{end}": b"x" for name in names for end in ("png", "txt")})
    source = find_source(tmp_path)
    assert source.doubt == "" and source.notes() == []
    for _ in range(2):
        assert {entry.split for entry in source.entries()} == {""}
        (note,) = source.notes()
        assert "x.tar holds train/ and test/; folders inside a tar are not read as splits" in note


def test_label_files_inside_tars_are_named(tmp_path):
    files = {
        "1.png": b"i",
        "1.txt": b"one",
        "1.json": b"{}",
        "1.xml": b"",
        "2.csv": b"",
        "2.png": b"j",
        "3.json": b"",
        "labels.tsv": b"",
        "d/words.csv": b"",
        "metadata.jsonl": b"",
        "labels.json": b"{}",
        "gt.txt": b"",
        "rec_gt_train.txt": b"",
        "in.tar": b"",
        "README.txt": b"",
        "info.json": b"",
        "gt.png": b"k",
    }
    pairs = {"label.png": b"l", "label.txt": b"four"}
    write_tar(tmp_path / "a.tar", [*files.items(), *pairs.items()])
    detail = b"a label file inside a tar is not read; unpack the tar"
    assert contents(find_source(tmp_path)) == [
        (b"a.tar/1.png", b"i", b"one", "", ""),
        (b"a.tar/2.png", b"j", None, "", ""),
        (b"a.tar/d/words.csv", b"", detail, "", "outside"),
        (b"a.tar/gt.png", b"k", b"", "", ""),
        (b"a.tar/in.tar", b"", b"a file of pictures inside a tar is not read; unpack the tar", "", "outside"),
        (b"a.tar/label.png", b"l", b"four", "", ""),
        (b"a.tar/labels.json", b"", detail, "", "outside"),
        (b"a.tar/labels.tsv", b"", detail, "", "outside"),
        (b"a.tar/metadata.jsonl", b"", detail, "", "outside"),
        (b"a.tar/rec_gt_train.txt", b"", detail, "", "outside"),
    ]


def test_label_files_and_other_records_beside_tars_are_named(tmp_path):
    write_tar(tmp_path / "a.tar", {"3.png": b"k", "3.txt": b"z"})
    names = ("meta.csv", "labels.json", "b/x.parquet", "data.mdb", "sizes.json", "README.csv", "a.tar.idx")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    assert [(row[0], row[-1]) for row in contents(find_source(tmp_path, "webdataset"))] == [
        (b"a.tar/3.png", ""),
        (b"b/x.parquet", "outside"),
        (b"data.mdb", "outside"),
        (b"labels.json", "outside"),
        (b"meta.csv", "outside"),
    ]


@pytest.mark.parametrize("content", [b"", b"\n", b" "])
def test_an_empty_class_is_no_label(tmp_path, content):
    write_tar(tmp_path / "a.tar", {"1.cls": content, "1.png": b"i", "2.cls": b"cat", "2.png": b"j"})
    assert contents(find_source(tmp_path)) == [
        (b"a.tar/1.png", b"", b"1.cls is empty", "", "no label"),
        (b"a.tar/2.png", b"j", b"cat", "", ""),
    ]


@pytest.mark.parametrize("order", ["1a1a2b", "1a2b1a", "11a2ba", "12ba1a", "1a2b1"])
def test_the_same_picture_twice_is_listed_twice(tmp_path, build, make_image, read_list, read_packed, order):
    one, two = make_image(1), make_image(2)
    members = {"1": ("1.png", one), "a": ("1.txt", b"one"), "2": ("2.png", two), "b": ("2.txt", b"two")}
    write_tar(tmp_path / "raw/a.tar", [members[letter] for letter in order])
    build(tmp_path / "raw", tmp_path / "out", profile="plain")
    assert sorted((sample.image, sample.label) for sample in read_packed(tmp_path / "out")) == sorted(
        [(one, "one"), (two, "two")]
    )
    assert {(row["path"], row["reason"]) for row in read_list(tmp_path / "out/rejects.tsv")} >= {
        ("a.tar/1.png", "listed twice")
    }


def test_pictures_that_differ_are_two_labels(tmp_path, build, make_image, read_list):
    files = [
        ("1.png", make_image(1)),
        ("1.txt", b"x"),
        ("2.png", make_image(2)),
        ("2.txt", b"y"),
        ("1.png", make_image(3)),
        ("1.txt", b"x"),
    ]
    write_tar(tmp_path / "raw/a.tar", files)
    build(tmp_path / "raw", tmp_path / "out", profile="plain")
    assert [(row["path"], row["reason"]) for row in read_list(tmp_path / "out/rejects.tsv")] == [
        ("a.tar/1.png", "two labels")
    ] * 2
