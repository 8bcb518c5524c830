"""Label files as bytes of UTF-8 with one kind of line end, whatever program has written them.

UTF-8 is passed on as it is: a label that is not UTF-8 spoils only itself. UTF-16 and UTF-32, as spreadsheets write
them, with a byte order mark or without, are converted while they are read; so are files whose lines end with a carriage
return alone.
"""

import codecs
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from sharding.errors import SourceError
from sharding.layouts.files import BOM, LFS_ADVICE, LFS_POINTER, WIDE_MARKS

_BUFFER_BYTES = 1 << 20
_LOOK_BYTES = 1 << 16


def open_label_file(path: Path) -> BinaryIO:
    """A label file, to be read forward as UTF-8, without a byte order mark. SourceError if it is unreadable."""
    try:
        file = io.BufferedReader(path.open("rb", buffering=0), _BUFFER_BYTES)
        head = file.peek(_LOOK_BYTES)[:_LOOK_BYTES]
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable") from error
    if head.startswith(LFS_POINTER):
        file.close()
        raise SourceError(f"{path} is {LFS_ADVICE}")
    if encoding := _wide_encoding_of(head):
        return _rewritten(file, _decoded(encoding, path))
    if b"\0" in head:
        file.close()
        raise SourceError(f"{path} holds NUL bytes: it was cut, or is not a text; copy it again, or save it as UTF-8")
    if head.startswith(BOM):
        file.read(len(BOM))
        head = head[len(BOM) :]
    if b"\r" in head and b"\n" not in head and (b"\r" in head.rstrip(b"\r") or len(head) < _LOOK_BYTES):
        return _rewritten(file, lambda piece, last: piece.replace(b"\r", b"\n"))
    return file


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _wide_encoding_of(head: bytes) -> str:
    """The codec of a file of UTF-16 or UTF-32; "" if it is none. Without a mark the zeros show it: every ASCII letter,
    tab and line end of UTF-16 has one, on the same side, and no text has a NUL."""
    for mark, encoding in WIDE_MARKS:
        if head.startswith(mark):
            return encoding
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if odd > 4 * even and odd > 1:
        return "utf-16-le"
    return "utf-16-be" if even > 4 * odd and even > 1 else ""


def _decoded(encoding: str, path: Path) -> Callable[[bytes, bool], bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    ends_with_cr = False

    def convert(piece: bytes, last: bool) -> bytes:
        nonlocal ends_with_cr
        try:
            text = decoder.decode(piece, last)
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{path} looks like {encoding.upper()} and is not ({error.reason}); save it as UTF-8"
            ) from error
        content = text.encode("utf-8", "surrogatepass")
        # "\r\n" may be cut between two pieces
        if ends_with_cr:
            content = b"\r" + content
        ends_with_cr = content.endswith(b"\r") and not last
        if ends_with_cr:
            content = content[:-1]
        return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    return convert


def _rewritten(file: BinaryIO, convert: Callable[[bytes, bool], bytes]) -> BinaryIO:
    return io.BufferedReader(_Rewritten(file, convert), _BUFFER_BYTES)


class _Rewritten(io.RawIOBase):
    """A file whose bytes go through `convert(piece, is it the last)`."""

    def __init__(self, file: BinaryIO, convert: Callable[[bytes, bool], bytes]) -> None:
        self._file, self._convert = file, convert
        self._held = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held and not self._ended:
            piece = self._file.read(_BUFFER_BYTES)
            self._ended = not piece
            self._held = self._convert(piece, self._ended)
        size = min(len(buffer), len(self._held))
        buffer[:size], self._held = self._held[:size], self._held[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
