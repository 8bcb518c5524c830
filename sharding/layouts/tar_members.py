"""The members of a tar, found by their headers alone: ustar, pax and GNU's long names. Tars that were concatenated into
one file are read to the last one.

This takes a sixth of tarfile's time (3 us against 19 us a member), since no object with thirty fields is made for each
member.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sharding.format.tar import BLOCK
from sharding.layouts.entry import Reader
from sharding.layouts.files import MAX_IMAGE_BYTES, checked_content
from sharding.reasons import Rejected

_OPEN_FILES = 64
_BUFFER_BYTES = 1 << 18
_MAX_NAME_BYTES = 1 << 20
_REGULAR = b"0\x007"
_WITHOUT_DATA = b"123456"  # links, devices, folders
_FOLDER = 0x35  # "5"
_LINKS = {0x31: b"hard link to ", 0x32: b"symbolic link to "}
_CHECKSUM = slice(148, 156)
_IS_CUT = "the file is cut there"
_NO_HEADER = "there is no header of a file"


class Member(NamedTuple):
    """A file in a tar."""

    name: bytes
    """Its path in the tar, as it is written there."""
    at: int
    """Of its content."""
    size: int
    """Of its content."""
    link: bytes = b""
    """What it is if it has no content: a link or a device; mostly b""."""


class DamagedTarError(Exception):
    """at: the header from which on nothing can be trusted. why: what is wrong there."""

    def __init__(self, at: int, why: str = _NO_HEADER) -> None:
        super().__init__(at, why)
        self.at, self.why = at, why


class BufferedFile:
    """Reads a file mostly forward. Small members are read many at a time, large ones are skipped."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._start = 0
        self._content = b""
        self.file_bytes = os.fstat(file).st_size

    def read(self, at: int, size: int) -> bytes:
        """Shorter than size only if the file ends."""
        begin = at - self._start
        if begin < 0 or begin + size > len(self._content):
            self._content = pread_all(self._file, max(size, _BUFFER_BYTES), at)
            self._start, begin = at, 0
        return self._content[begin : begin + size]


def pread_all(file: int, size: int, at: int) -> bytes:
    """Shorter than size only if the file ends."""
    content = os.pread(file, size, at)
    while len(content) < size and (more := os.pread(file, size - len(content), at + len(content))):
        content += more
    return content


def read_members(file: BufferedFile) -> Iterator[Member]:
    """The files of a tar, in its order, links among them but no folders. DamagedTarError if a header is wrong or the
    tar ends too early."""
    at = 0
    long_name = b""
    long_size = -1
    while True:
        header = file.read(at, BLOCK)
        if len(header) < BLOCK:
            raise DamagedTarError(at, _IS_CUT if at else "the file is empty" if not header else _NO_HEADER)
        if header[0] == 0 and not any(header):
            if (at := _behind_zeros(file, at)) >= file.file_bytes:
                return
            continue
        kind = header[156]
        size = _number(header[124:136], at)
        if _checksum(header) != _number(header[_CHECKSUM], at):
            raise DamagedTarError(at)
        content_at = at + BLOCK
        if kind in b"xL":
            content = _extension(file, content_at, size, at)
            if kind == 0x4C:  # L
                long_name = content.rstrip(b"\0")
            else:
                long_name, long_size = _pax_fields(content, long_name, long_size)
            at = content_at + size + -size % BLOCK
            continue
        if kind in _WITHOUT_DATA:
            size = 0
        elif long_size >= 0:
            size = long_size
        end = content_at + size
        if end > file.file_bytes:
            raise DamagedTarError(at, _IS_CUT)
        if kind not in b"gK":  # these come between a long name and its file
            name = long_name or _name(header)
            if kind != _FOLDER and not name.endswith(b"/"):  # old tars name folders like this
                yield Member(name, content_at, size, b"" if kind in _REGULAR else _kind_of(header))
            long_name, long_size = b"", -1
        at = end + -size % BLOCK


