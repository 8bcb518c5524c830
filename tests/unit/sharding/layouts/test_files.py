"""One image file: its bytes, or why there are none."""

import errno
import os

import pytest

from sharding.layouts import files
from sharding.layouts.files import FileReader, TextBesideReader
from sharding.reasons import Rejected


@pytest.mark.parametrize("size", [1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 300_000])
def test_all_bytes_of_any_size(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "a.png").write_bytes(content)
    assert FileReader(tmp_path).read_image(b"a.png", 0, 0) == content
    (tmp_path / "elsewhere").mkdir()
    assert FileReader(tmp_path / "elsewhere").read_image(os.fsencode(tmp_path / "a.png"), 0, 0) == content


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"gone.png", "missing image"),
        (b"file.png/1.png", "missing image"),
        (b"folder", "unreadable file"),
        (b"n\0l.png", "unreadable file"),
        (b"x" * 300, "unreadable file"),
        (b"empty.png", "empty file"),
        (b"pipe.png", "empty file"),
    ],
)
def test_why_there_are_no_bytes(tmp_path, path, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").write_bytes(b".")
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(Rejected) as error:
        FileReader(tmp_path).read_image(path, 0, 0)
    assert error.value.reason == reason


def test_a_film_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", 100_000)
    (tmp_path / "film.png").write_bytes(bytes(200_000))
    with pytest.raises(Rejected, match="too many pixels"):
        FileReader(tmp_path).read_image(b"film.png", 0, 0)


def test_no_descriptor_is_left_open(tmp_path):
    (tmp_path / "a.png").write_bytes(b".")
    (tmp_path / "folder").mkdir()
    reader = FileReader(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"a.png", b"gone.png", b"folder") * 10:
        try:
            reader.read_image(path, 0, 0)
        except Rejected:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_a_file_server_that_is_away_is_no_fault_of_the_image(tmp_path, monkeypatch, number):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "a.txt").write_bytes(b"x")
    reader = TextBesideReader(tmp_path)

    def away(*args, **options):
        raise OSError(number, "away")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", away)
        for read in (lambda: reader.read_image(b"a.png"), lambda: reader.read_label(b"a.txt")):
            with pytest.raises(OSError, match="away"):
                read()
    assert reader.read_image(b"a.png") == b"x"
