"""Labels of any script as ink: a font that has their letters, and the box of their ink."""

import os
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, features

from sharding.wording import some_names

NASTALIQ = Path(__file__).parents[1] / "synth/fonts/NotoNastaliqUrdu-Regular.ttf"
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/Library/Fonts")
# the beginnings of names in Unicode of the letters that a font for Chinese, Japanese and Korean has
CJK = (
    "CJK ",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "BOPOMOFO",
    "IDEOGRAPHIC",
    "KANGXI",
    "FULLWIDTH",
    "HALFWIDTH",
    "CIRCLED IDEOGRAPH",
    "PARENTHESIZED IDEOGRAPH",
)
# Debian's packages of fonts, each with a file that is there if it is installed
PACKAGES = {
    "fonts-noto-cjk": "NotoSansCJK-Regular",
    "fonts-noto-core": "NotoSans-Regular",  # every other script
    "fonts-junicode": "Junicode",  # medieval letters, in the private use area
    "fonts-symbola": "Symbola",  # emoji, in outlines
}
FIRST_EMOJI = 0x1F300
MOST_NAMED = 3
UNSEEN = ("Cf", "Cc", "Zs", "Zl", "Zp")  # categories without ink of their own: joiners, direction marks, spaces
VARIATION_SELECTORS = range(0xFE00, 0xFE10)
NO_LETTER = "\uffff"  # no font has it: it is drawn as every letter that a font misses
PROBE_PX = 24
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Line(NamedTuple):
    """One line of text."""

    runs: tuple[tuple[str, Font], ...]
    """(text, font), from left to right."""
    box: tuple[int, int, int, int]
    """Of its ink: left, top, right and bottom in pixels from the start of its baseline."""

    @property
    def width_px(self) -> int:
        return self.box[2] - self.box[0]

    def draw(self, draw: ImageDraw.ImageDraw, left: float, baseline: float, fill: str | int) -> None:
        """left: of the ink."""
        at = left - self.box[0]
        for text, font in self.runs:
            draw.text((at, baseline), text, fill, font, anchor="ls")
            at += font.getlength(text)


class FontAdvice(NamedTuple):
    """How to get fonts for letters that are drawn as boxes."""

    sentence: str
    """It shows some of the letters, and ends with the command."""
    command: str
    """Installs the packages that are missing; if none is, says in words what to do."""


