"""Files that are whole or absent, whenever the process is killed or the power fails."""

import codecs
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sharding.errors import ConfigError


@contextmanager
def whole_file(path: Path, fsyncs_folder: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write: under a temporary name in the same folder, then fsync, rename, fsync the folder.

    If the block raises, nothing is left and what `path` held before is untouched. OSError as the system raises it.
    fsyncs_folder: False if the caller does so later, or if the file may be lost with the power.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # its folder may be a file
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and (error.filename == str(temporary) or is_full(error)):
            error.filename, error.filename2 = str(path), None  # the name that people know
        raise
    if fsyncs_folder:
        fsync_folder(path.parent)


def is_full(error: OSError) -> bool:
    """Whether a write found no room; the system then names no file."""
    return error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, content: bytes, fsyncs_folder: bool = True) -> None:
    """Write a file as `whole_file` does."""
    with whole_file(path, fsyncs_folder) as file:
        file.write(content)


def fsync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_settings_text(path: Path) -> str:
    """The text of a small file that a person wrote: UTF-8, with or without a byte order mark.

    OSError as the system raises it; ConfigError for another encoding, with the line at which it is noticed.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content:
        raise ConfigError(f"{path}: this is UTF-16, or no text at all; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: this is not UTF-8; save the file as UTF-8") from error
