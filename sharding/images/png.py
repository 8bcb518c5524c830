"""Take a PNG apart without decoding it: size, chunks, checksums, and the length of what inflates from it.

Found here: every truncation, and with `checksums` every changed byte up to the end of IEND. Bytes after IEND are not
checked. `check_data` finds data that does not inflate, or to another length than the header's size needs. Missed:
pixels that were wrong before the file was written.
"""

import struct
import zlib
from typing import NamedTuple

from sharding.reasons import Rejected

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

_IHDR = struct.Struct(">IIBBBBB").unpack_from
_CHUNK = struct.Struct(">I4s").unpack_from
_CRC = struct.Struct(">I").unpack_from
_PLAIN_FILE = struct.Struct(">16sII5s4xI4s").unpack_from
_HEAD = PNG_MAGIC + b"\0\0\0\x0dIHDR"
_PLAIN = (b"\x08\0\0\0\0", b"\x08\x02\0\0\0")  # depth, colour, and the rest of IHDR
PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> numbers a pixel
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_BITS = {(depth, colour): depth * _SAMPLES[colour] for colour, depths in _DEPTHS.items() for depth in depths}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_FILTERS = b"\0\1\2\3\4"
_PIECE_BYTES = 1 << 20  # inflated at a time: a file of zeros cannot fill the memory

# Metadata that decides about pixels, or that inflates (text, colour profiles) and may be a bomb for its readers.
_NOT_KEPT = (b"tRNS", b"acTL", b"fcTL", b"iCCP", b"zTXt", b"iTXt")
_SIZES = {b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"pHYs": 9}  # readers fail on other sizes


class Chunk(NamedTuple):
    """One chunk."""

    kind: bytes
    """Its four letters, such as `IDAT`."""
    start: int
    """Of its content in the file, without length and kind."""
    end: int
    """Of its content: where its checksum begins."""