class Lettering:
    """Sets lines: Arabic letters in the packaged Nastaliq, others in the machine's fonts, the rest in Pillow's own."""

    def __init__(self, folders: tuple[str, ...] = FOLDERS) -> None:
        self.paths: list[Path | None] = [*sorted(font_files(folders), key=preference), None]  # None: Pillow's own
        self.boxes: dict[str, None] = {}  # letters that were set in a font without them, in order
        self._found: dict[tuple[Path | None, str], bool] = {}  # (font, letter) -> has it?

    def set_line(self, text: str, size_px: int) -> Line:
        """The text as a line; letters that cannot be printed become U+FFFD."""
        joins = has_raqm()
        text = "".join(printed(letter, joins) for letter in text)
        if not joins and is_right_to_left(text):
            text = text[::-1]
        parts = self._runs(text)
        for part, path in parts:
            drawn = (letter for letter in part if has_ink(letter) and letter not in "\ufffd…")
            self.boxes |= {letter: None for letter in drawn if not self._has(path, letter)}
        runs = tuple((part, open_font(path, size_px)) for part, path in parts)
        return Line(runs, ink_of(runs))

    def fit_line(self, text: str, width_px: int, largest_px: int, smallest_px: int) -> Line:
        """The line in the largest size that fits the width. If even the smallest does not, the text is cut."""
        for size_px in range(largest_px, smallest_px - 1, -2):
            line = self.set_line(text, size_px)
            if line.width_px <= width_px:
                return line
        while len(text) > 1 and line.width_px > width_px:
            text = text[: -1 - len(text) // 20]
            line = self.set_line(text + "…", smallest_px)
        return line

    def _runs(self, text: str) -> list[tuple[str, Path | None]]:
        """The text with the first font that has all its letters, or else its runs, each with a font that has it.

        Right-to-left text is always one run: its order on the line is not that of its letters.
        """
        letters = sorted({letter for letter in text if has_ink(letter)})
        paths = [NASTALIQ, *self.paths] if any(map(is_arabic, letters)) else self.paths
        for path in paths:
            if all(self._has(path, letter) for letter in letters):
                return [(text, path)]
        if is_right_to_left(text):
            return [(text, max(paths, key=lambda path: sum(self._has(path, letter) for letter in letters)))]
        runs: list[tuple[str, Path | None]] = []
        for letter in text:
            if runs and (not has_ink(letter) or unicodedata.combining(letter) or self._has(runs[-1][1], letter)):
                runs[-1] = (runs[-1][0] + letter, runs[-1][1])
            else:
                runs.append((letter, next((path for path in paths if self._has(path, letter)), None)))
        return runs

    def _has(self, path: Path | None, letter: str) -> bool:
        """Does this font have the letter?"""
        if (path, letter) not in self._found:
            drawn = probe_of(path, letter)
            self._found[path, letter] = any(drawn) and drawn != probe_of(path, NO_LETTER)
        return self._found[path, letter]


def printed(letter: str, joins: bool) -> str:
    """What is set for a letter: itself, or U+FFFD if it cannot be printed.

    joins: whether letters are joined. If not, joiners and marks of direction are left out.
    """
    if unicodedata.category(letter) == "Cf":
        return letter if joins else ""
    # private use: fonts for medieval texts have letters there
    return letter if letter.isprintable() or unicodedata.category(letter) == "Co" else "\ufffd"


def has_ink(letter: str) -> bool:
    """Is there anything to see of it?"""
    return unicodedata.category(letter) not in UNSEEN and ord(letter) not in VARIATION_SELECTORS


def package_of(letter: str) -> str:
    """Debian's package with a font that has the letter."""
    if unicodedata.category(letter) == "Co":
        return "fonts-junicode"
    if unicodedata.category(letter) == "So" and ord(letter) >= FIRST_EMOJI:
        return "fonts-symbola"
    return "fonts-noto-cjk" if unicodedata.name(letter, "").startswith(CJK) else "fonts-noto-core"


def font_advice(letters: Iterable[str], fonts: Iterable[Path | None]) -> FontAdvice | None:
    """How to get fonts for these letters; None if there are none.

    fonts: those of this machine. A package that is installed but lacks a letter is not named.
    """
    letters = list(letters)
    if not letters:
        return None
    by_package: dict[str, list[str]] = {}
    for letter in letters:
        by_package.setdefault(package_of(letter), []).append(letter)
    installed = " ".join(path.name for path in fonts if path)
    missing = sorted(package for package in by_package if PACKAGES[package] not in installed)
    mixed = [letter for each in zip_longest(*by_package.values()) for letter in each if letter]
    names = some_names([f"{letter} (U+{ord(letter):04X})" for letter in mixed], MOST_NAMED)
    command = f"apt-get install {' '.join(missing)}" if missing else "install a font that has them"
    return FontAdvice(f"letters such as {names} are drawn as boxes, as no font here has them: {command}", command)


def has_raqm() -> bool:
    """Does this Pillow join letters and turn right-to-left text?"""
    return bool(features.check("raqm"))


def is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in text)


def is_arabic(letter: str) -> bool:
    return unicodedata.bidirectional(letter) == "AL"


def ink_of(runs: tuple[tuple[str, Font], ...]) -> tuple[int, int, int, int]:
    """The box of the ink, as in `Line`. It is measured: Nastaliq reaches far above and below what the font states."""
    boxes, at = [], 0.0
    for text, font in runs:
        left, top, right, bottom = font.getbbox(text, anchor="ls")
        boxes.append((at + left, top, at + right, bottom))
        at += font.getlength(text)
    lefts, tops, rights, bottoms = zip(*boxes, strict=True) if boxes else ((0,),) * 4
    return round(min(lefts)), round(min(tops)), round(max(rights)), round(max(bottoms))


def font_files(folders: tuple[str, ...]) -> list[Path]:
    """All fonts in these folders and below."""
    found = []
    for folder in folders:
        for root, _, names in os.walk(os.path.expanduser(folder)):
            found += [Path(root, name) for name in names if name.lower().endswith((".ttf", ".otf", ".ttc"))]
    return found


def preference(path: Path) -> tuple[bool, bool, bool, bool, str]:
    """Sorts upright fonts without serifs first."""
    name = path.stem.lower()
    styles = ("bold", "italic", "oblique", "mono", "light", "black", "condensed", "emoji")
    return (
        any(style in name for style in styles),
        not name.startswith("dejavusans"),
        "sans" not in name,
        "regular" not in name,
        name,
    )


@cache
def open_font(path: Path | None, size_px: int) -> Font:
    return ImageFont.truetype(path, size_px) if path else ImageFont.load_default(size_px)


@cache
def probe_of(path: Path | None, letter: str) -> bytes:
    """What a font draws for a letter; nothing if the file is not a font that can be scaled."""
    image = Image.new("L", (3 * PROBE_PX, 3 * PROBE_PX))
    try:
        font = open_font(path, PROBE_PX)
        ImageDraw.Draw(image).text((PROBE_PX, PROBE_PX), letter, 255, font)
    except (OSError, UnicodeEncodeError):
        return b""
    return image.tobytes()
