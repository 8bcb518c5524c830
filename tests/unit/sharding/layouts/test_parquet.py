"""Parquet files as the Hugging Face hub has them: every row is a sample or says why it is none."""

import json
import pickle
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sharding.errors import ConfigError, SourceError
from sharding.layouts import parquet
from sharding.layouts.entry import Entry
from sharding.layouts.files import LFS_POINTER
from sharding.layouts.find import find_source
from sharding.reasons import Rejected

WORDS = ["ایک", "دو", None, "a\nb", ""]


def images_of(contents: list[bytes | None], struct: bool = True) -> pa.Array:
    """struct: as the datasets library writes them; None: a row with a path alone."""
    if not struct:
        return pa.array(contents, pa.binary())
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array([{"bytes": content, "path": f"w{n}.png"} for n, content in enumerate(contents)], kind)


def write_parquet(path, columns: dict, features: dict | None = None, rows: int = 2, **options) -> None:
    """rows: of a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path, row_group_size=rows, **options)


@pytest.mark.parametrize("struct", [True, False])
@pytest.mark.parametrize("text", ["text", "Ground Truth", "transcription"])
def test_a_row_is_a_sample(tmp_path, struct, text):
    pictures = [b"i0", b"i1", b"i2", b"i3", None]
    more = {"width": [1] * 5, "lang": ["ur"] * 5}
    write_parquet(tmp_path / "data/a.parquet", more | {"image": images_of(pictures, struct), text: pa.array(WORDS)})
    source = pickle.loads(pickle.dumps(find_source(tmp_path)))
    assert (source.layout, source.kind, source.labels_apart, source.images_are_files) == (
        "parquet",
        "words",
        False,
        False,
    )
    entries = list(source.entries())
    assert entries == [
        Entry(b"data/a.parquet/000000000", "ایک".encode()),
        Entry(b"data/a.parquet/000000001", "دو".encode()),
        Entry(b"data/a.parquet/000000002", None),
        Entry(b"data/a.parquet/000000003", b"data/a.parquet/000000003 has 2", problem="several lines"),
        Entry(b"data/a.parquet/000000004", b""),
    ]
    reader = source.open()
    assert [reader.read_image(entry.path) for entry in entries[:4]] == pictures[:4]
    with pytest.raises(Rejected, match="missing image.*w4.png" if struct else "missing image.*empty row"):
        reader.read_image(entries[4].path)
    with pytest.raises(Rejected, match="missing image.*no such row"):
        reader.read_image(b"data/a.parquet/000000005")
    reader.close()


def test_any_order_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_IMAGE_ROWS", 3)
    monkeypatch.setattr(parquet, "_OPEN_FILES", 1)
    for name in "ab":
        pictures = [f"{name}{row}".encode() for row in range(20)]
        write_parquet(tmp_path / f"{name}.parquet", {"image": images_of(pictures), "text": ["x"] * 20}, rows=7)
    reader = find_source(tmp_path).open()
    for row in (*range(20), 19, 3, 4, 0, 13, 6, 7):
        for name in "ab" if row % 2 else "ba":
            assert reader.read_image(b"%s.parquet/%09d" % (name.encode(), row)) == f"{name}{row}".encode()
    reader.close()


def test_each_batch_is_decoded_once_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_IMAGE_ROWS", 4)
    write_parquet(tmp_path / "a.parquet", {"image": images_of([b"x"] * 40), "text": ["x"] * 40}, rows=10)
    held = []
    hold = parquet._ImageRows._hold
    monkeypatch.setattr(parquet._ImageRows, "_hold", lambda self, batch: (held.append(len(batch)), hold(self, batch)))
    source = find_source(tmp_path)
    reader = source.open()
    for entry in source.entries():
        reader.read_image(entry.path)
    assert held == [4, 4, 2] * 4
    reader.close()


def test_classes_by_the_names_in_the_file(tmp_path):
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    labels = pa.array([1, 0, -1, None, 2])
    write_parquet(tmp_path / "a.parquet", {"image": images_of([b"i"] * 5), "label": labels}, features)
    source = find_source(tmp_path)
    assert source.kind == "classes"
    assert [entry[1:5] for entry in source.entries()] == [
        (b"dog", "", "", ""),
        (b"cat", "", "", ""),
        (b"its number -1 has no name", "", "", "no label"),
        (b"its class is null", "", "", "no label"),
        (b"its number 2 has no name", "", "", "no label"),
    ]


def test_a_text_goes_before_a_class(tmp_path):
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    columns = {"image": images_of([b"i"]), "label": [1], "text": pa.array(["w"]).dictionary_encode()}
    write_parquet(tmp_path / "a.parquet", columns, features)
    source = find_source(tmp_path)
    assert (source.kind, [entry.label for entry in source.entries()]) == ("words", [b"w"])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"text": ["a"]}, "has no column of images, only text; .*metadata.csv"),
        ({"file_name": ["a.png"], "text": ["a"]}, "has no column of images"),
        (
            {"image": images_of([b"i"])},
            "has no column of texts, only image; looked for: text.*; rename the column of the texts to text; if",
        ),
        ({"image": images_of([b"i"]), "text": ["a"], "caption": ["b"]}, "columns text, caption may all be the texts"),
        ({"a": images_of([b"i"]), "b": images_of([b"i"]), "text": ["a"]}, "columns a, b may all be the images"),
        (
            {"image": images_of([b"i"]), "text": ["a"], "split": ["val"], "fold": ["1"]},
            "split, fold may all be the splits",
        ),
        ({"image": images_of([b"i"]), "label": [3]}, "column label holds int64, and no texts"),
        ({"image": images_of([b"i"]), "text": [["a"]]}, "column text holds list<.*, and no texts"),
        ({"image": images_of([b"i"], False), "png": images_of([b"i"], False), "text": ["a"]}, "may all be the images"),
    ],
)
def test_columns_that_cannot_be_told(tmp_path, columns, sentence):
    write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(SourceError, match=f"a.parquet.*{sentence}"):
        find_source(tmp_path)


def test_of_several_images_the_one_that_is_called_so(tmp_path):
    columns = {"mask": images_of([b"m"]), "Image": images_of([b"i"]), "text": ["a"]}
    write_parquet(tmp_path / "a.parquet", columns)
    assert find_source(tmp_path).open().read_image(b"a.parquet/000000000") == b"i"


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00002", "data/train-00001-of-00002", "data/validation-00000-of-00001", "data/test-0"),
        ("default/train/0000", "default/train/0001", "default/dev/0000", "default/test/0000"),
    ],
)
def test_splits_as_the_hub_finds_them(tmp_path, names):
    for name in names:
        write_parquet(tmp_path / f"{name}.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    source = find_source(tmp_path)
    assert source.doubt == ""
    assert sorted((entry.path.decode(), entry.split) for entry in source.entries()) == sorted(
        (f"{name}.parquet/000000000", split)
        for name, split in zip(names, ("train", "train", "val", "test"), strict=True)
    )
    write_parquet(tmp_path / "more.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    assert "more.parquet, which is not" in find_source(tmp_path).doubt


def test_files_must_agree(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    write_parquet(tmp_path / "b.parquet", {"image": images_of([b"i"]), "label": ["a"]})
    with pytest.raises(SourceError, match="b.parquet has not the columns of a.parquet .image.bytes, image.path, text"):
        list(find_source(tmp_path).entries())


def test_what_stands_in_the_place_of_a_file(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    whole = (tmp_path / "a.parquet").read_bytes()
    for content, sentence in (
        (LFS_POINTER + b"v1\n", "b.parquet is a pointer of Git LFS.*run: git lfs pull"),
        (b"", "b.parquet cannot be opened as Parquet .*; copy it again"),
        (whole[:-9], "b.parquet cannot be opened as Parquet"),
    ):
        (tmp_path / "b.parquet").write_bytes(content)
        with pytest.raises(SourceError, match=sentence):
            list(find_source(tmp_path).entries())
    (tmp_path / "b.parquet").unlink()
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(SourceError, match="a.parquet cannot be opened"):
        find_source(tmp_path)
    write_parquet(tmp_path / "a.parquet", {"image": images_of([]), "text": pa.array([], pa.string())})
    with pytest.raises(SourceError, match="hold no row"):
        list(find_source(tmp_path).entries())


def test_a_damaged_page(tmp_path):
    columns = {"image": images_of([b"i" * 999] * 4), "text": ["a" * 99, "b" * 99, "c" * 99, "d" * 99]}
    write_parquet(
        tmp_path / "a.parquet",
        columns,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
        write_statistics=False,
    )
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole.replace(b"cc", b"cx", 1))
    with pytest.raises(SourceError, match="a.parquet is damaged .*; copy it again"):
        list(find_source(tmp_path).entries())
    (tmp_path / "a.parquet").write_bytes(whole.replace(b"ii", b"ix", 1))
    source = find_source(tmp_path)
    reader = source.open()
    why = []
    for entry in source.entries():
        try:
            assert reader.read_image(entry.path) == b"i" * 999
        except Rejected as error:
            why.append(error.reason)
    assert why == ["unreadable file"] * 2  # of the row group; the other is read
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(Rejected, match="missing image.*a.parquet is gone"):
        source.open().read_image(b"a.parquet/000000000")


def test_without_the_package(tmp_path, monkeypatch):
    write_parquet(tmp_path / "a.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'horovod-ocr\[parquet\]'"):
        find_source(tmp_path)


@pytest.mark.slow
def test_listing_and_reading_take_the_memory_of_a_few_rows(tmp_path):
    picture = bytes(100_000)
    images = images_of([picture] * 400)
    write_parquet(
        tmp_path / "a.parquet",
        {"image": images, "text": ["a"] * 400},
        rows=400,
        compression="none",
        use_dictionary=False,
        write_batch_size=4,
    )
    del images
    before = pa.total_allocated_bytes()
    assert before < 10_000_000
    source = find_source(tmp_path)
    entries, most = [], 0
    for entry in source.entries():
        entries.append(entry)
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 4_000_000
    reader = source.open()
    for entry in entries:
        assert len(reader.read_image(entry.path)) == len(picture)
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 12_000_000, "of 40 MB"
    reader.close()


def test_other_files_beside_them(tmp_path):
    write_parquet(tmp_path / "x/a.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    (tmp_path / "sheet.png").touch()
    assert [entry[0::4] for entry in find_source(tmp_path, "parquet").entries()] == [
        (b"x/a.parquet/000000000", ""),
        (b"sheet.png", "outside"),
    ]
    (tmp_path / "sheet.png").unlink()
    (tmp_path / "y").mkdir()
    shutil.copy(tmp_path / "x/a.parquet", tmp_path / "y/data.mdb")
    with pytest.raises(SourceError, match="--layout (lmdb|parquet).*; say which is meant"):
        find_source(tmp_path)
    assert find_source(tmp_path, "parquet").layout == "parquet"


def test_a_shard_is_made_again_out_of_its_rows(tmp_path, build, make_image, read_set):
    for file in "ab":
        pictures = [make_image(10 * ord(file) + row) for row in range(9)]
        write_parquet(tmp_path / f"raw/{file}.parquet", {"image": images_of(pictures), "text": ["دن"] * 9}, rows=4)
    build(tmp_path / "raw", tmp_path / "out", samples_per_shard=3, split="file")
    before = read_set(tmp_path / "out")
    next((tmp_path / "out").glob("train-*.tar")).unlink()
    build(tmp_path / "raw", tmp_path / "out", samples_per_shard=3, split="file")
    assert read_set(tmp_path / "out") == before


def test_every_file_is_marked(tmp_path):
    write_parquet(tmp_path / "x/a.parquet", {"image": images_of([b"i"]), "text": ["a"]})
    source = find_source(tmp_path)
    list(source.entries())
    marks = source.listing()
    assert [mark[0] for mark in marks] == ["x/a.parquet"]
    assert find_source(tmp_path).is_as_listed(marks)
    shutil.copy(tmp_path / "x/a.parquet", tmp_path / "x/b.parquet")
    assert not find_source(tmp_path).is_as_listed(marks)


@pytest.mark.parametrize("name", ["split", "Partition"])
def test_a_column_of_splits(tmp_path, name):
    splits = pa.array(["Train", "validation", "", None, " test "])
    columns = {"image": images_of([b"i"] * 5), "text": ["w"] * 5, name: splits, "width": [1] * 5}
    write_parquet(tmp_path / "a.parquet", columns)
    write_parquet(tmp_path / "train-b.parquet", columns | {name: splits.dictionary_encode(), "width": [1] * 5})
    source = find_source(tmp_path)
    assert source.doubt == ""
    assert [entry.split for entry in source.entries()] == ["train", "val", "", "", "test"] * 2
    assert source.notes() == ["a.parquet: the columns width are not read"]
    reader = source.open()
    assert reader.read_image(b"a.parquet/000000001") == b"i"
    reader.close()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a": ["train", "mine"]}, "a.parquet, row 1: 'mine' is not a name of a split; .*rename the column 'split'"),
        (
            {"train": ["train", "test"], "test": ["test"]},
            "train.parquet, row 1: the column 'split' says test, the name",
        ),
        (
            {"a": ["train"], "b": None},
            "b.parquet has not the columns of a.parquet .image.bytes, image.path, text, split",
        ),
    ],
)
def test_a_column_of_splits_that_cannot_be_read(tmp_path, files, sentence):
    for name, splits in files.items():
        count = len(splits or "1")
        columns = {"image": images_of([b"i"] * count), "text": ["w"] * count}
        write_parquet(tmp_path / f"{name}.parquet", columns | ({"split": splits} if splits else {}))
    with pytest.raises(SourceError, match=sentence):
        list(find_source(tmp_path).entries())


def test_columns_that_are_not_read_are_named_once(tmp_path):
    for name, more in (("a", "lang"), ("b", "width")):
        columns = {"image": images_of([b"i"]), "text": ["w"], "fold": [3], more: [1]}
        write_parquet(tmp_path / f"{name}.parquet", columns)
    source = find_source(tmp_path)
    for _ in range(2):
        list(source.entries())
        assert source.notes() == ["a.parquet: the columns fold, lang, width are not read"]


def test_a_class_whose_name_is_empty(tmp_path):
    features = {"label": {"names": ["", "dog"], "_type": "ClassLabel"}}
    write_parquet(tmp_path / "a.parquet", {"image": images_of([b"i"] * 2), "label": [0, 1]}, features)
    assert [entry[1::3] for entry in find_source(tmp_path).entries()] == [
        (b"the name of its class, number 0, is empty", "no label"),
        (b"dog", ""),
    ]
