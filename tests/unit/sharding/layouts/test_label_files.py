"""Label files: the same entries whatever program wrote them; a line that is wrong spoils itself alone."""

import os

import pytest

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.find import find_source


def odd(line: int, cells: int, others: int, has_header: bool = False, name: str = "labels.tsv") -> bytes:
    """The detail of a row between tabs that has not the cells of the others."""
    most = "the header has" if has_header else "most lines have"
    hint = "a text cannot hold the separator; write the file as CSV, with quotes"
    return f"{name}, line {line}: {cells} cells (between tabs), {most} {others}; {hint}".encode()


@pytest.mark.parametrize("header", ["", "path\tlabel\n", "Filename\ttext\t\n", "\ufeffimage\tlabel\n", "\ufeff"])
def test_labels_tsv_with_and_without_a_header(write, header):
    src = write({"labels.tsv": f"{header}b/2.png\tدو\r\n\r\na.png\tایک\n\t\t\nlast.png\tx y "})
    source = find_source(src)
    assert (source.layout, source.kind, source.labels_apart) == ("labels", "words", False)
    assert list(source.entries()) == [
        Entry(b"b/2.png", "دو".encode()),
        Entry(b"a.png", "ایک".encode()),
        Entry(b"last.png", b"x y "),
    ]


@pytest.mark.parametrize("header", ["", "path\tlabel\tsubset\n"])
def test_a_third_column_is_the_subset(write, header):
    src = write({"labels.tsv": f"{header}b/2.png\tدو\trandom\r\na.png\tایک\t\nc.png\tتین\n"})
    assert list(find_source(src).entries()) == [
        Entry(b"b/2.png", "دو".encode(), "random"),
        Entry(b"a.png", "ایک".encode()),
        Entry(b"c.png", odd(3 + bool(header), 2, 3, bool(header)), problem="odd row"),
    ]


def test_labels_csv_with_quotes(write):
    content = (
        '\ufeffpath,label,subset\r\n"a,b.png","say ""hi"", you", pages \r\n\r\nb.png,"two\nlines",pages\r\n'
        "c.png\r\n,x,\r\n"
    )
    assert list(find_source(write({"labels.csv": content})).entries()) == [
        Entry(b"a,b.png", b'say "hi", you', "pages"),
        Entry(b"b.png", b"two\nlines", "pages"),
        Entry(b"c.png", None),
        Entry(b"(line 7 of labels.csv)", b"x", problem="no path"),
    ]


def test_given_splits(write):
    source = find_source(write({"train.tsv": "1.png\ta\n", "val.tsv": "2.png\tb\n", "test.csv": "3.png,c\n"}))
    assert source.layout == "splits"
    assert [(entry.path, entry.split) for entry in source.entries()] == [
        (b"1.png", "train"),
        (b"2.png", "val"),
        (b"3.png", "test"),
    ]


def test_train_alone_gives_no_splits(write):
    source = find_source(write({"train.tsv": "1.png\ta\n"}))
    assert (source.layout, list(source.entries())) == ("labels", [Entry(b"1.png", b"a")])


def test_one_image_has_one_name(write):
    lines = "./a.png\tx\nb//c.png\tx\nb/../d.png\tx\n../e.png\tx\n/abs/f.png\tx\ng..h.png\tx\n"
    paths = [entry.path for entry in find_source(write({"labels.tsv": lines})).entries()]
    assert paths == [b"a.png", b"b/c.png", b"d.png", b"../e.png", b"/abs/f.png", b"g..h.png"]


def test_lines_that_name_no_image_or_no_label(write):
    lines = " \tx\na.png\nb.png\t\n"
    assert list(find_source(write({"labels.tsv": lines})).entries()) == [
        Entry(b"(line 1 of labels.tsv)", b"x", problem="no path"),
        Entry(b"a.png", None),
        Entry(b"b.png", b""),
    ]


@pytest.mark.parametrize(("name", "tab"), [("labels.tsv", b"\t"), ("labels.csv", b",")])
def test_bytes_that_are_no_utf8_stay_as_they_are(write, name, tab):
    src = write({name: b"\xe9.png" + tab + b"\xff\xfe" + tab + b"\xe9\nb.png" + tab + b"ok" + tab + b"\n"})
    assert list(find_source(src).entries()) == [Entry(b"\xe9.png", b"\xff\xfe", "\ufffd"), Entry(b"b.png", b"ok")]


