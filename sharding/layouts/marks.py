"""Marks of a listing: with them alone a later run sees that it would list the same, without a scan.

A mark is [path, size, mtime_ns], plain values for JSON: of a file that was read, or of a folder that was scanned (its
size is 0). Adding to a folder, removing and renaming change the folder's mtime.
"""

import os
import stat
from abc import abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sharding.errors import SourceError
from sharding.layouts.entry import Mark, Source

_THREADS = 8  # on NFS each takes a wait
_TOGETHER = 500  # marks that a thread checks at once


def mark_files(root: Path, names: Iterable[str]) -> list[Mark]:
    """The marks of files. names: relative to root. SourceError if one is gone."""
    marks = []
    for name in names:
        try:
            marks.append([name, *_size_and_mtime(os.stat(root / name))])
        except OSError as error:
            raise SourceError(f"{root / name} cannot be read ({error.strerror}); put it back") from error
    return marks


def are_unchanged(root: Path, marks: list[Mark]) -> bool:
    """Is everything as its mark says? False if there are no marks."""
    blocks = [marks[start : start + _TOGETHER] for start in range(0, len(marks), _TOGETHER)]
    if len(blocks) < 2:
        return bool(marks) and _is_same_block(os.fspath(root), marks)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        return all(pool.map(partial(_is_same_block, os.fspath(root)), blocks))
    finally:
        pool.shutdown(cancel_futures=True)


class ListedFiles(Source):
    """A source whose entries come from files that are known by name before they are read."""

    _listed: list[Mark]
    """The marks of the last listing."""

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to workers with every task: without the marks, which may take megabytes."""
        return {**vars(self), "_listed": []}

    @abstractmethod
    def file_names(self) -> list[str]:
        """The files that are listed, relative to root."""

    def listing(self) -> list[Mark]:
        return self._listed[:] or mark_files(self.root, self.file_names())

    def is_as_listed(self, marks: list[Mark]) -> bool:
        return [mark[0] for mark in marks] == self.file_names() and are_unchanged(self.root, marks)


def _is_same_block(root: str, marks: list[Mark]) -> bool:
    try:
        return all(_size_and_mtime(os.stat(os.path.join(root, path))) == (size, mtime) for path, size, mtime in marks)
    except OSError:
        return False


def _size_and_mtime(status: os.stat_result) -> tuple[int, int]:
    return 0 if stat.S_ISDIR(status.st_mode) else status.st_size, status.st_mtime_ns
