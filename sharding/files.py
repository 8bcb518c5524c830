"""Files that are there whole or not at all, whenever the process is killed or the power goes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, fsyncs_folder: bool = True) -> Iterator[BinaryIO]:
    """A binary file to write: under a temporary name in the same folder, then fsync, rename, fsync the folder.

    Where the block raises, nothing stays and what `path` held before is untouched. OSError as the system raises it.
    fsyncs_folder: False where the caller does so later, or where the file may be lost with the power.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if fsyncs_folder:
        fsync_folder(path.parent)


def write_whole(path: Path, content: bytes, fsyncs_folder: bool = True) -> None:
    with whole_file(path, fsyncs_folder) as file:
        file.write(content)


def fsync_folder(folder: Path) -> None:
    """Make the renames in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
