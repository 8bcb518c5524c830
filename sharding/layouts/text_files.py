"""Label files as bytes of UTF-8 with one kind of line end, whatever program has written them.

UTF-8 is passed on as it is: a label that is no UTF-8 spoils itself alone. UTF-16, as spreadsheets write it, with a byte
order mark or without, is written anew while it is read; so are files whose lines end with a carriage return alone.
"""

import codecs
import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from sharding.errors import SourceError
from sharding.layouts.files import BOM, LFS_ADVICE, LFS_POINTER

_BUFFER_BYTES = 1 << 20
_LOOK_BYTES = 1 << 16


def open_label_file(path: Path) -> BinaryIO:
    """A label file, to be read forward as UTF-8, without a byte order mark. SourceError where it is unreadable."""
    try:
        file = path.open("rb", buffering=_BUFFER_BYTES)
        head = file.peek(_LOOK_BYTES)[:_LOOK_BYTES]
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable") from error
    if head.startswith(LFS_POINTER):
        file.close()
        raise SourceError(f"{path} is {LFS_ADVICE}")
    encoding = _utf16_of(head)
    if encoding:
        return _rewritten(file, _from_utf16(encoding, path))
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


def _utf16_of(head: bytes) -> str:
    """The codec of a file of UTF-16; "" if it is none. Without a mark the zeros tell: every ASCII letter, tab and line
    end has one, and no text has a NUL."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if even + odd < len(head) // 8 or not even + odd:
        return ""
    return "utf-16-le" if odd > even else "utf-16-be"


def _from_utf16(encoding: str, path: Path) -> Callable[[bytes, bool], bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    ends_with_cr = False

    def convert(piece: bytes, last: bool) -> bytes:
        nonlocal ends_with_cr
        try:
            text = decoder.decode(piece, last)
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} looks like UTF-16 and is none ({error.reason}); save it as UTF-8") from error
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

    def readinto(self, buffer: memoryview) -> int:
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
