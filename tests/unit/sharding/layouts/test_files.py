"""One image file: its bytes, or why there are none."""

import errno
import os

import pytest

from sharding.errors import SourceError
from sharding.layouts import files
from sharding.layouts.files import LFS_POINTER, FileReader, TextBesideReader, check_not_lfs
from sharding.reasons import Rejected

POINTER = LFS_POINTER + b"v1\noid sha256:0\nsize 9\n"


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
        (b"pointer.png", "Git LFS pointer"),
        (b"loop.png", "unreadable file"),
        (b"nowhere.png", "missing image"),
    ],
)
def test_why_there_are_no_bytes(tmp_path, path, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").write_bytes(b".")
    (tmp_path / "empty.png").touch()
    (tmp_path / "pointer.png").write_bytes(POINTER)
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nowhere.png").symlink_to("gone")
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


@pytest.mark.parametrize(
    "content",
    ["دن", "دن\n", "دن\r\n", "\ufeffدن\n\n", "دن\n\f", "\nدن"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_the_text_of_a_file_is_its_line(tmp_path, content, encoding):
    (tmp_path / "a.txt").write_bytes(content.removeprefix("\ufeff" * (encoding != "utf-8")).encode(encoding))
    assert TextBesideReader(tmp_path).read_label(b"a.txt") == "دن".encode()


@pytest.mark.parametrize(
    ("content", "label"),
    [(b"\xff\xe9", None), (b" \xe9 x\n", b" \xe9 x"), (b"", b""), (b"\n", b""), (b"a\0b", b"a\0b")],
)
def test_other_bytes_stay_as_they_are(tmp_path, content, label):
    (tmp_path / "a.txt").write_bytes(content)
    assert TextBesideReader(tmp_path).read_label(b"a.txt") == (content if label is None else label)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"one\ntwo\n", "several lines.*a.txt has 2"),
        (b"one\rtwo\rthree", "several lines.*a.txt has 3"),
        (POINTER, "Git LFS pointer.*a.txt"),
        (b"\xff\xfea", "label is not UTF-8.*a.txt is UTF-16 and damaged"),
        (b"x" * (1 << 20) + b"xx", "too many letters.*a.txt has more than 1,048,576 bytes"),
        (b"x" * (3 << 20), "too many letters"),
    ],
)
def test_what_is_no_line_of_text(tmp_path, content, why):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(Rejected, match=why):
        TextBesideReader(tmp_path).read_label(b"a.txt")


def test_a_pointer_in_the_place_of_a_file(tmp_path):
    for content in (b"", POINTER[:20], b"x" * 100):
        (tmp_path / "a").write_bytes(content)
        check_not_lfs(tmp_path / "a")
    check_not_lfs(tmp_path / "gone")
    (tmp_path / "a").write_bytes(POINTER)
    with pytest.raises(SourceError, match="a is a pointer of Git LFS, and not the file itself; run: git lfs pull"):
        check_not_lfs(tmp_path / "a")
