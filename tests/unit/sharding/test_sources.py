"""Raw layouts: each is found by itself, in a stable order; what does not fit is refused with what was looked for."""

from pathlib import Path

import pytest

from sharding.errors import ConfigError, SourceError
from sharding.sources import Entry, read_source


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize("header", ["", "path\tlabel\tsubset\n", "Filename\ttext\n", "\ufeffimage\tlabel\n"])
def test_labels_tsv_with_and_without_a_header(tmp_path: Path, header: str):
    src = write(tmp_path, {"labels.tsv": f"{header}b/2.png\tدو\trandom\r\n\r\na.png\tایک\n"})
    raw = read_source(src)
    assert (raw.layout, raw.kind, raw.subsets) == ("labels", "words", ("", "random"))
    assert raw.entries == [Entry("a.png", "ایک"), Entry("b/2.png", "دو", "random")]


def test_labels_csv_with_quotes(tmp_path: Path):
    raw = read_source(write(tmp_path, {"labels.csv": 'filename,words\n"a,b.png","say ""hi"", you"\n'}))
    assert raw.entries == [Entry("a,b.png", 'say "hi", you')]


def test_given_splits(tmp_path: Path):
    src = write(tmp_path, {"train.tsv": "1.png\ta\n", "val.tsv": "2.png\tb\n", "test.csv": "3.png,c\n"})
    raw = read_source(src)
    assert raw.layout == "splits"
    assert [(entry.path, entry.split) for entry in raw.entries] == [
        ("1.png", "train"),
        ("2.png", "val"),
        ("3.png", "test"),
    ]


def test_train_alone_gives_no_splits(tmp_path: Path):
    raw = read_source(write(tmp_path, {"train.tsv": "1.png\ta\n"}))
    assert (raw.layout, raw.entries) == ("labels", [Entry("1.png", "a")])


def test_text_beside_the_image_in_any_depth(tmp_path: Path):
    src = write(
        tmp_path,
        {"x/1.png": b"", "x/1.gt.txt": "one\n", "x/1.txt": "not this", "2.JPG": b"", "2.txt": "two", "3.png": b"",
         "lost.txt": "four", ".hidden.png": b""},
    )  # fmt: skip
    raw = read_source(src)
    assert raw.layout == "beside"
    assert raw.entries == [
        Entry("2.JPG", "two"),
        Entry("3.png", None),
        Entry("lost.txt", None, problem="missing image"),
        Entry("x/1.png", "one\n"),
    ]


def test_one_folder_per_class(tmp_path: Path):
    raw = read_source(write(tmp_path, {"dog/1.png": b"", "cat/sub/2.jpeg": b"", "stray.png": b"", "cat/notes.md": ""}))
    assert (raw.layout, raw.kind) == ("classes", "classes")
    assert raw.entries == [Entry("cat/sub/2.jpeg", "cat"), Entry("dog/1.png", "dog"), Entry("stray.png", None)]


def test_classes_under_given_splits(tmp_path: Path):
    files = {f"{split}/{name}/1.png": b"" for split in ("train", "val") for name in ("cat", "dog")}
    raw = read_source(write(tmp_path, files))
    assert [(entry.label, entry.split) for entry in raw.entries] == [
        ("cat", "train"), ("dog", "train"), ("cat", "val"), ("dog", "val")
    ]  # fmt: skip


def test_the_order_of_preference_and_its_override(tmp_path: Path):
    src = write(
        tmp_path, {"labels.tsv": "a.png\tx\n", "train.tsv": "a.png\ty\n", "val.tsv": "b.png\tz\n", "a.png": b""}
    )
    assert read_source(src).layout == "labels"
    assert read_source(src, "splits").layout == "splits"
    with pytest.raises(SourceError, match="beside an image"):
        read_source(src, "beside")
    with pytest.raises(ConfigError, match="labels, splits, beside, classes"):
        read_source(src, "lmdb")


def test_an_image_named_twice(tmp_path: Path):
    lines = "a.png\tx\na.png\tx\nb.png\tx\nb.png\ty\n./c/../d.png\tx\nd.png\tx\n\tx\ne.png\n"
    raw = read_source(write(tmp_path, {"labels.tsv": lines}))
    assert [(entry.path, entry.problem) for entry in raw.entries] == [
        ("(line 7 of labels.tsv)", "no path"),
        ("a.png", ""),
        ("a.png", "listed twice"),
        ("b.png", "two labels"),
        ("b.png", "two labels"),
        ("d.png", ""),
        ("d.png", "listed twice"),
        ("e.png", ""),
    ]
    assert raw.entries[-1].label is None


def test_a_label_that_is_no_utf8_spoils_only_itself(tmp_path: Path):
    raw = read_source(write(tmp_path, {"labels.tsv": b"a.png\t\xff\xfe\nb.png\tok\n"}))
    assert raw.entries[1] == Entry("b.png", "ok")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "is empty; put images"),
        ({"labels.tsv": "path\tlabel\n"}, "name no image"),
        ({"images/1.png": b"", "images/2.png": b""}, "looked for: labels.tsv or labels.csv; train.tsv"),
        ({"1.png": b""}, "looked for"),
    ],
)
def test_refusals(tmp_path: Path, files: dict, sentence: str):
    with pytest.raises(SourceError, match=sentence):
        read_source(write(tmp_path, files))


def test_no_folder_and_no_folder_but_a_file(tmp_path: Path):
    with pytest.raises(SourceError, match="there is no folder .*raw"):
        read_source(tmp_path / "raw")
    (tmp_path / "labels.tsv").write_text("")
    with pytest.raises(SourceError, match="is a file; name the folder"):
        read_source(tmp_path / "labels.tsv")


def test_a_third_column_that_is_no_subset(tmp_path: Path):
    lines = "".join(f"{number}.png\tx\twriter{number}\n" for number in range(300))
    with pytest.raises(SourceError, match="301 different subsets, at most 255"):
        read_source(write(tmp_path, {"labels.tsv": lines}))