def _behind_zeros(file: BufferedFile, at: int) -> int:
    """The first block from `at` on that holds anything; the end of the file if there is none."""
    while content := file.read(at, _BUFFER_BYTES):
        if held := content.lstrip(b"\0"):
            return at + (len(content) - len(held)) // BLOCK * BLOCK
        at += len(content)
    return at


def _kind_of(header: bytes) -> bytes:
    """What a member is that is not a regular file, for people."""
    if header[156] in _LINKS:
        return _LINKS[header[156]] + header[157:257].partition(b"\0")[0]
    return b"no regular file (type %r)" % chr(header[156])


def _checksum(header: bytes) -> int:
    """The sum of all bytes, its own eight counted as spaces."""
    content = header[: _CHECKSUM.start] + header[_CHECKSUM.stop :]
    return sum(content.translate(None, b"\0")) + 8 * ord(" ")  # most are 0 and need not be added one by one


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[345] and header[257:263] == b"ustar\0":  # GNU uses the field of the prefix for other things
        return header[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _number(field: bytes, at: int) -> int:
    """Octal digits, or base 256 if the first bit is set (GNU, beyond 8 GiB)."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.partition(b"\0")[0] or b"0", 8)
    except ValueError as error:
        raise DamagedTarError(at) from error


def _extension(file: BufferedFile, at: int, size: int, header_at: int) -> bytes:
    if size > _MAX_NAME_BYTES:
        raise DamagedTarError(header_at)
    content = file.read(at, size)
    if len(content) < size:
        raise DamagedTarError(header_at, _IS_CUT)
    return content


def _pax_fields(content: bytes, name: bytes, size: int) -> tuple[bytes, int]:
    """The path and the size that a pax header gives the file after it: records `<length> <key>=<value>\\n`."""
    while content:
        length, _, _ = content.partition(b" ")
        if not length.isdigit() or not 0 < int(length) <= len(content):
            break
        key, _, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            name = value
        elif key == b"size" and value.isdigit():
            size = int(value)
        content = content[int(length) :]
    return name, size


class TarReader(Reader):
    """Images of several tars, by offset. Paths are a tar's path and, after a slash, a member's name. tars: all there
    are, relative to root."""

    def __init__(self, root: Path, tars: Iterable[str]) -> None:
        self._prefix = os.fsencode(root) + b"/"
        self._tars = frozenset(map(os.fsencode, tars))
        self._files: dict[bytes, int] = {}

    def read_image(self, path: bytes, at: int, size: int) -> bytes:
        """`size` bytes from `at` on; Rejected if the tar is gone or ends before them."""
        if not size:
            raise Rejected("empty file")
        if size > MAX_IMAGE_BYTES:
            raise Rejected("too many pixels", f"the file has {size:,} bytes")
        return checked_content(self.read_content(self._tar_of(path), at, size))

    def _tar_of(self, path: bytes) -> bytes:
        end = path.find(b"/")
        while end > 0 and path[:end] not in self._tars:
            end = path.find(b"/", end + 1)
        return path[:end] if end > 0 else path.partition(b"/")[0]

    def read_content(self, tar: bytes, at: int, size: int) -> bytes:
        """`size` bytes of a tar from `at` on; else Rejected."""
        try:
            content = pread_all(self._files.get(tar) or self._open(tar), size, at)
        except FileNotFoundError as error:
            raise Rejected("missing image", f"{os.fsdecode(tar)} is gone") from error
        except OSError as error:
            raise Rejected("unreadable file", str(error.strerror)) from error
        if len(content) < size:
            raise Rejected("damaged image", f"{os.fsdecode(tar)} ends inside it")
        return content

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])

    def _open(self, tar: bytes) -> int:
        if len(self._files) >= _OPEN_FILES:
            os.close(self._files.pop(next(iter(self._files))))  # the one opened first: entries come tar by tar
        self._files[tar] = os.open(self._prefix + tar, os.O_RDONLY | os.O_CLOEXEC)
        return self._files[tar]
