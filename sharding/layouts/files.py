"""Read images that are files of their own: the hot path of most sources. And texts that are files of their own."""

import codecs
import errno
import os
from contextlib import suppress
from pathlib import Path

from sharding.errors import SourceError
from sharding.images.png import PNG_END
from sharding.layouts.entry import Reader
from sharding.layouts.naming import other_spellings
from sharding.reasons import Rejected

MAX_IMAGE_BYTES = 1 << 28  # no picture of text is larger; a film named .png would fill the memory
LOOK_FILES = 20_000  # if none of this many files is what a finder looks for, none will be
MAX_TEXT_BYTES = 1 << 20  # no text of one line is larger
BOM = codecs.BOM_UTF8
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_ADVICE = "a pointer of Git LFS, and not the file itself; run: git lfs pull"
WIDE_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LINE_ENDS = b"\r\n\f"  # Tesseract ends its texts with a form feed
_PIECE_BYTES = 1 << 16  # a word image is read whole at once
# O_NONBLOCK: not to hang if a name is that of a pipe
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
# The file server is away, or this machine has no room: not the fault of the file.
AWAY = frozenset(
    (
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    )
)


class FileReader(Reader):
    """Paths are relative to the root of the source; absolute ones, as a label file may name them, stay as they are.

    The root is held open: names below it are found faster, and if the file system disappears meanwhile, not every image
    becomes a missing one.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root)

    def read_image(self, path: bytes, at: int = 0, size: int = 0) -> bytes:
        """The bytes of one image file, at least one; else Rejected. OSError if the file server is away, or if this
        machine has no room: that is not the image's fault."""
        try:
            content = self._read(path, MAX_IMAGE_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            content = self._read_otherwise(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            if getattr(error, "errno", None) in AWAY:
                raise
            raise Rejected("unreadable file", getattr(error, "strerror", None) or str(error)) from error
        return checked_content(content)

    def _read_otherwise(self, path: bytes) -> bytes:
        """The image by the other spellings of a path that is missing; else Rejected."""
        for other in other_spellings(path):
            with suppress(FileNotFoundError, NotADirectoryError):
                return self._read(other, MAX_IMAGE_BYTES)
        raise Rejected("missing image")

    def _read(self, path: bytes, most_bytes: int) -> bytes:
        """A file of more than `most_bytes` is not read to its end: the result is longer too."""
        file = os.open(path, _FLAGS, dir_fd=self._root)
        try:
            content = os.read(file, _PIECE_BYTES)
            if content.endswith(PNG_END):
                return content
            more = os.read(file, _PIECE_BYTES)  # an empty read shows that this was all; on NFS a short one does not
            return content + _read_rest(file, more, most_bytes) if more else content
        finally:
            os.close(file)


class TextBesideReader(FileReader):
    """The labels are files too: `read_label` takes the path of a text."""

    def read_label(self, label: bytes) -> bytes | None:
        """The text of one file, None if it is gone. Rejected if it cannot be read, or is not a line of text."""
        try:
            content = self._read(label, MAX_TEXT_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in AWAY:
                raise
            raise Rejected("unreadable file", f"{os.fsdecode(label)}: {error.strerror}") from error
        return line_of(content, label)


def _read_rest(file: int, content: bytes, most_bytes: int) -> bytes:
    pieces = []
    size = _PIECE_BYTES
    while content:
        pieces.append(content)
        size += len(content)
        if size > most_bytes:
            break
        content = os.read(file, _PIECE_BYTES)
    return b"".join(pieces)


def checked_content(content: bytes) -> bytes:
    """The bytes of an image; Rejected if they cannot be one."""
    if not content:
        raise Rejected("empty file")
    if len(content) > MAX_IMAGE_BYTES:
        raise Rejected("too many pixels", f"the file has more than {MAX_IMAGE_BYTES:,} bytes")
    if content.startswith(LFS_POINTER):
        raise Rejected("Git LFS pointer")
    return content


def line_of(content: bytes, path: bytes) -> bytes:
    """The text that a file of its own holds, as UTF-8 (bytes that are not UTF-8 stay) and without the end of its line.

    path: for the detail of a reject. Rejected if it holds more than a line, or something else.
    """
    if len(content) > MAX_TEXT_BYTES:
        raise Rejected("too many letters", f"{os.fsdecode(path)} has more than {MAX_TEXT_BYTES:,} bytes")
    if content.startswith(LFS_POINTER):
        raise Rejected("Git LFS pointer", os.fsdecode(path))
    for mark, encoding in WIDE_MARKS:
        if content.startswith(mark):
            try:
                content = content.decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise Rejected(
                    "label is not UTF-8", f"{os.fsdecode(path)} is {encoding.upper()} and damaged"
                ) from error
            break
    text = content.removeprefix(BOM).strip(LINE_ENDS)
    if b"\n" in text or b"\r" in text:
        lines = len(text.splitlines())
        raise Rejected("several lines", f"{os.fsdecode(path)} has {lines:,}")
    return text


def check_not_lfs(path: Path) -> None:
    """SourceError if a pointer of Git LFS is in the place of this file. Whatever else is wrong with it, its reader
    finds."""
    try:
        with path.open("rb") as file:
            head = file.read(len(LFS_POINTER))
    except OSError:
        return
    if head == LFS_POINTER:
        raise SourceError(f"{path} is {LFS_ADVICE}")