class Png(NamedTuple):
    """What a PNG says of itself."""

    width: int
    """In pixels."""
    height: int
    """In pixels."""
    depth: int
    """Bits of each number of a pixel: 1, 2, 4, 8 or 16."""
    colour: int
    """0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""
    interlaced: int
    """1: in seven passes (Adam7); 0: row by row."""
    plain: bool
    """8 bits, grey or RGB, one picture, and no metadata but harmless kinds (EXIF aside)."""
    data: list[Chunk]
    """Its IDAT chunks."""
    others: list[Chunk]
    """All but IHDR, IDAT and IEND."""

    @property
    def raw_bytes(self) -> int:
        """Length of its pixels as they inflate: every row has a byte for its filter."""
        bits = _BITS[self.depth, self.colour]
        if not self.interlaced:
            return (1 + (self.width * bits + 7 >> 3)) * self.height
        total = 0
        for x, y, x_step, y_step in _ADAM7:
            columns, rows = -(-(self.width - x) // x_step), -(-(self.height - y) // y_step)
            if columns > 0 and rows > 0:
                total += (1 + (columns * bits + 7 >> 3)) * rows
        return total

    def chunk(self, content: bytes, kind: bytes) -> bytes:
        """The content of one of the others; empty if there is no such chunk."""
        return next((content[chunk.start : chunk.end] for chunk in self.others if chunk.kind == kind), b"")


def read_png(content: bytes, checksums: bool) -> Png:
    """Walk through all chunks of a file that begins with PNG_MAGIC. Rejected if they are damaged, cut off or in an
    order that PNG does not allow, and if there are several pictures."""
    size = len(content)
    if size < 33 or content[8:16] != b"\0\0\0\x0dIHDR":
        raise _damaged("it does not begin with IHDR")
    width, height, depth, colour, compression, filters, interlaced = _IHDR(content, 16)
    if checksums and zlib.crc32(content[12:29]) != _CRC(content, 29)[0]:
        raise _damaged("wrong checksum of IHDR")
    if (depth, colour) not in _BITS or compression or filters or interlaced > 1:
        raise _damaged("a header that PNG does not know")
    data: list[Chunk] = []
    others: list[Chunk] = []
    at = 33
    while True:
        if at + 12 > size:
            raise _damaged(f"its {size:,} bytes end before its last chunk")
        length, kind = _CHUNK(content, at)
        end = at + 8 + length
        if end + 4 > size:
            raise _damaged(f"its {size:,} bytes end before its last chunk")
        if checksums and zlib.crc32(content[at + 4 : end]) != _CRC(content, end)[0]:
            raise _damaged(f"wrong checksum of {kind!r}")
        if kind == b"IDAT":
            if data and data[-1].end + 4 != at:
                raise _damaged("other chunks among IDAT")
            data.append(Chunk(kind, at + 8, end))
        elif kind == b"IEND":
            break
        else:
            others.append(Chunk(kind, at + 8, end))
        at = end + 4
    if not data:
        raise _damaged("no IDAT")
    if others or colour == 3:
        _check_order(colour, data, others)
    plain = depth == 8 and colour in (0, 2) and not any(map(_is_not_kept, others))
    return Png(width, height, depth, colour, interlaced, plain, data, others)


def plain_size(content: bytes) -> tuple[int, int]:
    """(width, height) of the most common file, without a walk: 8 bits, grey or RGB, one IDAT and nothing else. (0, 0)
    for all others: `read_png` tells."""
    if not content.endswith(PNG_END) or len(content) < 57:
        return 0, 0
    head, width, height, kind, length, data = _PLAIN_FILE(content)
    if head != _HEAD or kind not in _PLAIN or data != b"IDAT" or length + 57 != len(content):
        return 0, 0
    # what claims more pixels than its bytes can hold is for read_png to refuse
    return (width, height) if 9 * width * height < 1000 * length else (0, 0)


def check_data(content: bytes, png: Png) -> None:
    """Inflate all pixels without making an image of them; Rejected if they are damaged.

    The filter of every row is checked too, but not in interlaced images.
    """
    total, done = png.raw_bytes, 0
    row = total if png.interlaced else total // png.height
    inflater = zlib.decompressobj()
    try:
        for _, start, end in png.data:
            piece = content[start:end]
            while True:
                limit = min(total - done + 1, _PIECE_BYTES)
                raw = inflater.decompress(piece, limit)
                if not png.interlaced and raw[-done % row :: row].translate(None, _FILTERS):
                    raise _damaged("a row with a filter that PNG does not know")
                done += len(raw)
                piece = inflater.unconsumed_tail
                if done > total or inflater.eof or not (piece or len(raw) == limit):
                    break
    except zlib.error as error:
        raise _damaged(f"its pixels do not inflate ({error})") from error
    if done != total or not inflater.eof:
        raise _damaged(f"its pixels inflate to {'more' if done > total else 'less'} than its size needs")


def without_metadata(content: bytes, png: Png) -> bytes:
    """The same pixels in a PNG of the chunks that they need."""
    if not png.others:
        return content
    needed = [chunk for chunk in png.others if chunk.kind in (b"PLTE", b"tRNS")]
    parts = [content[chunk.start - 8 : chunk.end + 4] for chunk in needed]
    pixels = content[png.data[0].start - 8 : png.data[-1].end + 4]
    return b"".join([content[:33], *parts, pixels, PNG_END])


def _check_order(colour: int, data: list[Chunk], others: list[Chunk]) -> None:
    palettes = 0
    for kind, start, end in others:
        if kind == b"PLTE":
            palettes += 1
            if start > data[0].start or colour in (0, 4) or end == start or (end - start) % 3 or end - start > 768:
                raise _damaged("a palette that does not belong there")
        elif kind == b"fdAT":
            raise Rejected("several pictures", "an animated PNG")
        elif not kind.isalpha() or kind[:1].isupper():
            raise _damaged(f"unknown chunk {kind!r}")
    if palettes > 1 or (colour == 3 and not palettes):
        raise _damaged("two palettes" if palettes else "no palette")


def _is_not_kept(chunk: Chunk) -> bool:
    size = chunk.end - chunk.start
    return chunk.kind in _NOT_KEPT or _SIZES.get(chunk.kind, size) != size


def _damaged(detail: str) -> Rejected:
    return Rejected("damaged image", f"PNG: {detail}")
