"""Draw a word: HarfBuzz shapes it, and each glyph is a FreeType bitmap that is drawn once and kept.

Pillow shapes and rasterises every glyph of every word again. The words of a list consist of a few hundred glyph forms;
if their bitmaps are kept, a word only needs shaping and a few small array copies (benchmarks/synth.py measures both).
"""

import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.errors import ConfigError, LabelError

try:
    import freetype
    import uharfbuzz as hb
except ImportError:  # WordRenderer tells how to install them
    freetype = hb = None

FONTS = Path(__file__).parent / "fonts"
DEFAULT_FONT = FONTS / "NotoNastaliqUrdu-Regular.ttf"

WHITE = 255
_SUBPIXELS = 64  # FreeType and HarfBuzz both use 1/64 px here
_RIGHT_TO_LEFT = {"R", "AL"}  # bidi classes of Unicode
_LEFT_TO_RIGHT = {"L", "EN", "AN"}


class _Glyph(NamedTuple):
    """The bitmap of a glyph. Distances are in pixels."""

    pixels: np.ndarray
    """uint8 (height, width), ink 0 on white 255."""
    left: int
    """From the pen to the left edge of the bitmap."""
    top: int
    """From the base line up to the upper edge of the bitmap."""
    width: int
    """That of the bitmap, at least 1."""
    height: int
    """That of the bitmap, at least 1."""


class WordRenderer:
    """Draws words in one font at one size. Threads must not share one.

    Args:
        font_path: a TrueType or OpenType file.
        size_px: pixels per em.
        margin: white pixels around the ink, at least 0.
        language: a BCP 47 tag, because a font may draw letters differently for each language. HarfBuzz would guess the
            locale of the process, which differs between machines.
        direction: "rtl", "ltr" or None (as the text tells).

    Raises:
        ConfigError: the font cannot be read, the drawing packages are missing, or a number is out of range.
    """

    def __init__(
        self,
        font_path: Path | str = DEFAULT_FONT,
        size_px: int = 40,
        *,
        margin: int = 2,
        language: str = "ur",
        direction: str | None = None,
    ) -> None:
        if hb is None:
            raise ConfigError("drawing words needs uharfbuzz and freetype-py: pip install 'horovod-ocr[synth]'")
        if size_px < 1 or margin < 0:
            raise ConfigError(f"size_px is {size_px}, margin {margin}: they must be at least 1 and 0")
        self.font_path = Path(font_path)
        self.margin = margin
        self._language = language
        self._direction = direction
        try:
            self._face = freetype.Face(str(self.font_path))
            self._font = hb.Font(hb.Face(hb.Blob.from_file_path(str(self.font_path))))
            self._face.set_pixel_sizes(0, size_px)
        except (OSError, freetype.FT_Exception, hb.HarfBuzzError) as error:
            raise ConfigError(f"cannot read the font {self.font_path} ({error}); name a .ttf or .otf file") from error
        self._font.scale = (size_px * _SUBPIXELS, size_px * _SUBPIXELS)
        self._glyphs: dict[int, _Glyph | None] = {}

    def render(self, text: str) -> np.ndarray:
        """The picture of `text`, uint8 (H, W): ink 0 on white 255, cropped to the ink plus the margin.

        text: one run of one direction, in logical order.

        Raises:
            LabelError: the text is empty, mixes directions, has no ink, or holds a letter that the font lacks.
        """
        placed = []
        pen_x = pen_y = 0
        left = top = 1 << 30
        right = bottom = -left
        for glyph_id, x_offset, y_offset, x_advance, y_advance in self._shape(text):
            glyph = self._glyphs[glyph_id] if glyph_id in self._glyphs else self._draw(glyph_id)
            if glyph is not None:
                x = (pen_x + x_offset + 32 >> 6) + glyph.left
                y = -(pen_y + y_offset + 32 >> 6) - glyph.top
                placed.append((glyph, x, y))
                left, right = min(left, x), max(right, x + glyph.width)
                top, bottom = min(top, y), max(bottom, y + glyph.height)
            pen_x += x_advance
            pen_y += y_advance
        if not placed:
            raise LabelError(f"{text!r} leaves no ink in {self.font_path.name}; leave it out")
        margin = self.margin
        image = np.full((bottom - top + 2 * margin, right - left + 2 * margin), WHITE, np.uint8)
        for glyph, x, y in placed:
            x += margin - left
            y += margin - top
            spot = image[y : y + glyph.height, x : x + glyph.width]
            np.minimum(spot, glyph.pixels, out=spot)  # neighbours overlap where they join
        return image

    def _shape(self, text: str) -> list[tuple[int, int, int, int, int]]:
        """Glyph id, offsets and advances (1/64 px) of each glyph, from left to right."""
        if not text:
            raise LabelError(f"an empty text cannot be drawn in {self.font_path.name}; leave it out")
        buffer = hb.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        buffer.language = self._language
        buffer.direction = self._direction or _direction_of(text)
        hb.shape(self._font, buffer)
        glyphs = []
        for info, position in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            if info.codepoint == 0:
                letter = text[info.cluster]
                raise LabelError(
                    f"{self.font_path.name} has no glyph for {letter!r} (U+{ord(letter):04X}) in {text!r}; "
                    "take another font or leave the word out"
                )
            glyphs.append((info.codepoint, *position.position))
        return glyphs

    def _draw(self, glyph_id: int) -> _Glyph | None:
        """The bitmap of a glyph, which is kept from now on; None if it has no ink."""
        self._face.load_glyph(glyph_id, freetype.FT_LOAD_RENDER | freetype.FT_LOAD_NO_BITMAP)
        slot = self._face.glyph
        bitmap = slot.bitmap
        ink = np.array(bitmap.buffer, np.uint8).reshape(bitmap.rows, bitmap.pitch)[:, : bitmap.width]
        rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
        glyph = None
        if len(rows):  # FreeType's box may have empty rows or columns at its edges
            ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            left, top = slot.bitmap_left + int(columns[0]), slot.bitmap_top - int(rows[0])
            glyph = _Glyph(WHITE - ink, left, top, ink.shape[1], ink.shape[0])
        self._glyphs[glyph_id] = glyph
        return glyph


def _direction_of(text: str) -> str:
    """By the bidi classes of the letters. HarfBuzz would guess that Urdu digits run from right to left."""
    classes = set(map(unicodedata.bidirectional, text))
    if classes.isdisjoint(_RIGHT_TO_LEFT):
        return "ltr"
    if classes.isdisjoint(_LEFT_TO_RIGHT):
        return "rtl"
    raise LabelError(f"{text!r} mixes directions (digits or Latin letters in it); draw each run by itself")