def test_files_that_cannot_be_read(write, tmp_path):
    with pytest.raises(SourceError, match="name no image"):
        list(find_source(write({"labels.tsv": "path\tlabel\n\n"})).entries())
    (tmp_path / "raw/labels.tsv").unlink()
    with pytest.raises(SourceError, match="line 2: a quote opens there that is never closed.*labels.tsv"):
        list(find_source(write({"labels.csv": 'a.png,x\nb.png,"' + "x" * 200_000})).entries())
    source = find_source(tmp_path / "raw")
    (tmp_path / "raw/labels.csv").unlink()
    with pytest.raises(SourceError, match="labels.csv cannot be read"):
        source.listing()
    with pytest.raises(SourceError, match="labels.csv cannot be read"):
        list(source.entries())


def test_paddleocr_lists(write):
    lists = {
        "train_list.txt": 'train/1.png\tایک\r\n["train/2.png", "./train/3.png"]\tدو\n[4].png\tx\n\ty\n',
        "val_list.txt": "val/1.png\ttext with = and \\\nval/2.png\ttwo\tthree\nval/3.png\tx\n",
    }
    source = find_source(write(lists))
    assert (source.layout, source.kind) == ("paddleocr", "words")
    assert list(source.entries()) == [
        Entry(b"train/1.png", "ایک".encode(), split="train"),
        Entry(b"train/2.png", "دو".encode(), split="train"),
        Entry(b"train/3.png", "دو".encode(), split="train"),
        Entry(b"[4].png", b"x", split="train"),
        Entry(b"(line 4 of train_list.txt)", b"y", split="train", problem="no path"),
        Entry(b"val/1.png", b"text with = and \\", split="val"),
        Entry(b"val/2.png", odd(2, 3, 2, name="val_list.txt"), "", "val", "odd row"),
        Entry(b"val/3.png", b"x", split="val"),
    ]


def test_paddleocr_by_the_other_names_and_alone(write, tmp_path):
    src = write({"rec_gt_train.txt": "1.png\ta\n"})
    assert list(find_source(src).entries()) == [Entry(b"1.png", b"a")]
    write({"rec_gt_test.txt": "2.png\tb\n"})
    assert [entry.split for entry in find_source(src).entries()] == ["train", "test"]


def test_easyocr_cuts_at_the_first_comma_and_knows_no_quotes(write):
    lines = '\ufefffilename,words\r\n1.jpg,a, b,c\r\n2.jpg,"\r\n3.jpg,"word"\r\n4.jpg\r\n\r\n,x\r\n'
    assert list(find_source(write({"labels.csv": lines})).entries()) == [
        Entry(b"1.jpg", b"a, b,c"),
        Entry(b"2.jpg", b'"'),
        Entry(b"3.jpg", b'"word"'),
        Entry(b"4.jpg", None),
        Entry(b"(line 7 of labels.csv)", b"x", problem="no path"),
    ]


def test_easyocr_or_quoted_csv_is_not_guessed_at(write):
    src = write({"labels.csv": 'filename,words\n1.jpg,"a, b"\n'})
    with pytest.raises(SourceError, match="line 2, has quotes.*--layout easyocr, or --layout labels"):
        list(find_source(src).entries())
    assert list(find_source(src, "easyocr").entries()) == [Entry(b"1.jpg", b'"a, b"')]
    assert list(find_source(src, "labels").entries()) == [Entry(b"1.jpg", b"a, b")]


def test_the_label_files_are_marked_as_they_were_when_they_were_read(write):
    src = write({"train.tsv": "1.png\ta\n", "val.tsv": "2.png\tb\n"})
    source = find_source(src)
    marks = source.listing()
    assert [(name, size) for name, size, _ in marks] == [("train.tsv", 8), ("val.tsv", 8)]
    list(source.entries())
    os.utime(src / "val.tsv", ns=(1, 1))
    assert source.listing() == marks  # what was listed, not what is there by now
    assert not source.is_as_listed(marks)
    marks = find_source(src).listing()
    write({"1.png": b"."})
    assert source.is_as_listed(marks)
    write({"test.tsv": "3.png\tc\n"})
    assert not find_source(src).is_as_listed(marks)  # a file more


def test_images_are_read_from_the_source(write):
    source = find_source(write({"labels.tsv": "a/1.png\tx\n", "a/1.png": b"content"}))
    (entry,) = source.entries()
    reader = source.open()
    assert reader.read_image(entry.path, entry.at, entry.size) == b"content"
    assert reader.read_label(entry.label) == b"x"
    reader.close()
