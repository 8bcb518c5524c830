"""What predict takes: files, folders, globs, tars, shard sets, standard input; one bad image stops no other."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image as Pictures

from horovod_ocr.errors import ConfigError, SourceError
from horovod_ocr.recognizer import Recognizer
from horovod_ocr.recognizer.files import read_images
from horovod_ocr.recognizer.sources import names_in, open_sources
from tests.unit.recognizer.packages import random_word, write_package


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pictures.fromarray(random_word(seed)).save(path)
    return path


def names_of(*named):
    return [image.name for image in open_sources(map(str, named)).images]


def test_a_folder_is_walked_as_the_sharder_walks_it(tmp_path):
    """Hidden files, as macOS and editors leave them, are no images; linked folders are followed."""
    for name in ("a/b.png", "a/._b.png", "a/.ipynb_checkpoints/b.png", "a/notes.txt"):
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(b"x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.jpg").write_bytes(b"x")
    (tmp_path / "raw" / "link").symlink_to(tmp_path / "elsewhere")
    raw = tmp_path / "raw"
    assert names_of(raw) == [str(raw / "a" / "b.png"), str(raw / "link" / "c.jpg")]


def test_globs_and_files_that_are_called_like_one(tmp_path):
    for name in ("w1.png", "w2.png", "w[1].png", "deep/er/w3.png"):
        save(tmp_path / name)
    assert names_of(tmp_path / "w?.png") == [str(tmp_path / name) for name in ("w1.png", "w2.png")]
    assert names_of(tmp_path / "w[1].png") == [str(tmp_path / "w[1].png")]
    assert str(tmp_path / "deep/er/w3.png") in names_of(tmp_path / "**" / "*.png")


def test_a_tar_gives_its_images(tmp_path):
    with tarfile.open(tmp_path / "words.tar", "w") as tar:
        for name in ("b.png", "b.txt", "a.png"):
            tar.add(save(tmp_path / "b.png"), name)
    source = open_sources([str(tmp_path / "words.tar")])
    images = list(source.images)
    assert [image.name for image in images] == [f"{tmp_path}/words.tar/b.png", f"{tmp_path}/words.tar/a.png"]
    assert source.total is None and images[0].content == (tmp_path / "b.png").read_bytes()


def test_standard_input_is_one_image(tmp_path, monkeypatch):
    content = save(tmp_path / "word.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    (image,) = open_sources(["-"]).images
    assert image == ("standard input", content)
    with pytest.raises(ConfigError, match=r"standard input \(-\) can be read once only"):
        open_sources(["-", "-"])


def test_names_come_from_a_file_line_by_line(tmp_path):
    (tmp_path / "names").write_bytes("ایک.png\n\nb c.png\r\n".encode())
    assert list(names_in(str(tmp_path / "names"))) == ["ایک.png", "b c.png"]
    with pytest.raises(SourceError, match="gone: No such file"):
        list(names_in(str(tmp_path / "gone")))


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="no image .* in "):
        open_sources([str(tmp_path)])
    with pytest.raises(SourceError, match=r"there is no image gone.png"):
        open_sources(["gone.png"])


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_images_are_named_in_their_place_and_stop_no_other(tmp_path, jobs):
    export = write_package(tmp_path / "export")
    good = [save(tmp_path / f"{n}.png", n) for n in range(70)]
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(good[0].read_bytes()[:60])
    with tarfile.open(tmp_path / "words.tar", "w") as tar:
        tar.add(good[1], "one.png")
        tar.add(good[2], "two.png")
    whole = (tmp_path / "words.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 3])
    named = [tmp_path / "gone.png", good[0], tmp_path / "empty.png", tmp_path / "cut.tar", tmp_path / "cut.png", *good]
    recognizer = Recognizer.load(export)
    source = open_sources(map(str, named))
    read = list(read_images(recognizer, source.images, False, jobs, (export, "auto")))
    failed = [
        (str(each.name).rsplit("/", 1)[1], str(each.reading)) for each in read if isinstance(each.reading, SourceError)
    ]
    assert [name for name, _ in failed][:2] == ["gone.png", "empty.png"] and failed[-1][0] == "cut.png"
    assert any("cut.tar: not a whole tar" in said for _, said in failed)
    alone = [recognizer.read(np.asarray(Pictures.open(path)))[0] for path in good]
    assert [each.reading.text for each in read[-70:]] == [reading.text for reading in alone]
    assert read[1].reading.text == alone[0].text


@pytest.mark.parametrize("damage", ["between members", "within a header", "one byte of a header", "a header of zeros"])
def test_a_damaged_tar_is_never_taken_for_a_whole_one(tmp_path, damage):
    """Python's own tarfile ends in silence there."""
    with tarfile.open(tmp_path / "whole.tar", "w") as tar:
        for number in range(4):
            tar.add(save(tmp_path / f"{number}.png", number), f"{number}.png")
    with tarfile.open(tmp_path / "whole.tar") as tar:
        at = tar.getmembers()[2].offset
    content = bytearray((tmp_path / "whole.tar").read_bytes())
    if damage == "between members":
        del content[at:]
    elif damage == "within a header":
        del content[at + 100 :]
    elif damage == "one byte of a header":
        content[at + 5] ^= 1
    else:
        content[at : at + 512] = bytes(512)
    (tmp_path / "damaged.tar").write_bytes(content)
    images = list(open_sources([str(tmp_path / "damaged.tar")]).images)
    assert [image.name for image in images[:2]] == [f"{tmp_path}/damaged.tar/{number}.png" for number in range(2)]
    assert isinstance(images[-1].content, SourceError) and "not a whole tar, from byte" in str(images[-1].content)


def test_names_that_cannot_be_are_images_that_cannot_be_read(tmp_path):
    word = save(tmp_path / "word.png")
    (tmp_path / "empty").mkdir()
    with tarfile.open(tmp_path / "notes.tar", "w") as tar:
        tar.add(save(tmp_path / "a.png"), "a.txt")
    (tmp_path / "words.tgz").write_bytes(b"x")
    named = ["x" * 5000, "", *(str(tmp_path / name) for name in ("empty", "notes.tar", "words.tgz"))]
    images = list(open_sources([*named, str(word)]).images)
    said = [str(image.content) for image in images[:-1]]
    assert len(images) == 6 and images[-1].content == word
    assert said[0].endswith("x...") and len(said[0]) < 300
    assert "no image (png" in said[2] and "no image (png" in said[3] and "a compressed tar; unpack it first" in said[4]


def test_a_closed_standard_input_is_a_sentence(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        list(open_sources(["-"]).images)
    with pytest.raises(SourceError, match="standard input is closed"):
        list(names_in("-"))
