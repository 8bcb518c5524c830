"""Reads images that are files of their own: the hot path of most sources."""

import errno
import os
from pathlib import Path

from sharding.layouts.entry import Reader
from sharding.reasons import Rejected

MAX_IMAGE_BYTES = 1 << 28  # no picture of text is larger; a film by the name of .png would fill the memory
BOM = b"\xef\xbb\xbf"
_PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
_PIECE_BYTES = 1 << 16  # a word image is read whole at once
# O_NONBLOCK: not to hang where a name stands for a pipe
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_NOT_ITS_FAULT = frozenset(
    (
        errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
        errno.ENETUNREACH, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
    )
)  # fmt: skip


class FileReader(Reader):
    """Paths are relative to the root of the source; absolute ones, as a label file may name them, stay as they are.

    The root is held open: names below it are found faster, and a file system that is taken away meanwhile does not make
    every image a missing one.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root)

    def read_image(self, path: bytes, at: int = 0, size: int = 0) -> bytes:
        """The bytes of one image file, at least one; else Rejected. OSError where the file server is away, or this
        machine has no room: that is no fault of the image."""
        try:
            content = self._read(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Rejected("missing image") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            if getattr(error, "errno", None) in _NOT_ITS_FAULT:
                raise
            raise Rejected("unreadable file", getattr(error, "strerror", None) or str(error)) from error
        if not content:
            raise Rejected("empty file")
        return content

    def _read(self, path: bytes) -> bytes:
        file = os.open(path, _FLAGS, dir_fd=self._root)
        try:
            content = os.read(file, _PIECE_BYTES)
            if content.endswith(_PNG_END):
                return content
            more = os.read(file, _PIECE_BYTES)  # the empty read says that this was all; a short one does not on NFS
            return content + _read_rest(file, more) if more else content
        finally:
            os.close(file)


class TextBesideReader(FileReader):
    """The labels are files too: `read_label` takes the path of a text."""

    def read_label(self, label: bytes) -> bytes | None:
        """The text of one file, None where it is gone. Rejected where it cannot be read."""
        try:
            return self._read(label).removeprefix(BOM)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in _NOT_ITS_FAULT:
                raise
            raise Rejected("unreadable file", f"{os.fsdecode(label)}: {error.strerror}") from error


def _read_rest(file: int, content: bytes) -> bytes:
    pieces = []
    size = _PIECE_BYTES
    while content:
        pieces.append(content)
        size += len(content)
        if size > MAX_IMAGE_BYTES:
            raise Rejected("too many pixels", f"the file has more than {MAX_IMAGE_BYTES:,} bytes")
        content = os.read(file, _PIECE_BYTES)
    return b"".join(pieces)
