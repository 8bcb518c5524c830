"""Hugging Face's imagefolder: metadata.csv or .jsonl, with the splits that its folders say."""

import json

import pytest

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.find import find_source


def test_metadata_csv_finds_its_columns(write):
    csv = '\ufefffile_name,width,text\r\nb/1.png,3,"a, ""b"""\r\n2.png\r\n,3,x\r\n3.png,3\r\n'
    source = find_source(write({"metadata.csv": csv}))
    assert (source.layout, source.kind, source.labels_apart) == ("huggingface", "words", False)
    assert list(source.entries()) == [
        Entry(b"b/1.png", b'a, "b"'),
        Entry(b"2.png", None),
        Entry(b"(line 4 of metadata.csv)", b"x", problem="no path"),
        Entry(
            b"3.png",
            b"metadata.csv, line 5: 2 cells (between commas), the header has 3; put quotes around a text "
            b"that holds the separator",
            problem="odd row",
        ),
    ]
    assert source.notes() == ["metadata.csv: the columns width are not read"]


def test_metadata_jsonl_with_any_of_the_text_columns(write):
    rows = [
        {"file_name": "1.png", "transcription": "ایک"},
        {"transcription": "2026", "file_name": "./2.png"},
        {"file_name": "3.png", "transcription": None},
        {"transcription": "x"},
        {"file_name": "5.png", "transcription": "\ud800"},
        {"file_name": "6.png", "transcription": 7},
    ]
    lines = "\n\n".join(map(json.dumps, rows))
    assert list(find_source(write({"metadata.jsonl": lines})).entries()) == [
        Entry(b"1.png", "ایک".encode()),
        Entry(b"2.png", b"2026"),
        Entry(b"3.png", None),
        Entry(b"(line 7 of metadata.jsonl)", b"x", problem="no path"),
        Entry(b"5.png", b"\xed\xa0\x80"),  # no UTF-8: it is refused later, alone
        Entry(b"6.png", b"metadata.jsonl, line 11: 7", problem="label is no text"),
    ]


def test_a_split_in_each_row_and_what_is_not_read(write):
    rows = [{"file_name": "1.png", "text": "a", "split": "Dev", "width": 3}, {"file_name": "2.png", "text": "b"}]
    src = write({"metadata.jsonl": "\n".join(map(json.dumps, rows))})
    source = find_source(src)
    assert list(source.entries()) == [Entry(b"1.png", b"a", split="val"), Entry(b"2.png", b"b")]
    assert source.notes() == ["metadata.jsonl: width is not read"]
    rows[1]["split"] = "holdout"
    write({"metadata.jsonl": "\n".join(map(json.dumps, rows))})
    with pytest.raises(SourceError, match="line 2: 'holdout' is not a name of a split"):
        list(find_source(src).entries())


def test_metadata_in_the_folders_of_splits(write):
    files = {
        "train/metadata.csv": "file_name,label\n1.png,a\n",
        "validation/metadata.jsonl": '{"file_name": "sub/2.png", "text": "b"}\n',
        "test/metadata.csv": "text,file_name\nc,3.png\n",
        **{name: "." for name in ("train/1.png", "validation/sub/2.png", "test/3.png")},
    }
    assert sorted(find_source(write(files)).entries()) == [
        Entry(b"test/3.png", b"c", split="test"),
        Entry(b"train/1.png", b"a", split="train"),
        Entry(b"validation/sub/2.png", b"b", split="val"),
    ]


def test_one_metadata_file_over_folders_of_splits(write):
    csv = "file_name,text\ntrain/1.png,a\nval/2.png,b\nother/3.png,c\n"
    source = find_source(write({"metadata.csv": csv, "train/1.png": ".", "val/2.png": "."}))
    assert [entry.split for entry in source.entries()] == ["train", "val", ""]


def test_train_alone_gives_no_splits(write):
    assert list(find_source(write({"train/metadata.csv": "file_name,text\n1.png,a\n"})).entries()) == [
        Entry(b"train/1.png", b"a")
    ]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"metadata.csv": "file_name,width\n1.png,a\n"}, "line 1, names the columns file_name, width, and none.*text"),
        ({"metadata.csv": "text\na\n"}, "does not begin with the names of its columns; it needs file_name and text"),
        ({"metadata.csv": ""}, "it needs file_name"),
        ({"metadata.csv": "file_name,text,label\n1.png,a,b\n"}, "each of the columns text, label may be the text"),
        ({"metadata.jsonl": '{"file_name": "1.png", "text": "a", "gt": "b"}\n'}, "each of text, gt may be the text"),
        ({"metadata.jsonl": '{"file_name": "1.png", "width": 3}\n'}, "it needs file_name and one of: text"),
        ({"metadata.jsonl": "", "metadata.csv": ""}, "metadata.jsonl and metadata.csv; move the one away"),
        ({"metadata.jsonl": '{"file_name": "1.png", "text": "a"}\n{"file_n'}, "line 2, is not a JSON object"),
        ({"metadata.jsonl": "[1]\n"}, "line 1, is not a JSON object"),
        ({"metadata.jsonl": "\n"}, "name no image"),
    ],
)
def test_refusals(write, files, sentence):
    with pytest.raises(SourceError, match=sentence):
        list(find_source(write(files)).entries())


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('{"file_name": "1.png", "text": "a", "text": "b"}', "line 1, is not a JSON object .*'text' is there twice"),
        ('{"file_name": "1", "label": "3"}\n{"file_name": "2", "label": "4", "text": "x"}', "line 2: 'text' may"),
        ('{"file_name": "1.png", "text": "a", "split": 0}', "line 1: 0 is not a name of a split"),
    ],
)
def test_keys_that_nobody_can_tell_apart(write, lines, sentence):
    with pytest.raises(SourceError, match=sentence):
        list(find_source(write({"metadata.jsonl": lines + "\n"})).entries())
