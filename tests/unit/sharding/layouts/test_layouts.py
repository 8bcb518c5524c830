"""Every layout is found by itself, in a stated order; what does not fit is refused with what was looked for."""

import pickle

import pytest

from sharding.errors import ConfigError, SourceError
from sharding.layouts.find import LAYOUTS, find_source

ONE_OF_EACH = {
    "easyocr": {"labels.csv": "filename,words\na.png,x\n"},
    "labels": {"labels.csv": "a.png,x\n"},
    "splits": {"train.tsv": "a.png\tx\n", "val.tsv": "b.png\tx\n"},
    "paddleocr": {"train_list.txt": "a.png\tx\n"},
    "huggingface": {"metadata.csv": "file_name,text\na.png,x\n"},
    "doctr": {"labels.json": '{"a.png": "x"}', "images/a.png": "."},
    "beside": {"a.png": ".", "a.txt": "x"},
    "classes": {"x/a.png": ".", "y/a.png": "."},
    "webdataset": {"a.tar": bytes(1024)},
}


@pytest.mark.parametrize("layout", ONE_OF_EACH)
def test_found_by_itself_and_by_name_and_sent_to_a_worker(write, layout):
    src = write(ONE_OF_EACH[layout])
    source = find_source(src)
    assert source.layout == layout
    assert source.root == src.absolute()
    assert source.kind == ("classes" if layout == "classes" else "words")
    assert source.labels_apart == (layout == "beside")
    assert find_source(src, layout).layout == layout
    assert pickle.loads(pickle.dumps(source)) == source


def test_label_files_of_several_layouts_are_not_guessed_at(write):
    for layout in ("splits", "paddleocr", "huggingface", "doctr", "easyocr"):
        src = write(ONE_OF_EACH[layout])
    with pytest.raises(SourceError, match="holds labels in several layouts; say which is meant .*--layout"):
        find_source(src)
    for layout in ("splits", "paddleocr", "huggingface", "doctr", "easyocr"):
        assert find_source(src, layout).layout == layout
    assert find_source(src, "labels").files[0].name == "labels.csv"  # with quotes, as CSV has them


def test_every_layout_is_tried_here_or_in_a_test_of_its_own():
    assert {*ONE_OF_EACH, "shards", "lmdb", "parquet", "names"} == {*LAYOUTS}


def test_label_files_go_before_what_lies_beside_images(write):
    src = write(ONE_OF_EACH["beside"] | ONE_OF_EACH["labels"])
    assert find_source(src).layout == "labels"
    assert find_source(src, "beside").layout == "beside"


def test_a_layout_that_is_not_there(write):
    src = write(ONE_OF_EACH["labels"])
    with pytest.raises(SourceError, match="looked for: a .txt or .gt.txt beside an image"):
        find_source(src, "beside")
    with pytest.raises(ConfigError, match="unknown layout 'zip'; there are: shards, easyocr, labels"):
        find_source(src, "zip")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "is empty; put images"),
        ({"empty/.hidden.png": b""}, "is empty; put images"),
        ({"images/1.png": b"", "images/2.png": b""}, r"--label-from-name REGEX. looked for:\n  shards +index.json"),
        ({"1.png": b""}, "looked for"),
        ({"notes.txt": b"", "more.txt": b""}, "it holds more.txt, notes.txt"),
    ],
)
def test_refusals(write, files, sentence):
    with pytest.raises(SourceError, match=sentence):
        find_source(write(files))


def test_no_folder_and_no_folder_but_a_file(tmp_path):
    with pytest.raises(SourceError, match="there is no folder .*raw"):
        find_source(tmp_path / "raw")
    (tmp_path / "labels.tsv").write_text("")
    with pytest.raises(SourceError, match="is a file; name the folder"):
        find_source(tmp_path / "labels.tsv")


@pytest.mark.parametrize(
    ("layout", "pattern"), [("names", None), ("names", ""), ("labels", "(.*)"), (None, "("), (None, "no group")]
)
def test_options_that_do_not_go_together(write, layout, pattern):
    with pytest.raises(ConfigError, match="label-from-name"):
        find_source(write(ONE_OF_EACH["labels"]), layout, pattern)
