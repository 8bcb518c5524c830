"""Where the paths of a label file lead: read as they were meant, or refused with what to say."""

import unicodedata

import pytest

from sharding.errors import ConfigError, SourceError
from sharding.layouts.find import find_source
from sharding.layouts.paths import canonical_path, normal_path

NAMES = [f"é{number}.png" for number in range(6)]


@pytest.fixture
def found(write):
    """found(form, below="images/", **options): what the paths of a source become, whose pictures are in `below`, and
    the source. form: of a path in the label file, {n} the name."""

    def read_paths(form: str, below: str = "images/", more: dict | None = None, **options):
        lines = "".join(f"{form.format(n=name)}\tx\n" for name in NAMES)
        src = write({"labels.tsv": lines} | {below + name: b"." for name in NAMES} | (more or {}))
        source = find_source(src, **options)
        return [entry.path.decode() for entry in source.entries()], source

    return read_paths


@pytest.mark.parametrize(
    ("form", "note"),
    [
        ("images/{n}", ""),
        ("./images//{n}", ""),
        ("images\\{n}", ""),
        (".\\images\\{n}", ""),
        ("raw/images/{n}", "the paths are read without raw/ in front"),
        ("/home/somebody/raw/images/{n}", "the paths are read without /home/somebody/raw/ in front"),
        ("C:\\data\\raw\\images\\{n}", "the paths are read without C:/data/raw/ in front"),
        ("{n}", "the pictures are in images/"),
        ("../raw/images/{n}", ""),
    ],
)
def test_paths_of_another_machine(found, form, note):
    paths, source = found(form)
    assert paths == [f"images/{name}" for name in NAMES]
    assert source.notes() == ([f"labels.tsv: {note}"] if note else [])


def test_whole_paths_of_this_machine_are_those_of_the_source(found, tmp_path):
    assert found(f"{tmp_path}/raw/images/{{n}}")[0] == [f"images/{name}" for name in NAMES]


def test_a_name_may_hold_a_backslash(found):
    paths, _ = found("a\\{n}", below="a\\")
    assert paths == [f"a\\{name}" for name in NAMES]


def test_names_without_their_suffix(write):
    lines = "".join(f"images/{number}\tx\n" for number in range(6))
    source = find_source(write({"labels.tsv": lines} | {f"images/{number}.JPG": b"." for number in range(6)}))
    assert [entry.path for entry in source.entries()] == [b"images/%d.JPG" % number for number in range(6)]
    assert source.notes() == ["labels.tsv: pictures are named without their suffix .JPG"]


def test_pictures_in_two_places_are_not_guessed_at(found):
    with pytest.raises(SourceError, match="may be meant in two ways: .* a/ and .* images/;.*--images FOLDER"):
        found("{n}", more={f"a/{name}": b"." for name in NAMES})


def test_folders_of_somebody_else_are_not_dropped_unasked(found, tmp_path):
    with pytest.raises(SourceError, match="without set1/ in front they would be found.*--images "):
        found("set1/images/{n}")
    paths, source = found("set1/images/{n}", images=tmp_path / "raw")
    assert paths == [f"images/{name}" for name in NAMES]
    assert source.notes() == ["labels.tsv: the paths are read without set1/ in front"]


def test_the_folder_that_a_person_names(write, tmp_path):
    (tmp_path / "data/rec").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "data/rec" / name).write_bytes(b".")
    src = write({"train_list.txt": "".join(f"rec/{name}\tx\n" for name in NAMES)})
    (src / "inside/rec").mkdir(parents=True)
    (src / "inside/rec" / NAMES[0]).write_bytes(b".")
    entries = find_source(src, images=tmp_path / "data").entries()
    assert [entry.path.decode() for entry in entries] == [f"{tmp_path}/data/rec/{name}" for name in NAMES]
    inside = find_source(src, images=src / "inside").entries()
    assert [entry.path.decode() for entry in inside] == [f"inside/rec/{name}" for name in NAMES]
    with pytest.raises(ConfigError, match="--images .* is not a folder"):
        find_source(src, images=tmp_path / "none")
    with pytest.raises(ConfigError, match="--images is for label files"):
        find_source(src, "beside", images=tmp_path / "data")


def test_the_paths_of_a_label_file_below_are_those_of_its_folder_or_of_the_top(write):
    files = {f"b/{name}": b"." for name in NAMES} | {f"a/{name}": b"." for name in NAMES}
    files["a/labels.tsv"] = "".join(f"{name}\tx\n" for name in NAMES)
    files["b/labels.tsv"] = "".join(f"b/{name}\ty\n" for name in NAMES)
    entries = sorted(find_source(write(files)).entries())
    assert [entry.path.decode() for entry in entries] == [f"{folder}/{name}" for folder in "ab" for name in NAMES]


def test_names_in_the_other_form_of_unicode_are_read(write, make_image):
    disk = [unicodedata.normalize("NFD", name) for name in NAMES]
    lines = "".join(f"{name}\tx\n" for name in NAMES)
    source = find_source(write({"labels.tsv": lines} | {name: make_image(n) for n, name in enumerate(disk)}))
    reader = source.open()
    assert [reader.read_image(entry.path, 0, 0) for entry in source.entries()] == [make_image(n) for n in range(6)]
    reader.close()


def test_most_pictures_that_are_there_leave_the_others_missing(write):
    lines = "".join(f"{name}\tx\n" for name in NAMES)
    source = find_source(write({"labels.tsv": lines} | {name: b"." for name in NAMES[:3]}))
    assert [entry.path.decode() for entry in source.entries()] == NAMES


def test_spellings_to_compare_by():
    assert canonical_path("a\\b/./é.png".encode()) == canonical_path("a/b/e\u0301.png".encode()) == "a/b/é.png".encode()
    assert canonical_path(b"a/\xff.png") == b"a/\xff.png"
    assert normal_path(b"./a//b/../c.png") == b"a/c.png"
