"""Labels of any script as ink: a font that has their letters, and where the ink lies."""

import os
import unicodedata
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

NASTALIQ = Path(__file__).parents[1] / "synth/fonts/NotoNastaliqUrdu-Regular.ttf"
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/Library/Fonts")
NO_LETTER = "\uffff"  # no font has it: what is drawn for it stands for every letter that a font misses
PROBE_PX = 24
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Line(NamedTuple):
    """One line of text. runs: (text, font) from left to right. box: its ink around the start of its baseline (left,
    top, right, bottom), pixels."""

    runs: tuple[tuple[str, Font], ...]
    box: tuple[int, int, int, int]

    @property
    def width_px(self) -> int:
        return self.box[2] - self.box[0]

    def draw(self, draw: ImageDraw.ImageDraw, left: float, baseline: float, fill: str) -> None:
        """left: of the ink."""
        at = left - self.box[0]
        for text, font in self.runs:
            draw.text((at, baseline), text, fill, font, anchor="ls")
            at += font.getlength(text)


class Lettering:
    """The packaged Nastaliq for Arabic letters, the fonts of the machine for others, Pillow's own for the rest."""

    def __init__(self, folders: tuple[str, ...] = FOLDERS):
        self.paths: list[Path | None] = [*sorted(font_files(folders), key=preference), None]
        self.has: dict[tuple[Path | None, str], bool] = {}

    def set_line(self, text: str, size_px: int) -> Line:
        """The text as a line; what cannot be printed becomes U+FFFD."""
        text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
        if not shapes_letters() and is_right_to_left(text):
            text = text[::-1]
        runs = tuple((part, open_font(path, size_px)) for part, path in self._runs(text))
        return Line(runs, ink_of(runs))

    def fit_line(self, text: str, width_px: int, largest_px: int, smallest_px: int) -> Line:
        """The largest line that is no wider; where the smallest is, the text is cut at its end."""
        for size_px in range(largest_px, smallest_px - 1, -2):
            line = self.set_line(text, size_px)
            if line.width_px <= width_px:
                return line
        while len(text) > 1 and line.width_px > width_px:
            text = text[: -1 - len(text) // 20]
            line = self.set_line(text + "…", smallest_px)
        return line

    def _runs(self, text: str) -> list[tuple[str, Path | None]]:
        """One font for all where one has all its letters, else each run of letters with the first font that has it.

        Right-to-left text is never taken apart: its order on the line is not that of its letters.
        """
        letters = sorted({letter for letter in text if not letter.isspace()})
        paths = [NASTALIQ, *self.paths] if any(map(is_arabic, letters)) else self.paths
        for path in paths:
            if all(self._has(path, letter) for letter in letters):
                return [(text, path)]
        if is_right_to_left(text):
            return [(text, max(paths, key=lambda path: sum(self._has(path, letter) for letter in letters)))]
        runs: list[tuple[str, Path | None]] = []
        for letter in text:
            if runs and (letter.isspace() or unicodedata.combining(letter) or self._has(runs[-1][1], letter)):
                runs[-1] = (runs[-1][0] + letter, runs[-1][1])
            else:
                runs.append((letter, next((path for path in paths if self._has(path, letter)), None)))
        return runs

    def _has(self, path: Path | None, letter: str) -> bool:
        if (path, letter) not in self.has:
            drawn = probe_of(path, letter)
            self.has[path, letter] = any(drawn) and drawn != probe_of(path, NO_LETTER)
        return self.has[path, letter]


def shapes_letters() -> bool:
    """Does this Pillow join letters and turn right-to-left text (raqm)?"""
    return features.check("raqm")


def is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)


def is_arabic(letter: str) -> bool:
    return unicodedata.bidirectional(letter) == "AL"


def ink_of(runs: tuple[tuple[str, Font], ...]) -> tuple[int, int, int, int]:
    """Nastaliq reaches far above and below its line, whatever the font says of itself: the ink is measured."""
    boxes, at = [], 0.0
    for text, font in runs:
        left, top, right, bottom = font.getbbox(text, anchor="ls")
        boxes.append((at + left, top, at + right, bottom))
        at += font.getlength(text)
    lefts, tops, rights, bottoms = zip(*boxes, strict=True) if boxes else ((0,),) * 4
    return round(min(lefts)), round(min(tops)), round(max(rights)), round(max(bottoms))


def font_files(folders: tuple[str, ...]) -> list[Path]:
    found = []
    for folder in folders:
        for root, _, names in os.walk(os.path.expanduser(folder)):
            found += [Path(root, name) for name in names if name.lower().endswith((".ttf", ".otf", ".ttc"))]
    return found


def preference(path: Path) -> tuple:
    """Upright fonts without serifs first."""
    name = path.stem.lower()
    odd = any(word in name for word in ("bold", "italic", "oblique", "mono", "light", "black", "condensed", "emoji"))
    return odd, not name.startswith("dejavusans"), "sans" not in name, "regular" not in name, name


@cache
def open_font(path: Path | None, size_px: int) -> Font:
    return ImageFont.truetype(path, size_px) if path else ImageFont.load_default(size_px)


@cache
def probe_of(path: Path | None, letter: str) -> bytes:
    """What a font draws for a letter; nothing where the file is no font that can be scaled."""
    image = Image.new("L", (3 * PROBE_PX, 3 * PROBE_PX))
    try:
        font = open_font(path, PROBE_PX)
        ImageDraw.Draw(image).text((PROBE_PX, PROBE_PX), letter, 255, font)
    except (OSError, UnicodeEncodeError):
        return b""
    return image.tobytes()
