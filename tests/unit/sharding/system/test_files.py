"""Files are whole or absent, and what goes wrong with one is told by its own name."""

import errno

import pytest

from sharding.system.files import whole_file, write_whole


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        write_whole(tmp_path / "away" / "x.png", b"")
    assert missing.value.filename == str(tmp_path / "away" / "x.png")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as taken:
        write_whole(tmp_path / "folder", b"")
    assert taken.value.filename == str(tmp_path / "folder") and taken.value.filename2 is None
    with pytest.raises(OSError, match="x.png") as full, whole_file(tmp_path / "x.png"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.filename == str(tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("error", [OSError("the server is away"), ConnectionResetError(errno.ECONNRESET, "reset")])
def test_the_error_of_what_is_read_meanwhile_keeps_its_message(tmp_path, error):
    said = str(error)
    with pytest.raises(OSError) as raised, whole_file(tmp_path / "x"):
        raise error
    assert str(raised.value) == said and raised.value.filename is None


def test_the_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as error, whole_file(tmp_path / "x"):
        (tmp_path / "other").read_bytes()
    assert error.value.filename == str(tmp_path / "other")
