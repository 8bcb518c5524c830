"""Take a JPEG apart without decoding it: size, segments, tables, and markers up to its end.

Found here: every truncation, segments that do not add up, missing tables, misplaced markers. Missed: a changed byte
among the compressed pixels (JPEG has no checksum), and most of those in tables. Bytes after the end of the image are
not checked.
"""

import struct
from typing import NamedTuple

from sharding.reasons import Rejected

JPEG_MAGIC = b"\xff\xd8\xff"

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_JFIF, _EXIF, _ADOBE, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: what every reader knows
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_PLAIN = {_JFIF: 14, _ADOBE: 12, _COMMENT: 0}  # marker -> the fewest bytes that every reader accepts
_LENGTH = struct.Struct(">H").unpack_from
_FRAME = struct.Struct(">BHHB").unpack_from


class Jpeg(NamedTuple):
    """What a JPEG says of itself."""

    width: int
    """In pixels, before EXIF turns the image."""
    height: int
    """In pixels, before EXIF turns the image."""
    colours: int
    """1 grey, 3 colour, 4 CMYK."""
    exif: bytes
    """As it is in the file; empty if there is none."""
    plain: bool
    """No metadata but the few kinds that no reader has trouble with."""


_Table = tuple[str, int]  # "Q", "D" or "A", and its number


class _Component(NamedTuple):
    """One colour of a frame."""

    number: int
    """By which a scan names it."""
    sampling: int
    """Upper four bits: horizontal factor; lower four: vertical factor; 1 to 4 each."""
    table: int
    """Number of its quantisation table."""


def read_jpeg(content: bytes, whole: bool) -> Jpeg:
    """Walk through the segments of a file that begins with JPEG_MAGIC. whole: up to its end, else to the first pixels.

    Rejected if they are damaged or cut off, and if the kind of JPEG is one that not every reader knows (12 bits,
    lossless, arithmetic, hierarchical).
    """
    at, exif, plain, interval = 2, b"", True, 0
    progressive = False
    frame: tuple[int, int, int, int] | None = None
    components: tuple[_Component, ...] = ()
    tables: set[_Table] = set()
    scanned: set[int] = set()
    while True:
        marker, start, end = _segment(content, at)
        at = end
        if marker == _DQT:
            _read_quantisation(content[start:end], tables)
        elif marker == _DHT:
            _read_huffman(content[start:end], tables)
        elif marker in _FRAMES:
            if frame:
                raise _damaged("two frames")
            frame, components = _read_frame(content[start:end])
            progressive = marker == 0xC2
        elif marker == _SOS:
            scanned |= _read_scan(content[start:end], components, tables, progressive)
            if not whole:
                break
            at = _end_of_scan(content, end, interval)
        elif marker == _EOI:
            if not scanned or len(scanned) < len(components):
                raise _damaged("no pixels" if not scanned else "a colour without pixels")
            break
        elif marker in _OTHER_FRAMES:
            raise Rejected("unsupported pixels", f"JPEG of a kind (SOF{marker - 0xC0}) that few readers know")
        elif marker == _DRI:
            interval = int.from_bytes(content[start:end], "big")
        elif marker == _EXIF and content.startswith(b"Exif\0\0", start):
            exif, plain = content[start:end], False
        elif end - start < _PLAIN.get(marker, 1 << 16):
            plain = False
    if frame is None:
        raise _damaged("no frame")  # cannot happen: a scan needs the components of a frame
    _, height, width, colours = frame
    return Jpeg(width, height, colours, exif, plain)


