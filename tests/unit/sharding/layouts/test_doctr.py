"""docTR's labels.json is read piece by piece, and gives what a whole parse of it gives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.errors import SourceError
from sharding.layouts import doctr
from sharding.layouts.entry import Entry
from sharding.layouts.find import find_source


def test_labels_json_beside_images(write):
    labels = {"1.png": "ایک", "b/2.png": 'quote " slash \\ tab \t', "3.png": ""}
    for content in (json.dumps(labels), "\ufeff" + json.dumps(labels, ensure_ascii=False, indent=2) + "\n"):
        source = find_source(write({"labels.json": content, "images/1.png": "."}))
        assert (source.layout, source.kind) == ("doctr", "words")
        assert list(source.entries()) == [Entry(b"images/" + n.encode(), t.encode()) for n, t in labels.items()]


def test_train_and_val(write):
    files = {}
    for split in ("train", "val"):
        files |= {f"{split}/labels.json": json.dumps({"1.png": split}), f"{split}/images/1.png": "."}
    assert list(find_source(write(files)).entries()) == [
        Entry(b"train/images/1.png", b"train", split="train"),
        Entry(b"val/images/1.png", b"val", split="val"),
    ]


@pytest.mark.slow
@given(labels=st.dictionaries(st.text(), st.text()), ascii_only=st.booleans(), chunk=st.integers(70, 200))
def test_any_object_in_pieces_of_any_size(tmp_path_factory, labels, ascii_only, chunk):
    path = tmp_path_factory.getbasetemp() / "labels.json"
    path.write_text(json.dumps(labels, ensure_ascii=ascii_only), "utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(doctr, "_CHUNK_BYTES", chunk)
        short = {name: text for name, text in labels.items() if len(json.dumps([name, text])) < chunk}
        if short != labels:
            return
        pairs = list(doctr._string_pairs(file, path))
    assert pairs == [(name.encode(), text.encode()) for name, text in labels.items()]


@pytest.mark.parametrize(
    "content",
    [
        '["1.png"]',
        '{"1.png": {"polygons": []}}',
        '{"1.png": "a", "2.png": "b',
        '{"1.png": "a",',
        '{"1.png": "a"}\n{"2.png": "b"}',
        '{"1.png": "a"} , "2.png": "b"}',
        '{"1.png": null}',
        '{"1.png": "a",}',
        '{"1.png": "\\x"}',
        "",
        '{"1.png": "' + "a" * (5 << 20),
    ],
)
def test_what_is_no_object_of_texts(write, content):
    source = find_source(write({"labels.json": content, "images/1.png": "."}))
    with pytest.raises(SourceError, match="is not a JSON object .*from byte"):
        list(source.entries())


def test_an_empty_object_names_no_image(write):
    with pytest.raises(SourceError, match="name no image"):
        list(find_source(write({"labels.json": " { } ", "images/1.png": "."})).entries())


def test_the_place_of_the_damage(write):
    content = json.dumps({"a.png": "x" * 100, "b.png": "y"})
    source = find_source(write({"labels.json": content[:-3], "images/1.png": "."}))
    with pytest.raises(SourceError, match=f"from byte {content.index(chr(34) + 'b.png') - 1} on"):
        list(source.entries())
