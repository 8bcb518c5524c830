"""A build that is started again walks nothing to learn that nothing has changed; its own output does not mislead it."""

import os
from pathlib import Path

import pytest

from sharding.errors import ConfigError, SourceError
from sharding.layouts import folders
from sharding.layouts.image_folders import ImageFoldersSource
from sharding.reading.catalogue import open_catalogue

FOLDERS = 60


@pytest.fixture
def tree(write, make_image):
    """tree(layout): FOLDERS folders of an image each."""

    def write_tree(layout: str) -> Path:
        files = {f"{position:02d}/{position}.png": make_image(position) for position in range(FOLDERS)}
        if layout == "beside":
            files |= {name.replace(".png", ".txt"): "دن".encode() for name in files}
        return write(files)

    return write_tree


@pytest.fixture
def scanned(monkeypatch) -> list[bytes]:
    """The folders that are scanned from now on."""
    paths, scan = [], folders._list_below

    def scan_and_note(root: bytes, path: bytes, above: tuple):
        paths.append(path)
        return scan(root, path, above)

    monkeypatch.setattr(folders, "_list_below", scan_and_note)
    return paths


def unfinish(out: Path) -> None:
    (out / "index.json").unlink()
    (out / "build/index.json").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["beside", "classes"])
def test_nothing_is_walked_again(tmp_path, tree, build, scanned, monkeypatch, layout):
    src, out = tree(layout), tmp_path / "out"
    first = build(src, out)
    assert first.index.options["layout"] == layout
    assert len(set(scanned)) == FOLDERS + 1
    monkeypatch.setattr(ImageFoldersSource, "entries", None)
    for finished in (True, False):
        scanned.clear()
        if not finished:
            unfinish(out)
        assert build(src, out).already_complete == finished
        assert len(scanned) < FOLDERS / 2, "only some folders, to see that the layout is there"


@pytest.mark.slow
def test_what_has_changed_is_listed_again_where_the_set_is_not_complete(tmp_path, tree, build, make_image):
    src, out = tree("beside"), tmp_path / "out"
    build(src, out)
    (src / "07/more.png").write_bytes(make_image(1000))
    (src / "07/more.txt").write_text("دن", encoding="utf-8")
    with pytest.raises(SourceError, match="complete set of another or an older source"):
        build(src, out)
    unfinish(out)
    assert sum(build(src, out).index.counts.totals.values()) == FOLDERS + 1


def test_a_source_that_is_something_else_by_now_is_not_taken_for_what_it_was(tmp_path, tree, build):
    src, out = tree("beside"), tmp_path / "out"
    build(src, out)
    (src / "labels.tsv").write_text("00/0.png\tدن\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="begun with --layout beside, but is now continued with --layout labels;"):
        build(src, out)


@pytest.mark.slow
def test_another_source_or_one_more_is_not_the_one_that_was_listed(tmp_path, tree, build, make_words):
    src, out = tree("beside"), tmp_path / "out"
    build(src, out)
    with pytest.raises(ConfigError, match="layout"):
        build((src, make_words(5, "more")), out)
    os.rename(src, tmp_path / "moved")
    assert build(tmp_path / "moved", out).already_complete  # the same folders, to the last mtime


def test_a_layout_that_was_named_once_need_not_be_named_again(tmp_path, tree, build):
    src, out = tree("beside"), tmp_path / "out"
    build(src, out, layout="classes")
    assert build(src, out).already_complete


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["beside", "classes"])
def test_a_set_inside_its_source_is_not_its_source(tmp_path, tree, build, monkeypatch, make_image, layout):
    src = tree(layout)
    monkeypatch.chdir(src)
    first = build(Path("."), Path("sets/shards"), samples_per_shard=10)
    (src / "sets/shards/sheet.png").write_bytes(make_image(5000))
    assert (first.index.options["layout"], sum(first.index.counts.totals.values())) == (layout, FOLDERS)
    assert build(Path("."), Path("sets/shards"), samples_per_shard=10).already_complete
    unfinish(src / "sets/shards")
    assert build(Path("."), Path("sets/shards"), samples_per_shard=10).kept_shards == len(first.index.shards)
    build(src, tmp_path / "second")
    catalogue = open_catalogue(tmp_path / "second/build")
    assert catalogue.entries == FOLDERS
    assert not [entry.path for entry in catalogue.read(0, FOLDERS) if b"shards" in entry.path]


@pytest.mark.slow
def test_the_source_itself_is_no_place_for_its_shards(tmp_path, tree, build):
    src = tree("beside")
    (tmp_path / "link").symlink_to(src)
    for out in (src, tmp_path / "link"):
        with pytest.raises(ConfigError, match="is a source as well; name another folder with --out"):
            build(src, out)
    assert not (src / "build").exists()


def test_folders_whose_names_are_no_utf8(tmp_path, build, make_image):
    src = os.fsencode(tmp_path) + b"/\xe9"
    for folder in (b"\xff", b"b"):
        os.makedirs(src + b"/" + folder)
        Path(os.fsdecode(src + b"/" + folder + b"/1.png")).write_bytes(make_image(folder[0]))
        Path(os.fsdecode(src + b"/" + folder + b"/1.txt")).write_text("دن", encoding="utf-8")
    assert sum(build(Path(os.fsdecode(src)), tmp_path / "out").index.counts.totals.values()) == 2
    assert build(Path(os.fsdecode(src)), tmp_path / "out").already_complete