def _segment(content: bytes, at: int) -> tuple[int, int, int]:
    """(marker, start, end) of the segment at this offset; start and end of what it holds."""
    size = len(content)
    if at + 1 < size and content[at] != 0xFF:
        raise _damaged(f"no marker at byte {at}")
    while at < size and content[at] == 0xFF:  # any number of them may precede a marker
        at += 1
    if at >= size:
        raise _cut_off(size)
    marker = content[at]
    if marker == _EOI:
        return marker, at + 1, at + 1
    if marker < 0xC0 or 0xD0 <= marker <= _SOI:
        raise _damaged(f"marker {marker:02X} where none may be")
    if at + 3 > size:
        raise _cut_off(size)
    (length,) = _LENGTH(content, at + 1)
    if length < 2:
        raise _damaged(f"segment {marker:02X} of {length} bytes")
    if at + 1 + length > size:
        raise _cut_off(size)
    return marker, at + 3, at + 1 + length


def _read_quantisation(segment: bytes, tables: set[_Table]) -> None:
    at = 0
    while at < len(segment):
        precision, number = divmod(segment[at], 16)
        at += 1 + 64 * (1 + precision)
        if precision > 1 or number > 3 or at > len(segment):
            raise _damaged("a quantisation table that does not add up")
        tables.add(("Q", number))


def _read_huffman(segment: bytes, tables: set[_Table]) -> None:
    at = 0
    while at < len(segment):
        kind, number = divmod(segment[at], 16)
        codes = sum(segment[at + 1 : at + 17])
        at += 17 + codes
        if kind > 1 or number > 3 or codes > 256 or at > len(segment):
            raise _damaged("a Huffman table that does not add up")
        tables.add(("DA"[kind], number))


def _read_frame(segment: bytes) -> tuple[tuple[int, int, int, int], tuple[_Component, ...]]:
    """((bits, height, width, colours), the components)."""
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        raise _damaged("a frame that does not add up")
    frame: tuple[int, int, int, int] = _FRAME(segment)
    if frame[0] != 8:
        raise Rejected("unsupported pixels", f"JPEG of {frame[0]} bits")
    components = tuple(_Component(*segment[at : at + 3]) for at in range(6, len(segment), 3))
    for component in components:
        if not (1 <= component.sampling >> 4 <= 4 and 1 <= component.sampling & 15 <= 4):
            raise _damaged("colours sampled in a way that JPEG does not know")
    if len({component.number for component in components}) < len(components):
        raise _damaged("a colour named twice")
    return frame, components


def _read_scan(segment: bytes, components: tuple[_Component, ...], tables: set[_Table], progressive: bool) -> set[int]:
    """The components whose pixels follow; Rejected if a table that they need is missing."""
    if not segment or len(segment) != 4 + 2 * segment[0] or not segment[0]:
        raise _damaged("a scan that does not add up")
    quantisation = {component.number: component.table for component in components}
    first, refined = segment[-3], segment[-1] >> 4  # of the coefficients that this scan brings
    numbers = segment[1:-3:2]
    for number, coding in zip(numbers, segment[2:-3:2], strict=True):
        if number not in quantisation:
            raise _damaged("a scan of a colour that the frame does not know")
        needed = [("Q", quantisation[number])]
        if not progressive or (first == 0 and not refined):
            needed.append(("D", coding >> 4))
        if not progressive or first > 0:
            needed.append(("A", coding & 15))
        if not tables.issuperset(needed):
            raise _damaged("a table is missing")
    return set(numbers)


def _end_of_scan(content: bytes, start: int, interval: int) -> int:
    """The offset of the marker after the compressed pixels."""
    at, restarts = start, 0
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 == len(content):
            raise _cut_off(len(content))
        marker = content[at + 1]
        if marker == 0:
            at += 2
        elif marker == 0xFF:
            at += 1
        elif 0xD0 <= marker <= 0xD7:
            if not interval or marker != 0xD0 + restarts % 8:
                raise _damaged("a restart marker out of turn")
            restarts += 1
            at += 2
        elif at == start:
            raise _damaged("a scan without pixels")
        else:
            return at


def _cut_off(size: int) -> Rejected:
    return _damaged(f"its {size:,} bytes end before the end of the image")


def _damaged(detail: str) -> Rejected:
    return Rejected("damaged image", f"JPEG: {detail}")
