"""A confusion matrix as a picture: a row for each class of the labels, a column for each class read."""

import math
from pathlib import Path

from PIL import Image, ImageDraw

from horovod_ocr.reports.lettering import Lettering, Line, open_font
from horovod_ocr.reports.sheet import GAP_PX, INK, LINE, begin_sheet, png_of
from horovod_ocr.tasks.report import Confusion
from sharding.system.files import write_whole

SHEET_PX = 1400  # width that cells and names are made for; it grows if they need more
MOST_NAMED = 200  # classes: of more, cells are too small for names and counts
CELL_PX = (4, 64)  # smallest and largest
GROWN_CELL_PX = 30  # cells grow to this, for counts of five digits
NAME_PX = 320  # the longest name
FONT_PX = (12, 22)
SMALLEST_COUNT_PX = 8
RIGHT, WRONG = (27, 94, 84), (179, 38, 30)  # of a cell that holds all samples of its class
WHITE = (255, 255, 255)


def draw_confusion(confusion: Confusion, path: Path, caption: str = "") -> None:
    """Write the picture as a PNG. The larger a cell's share of the samples of its row, the darker it is: green if the
    class was read right, else red. More than MOST_NAMED classes have neither names nor counts, and the caption says in
    which order they are. OSError if the file cannot be written."""
    size, cell_px, lettering = len(confusion.classes), cell_px_of(confusion), Lettering()
    is_named = size <= MOST_NAMED
    caption = "; ".join(filter(None, [caption, "" if is_named else "the classes are in the order of eval.json"]))
    font_px = min(FONT_PX[1], max(FONT_PX[0], cell_px - 6))
    names = [lettering.fit_line(name, NAME_PX, font_px, FONT_PX[0]) for name in confusion.classes if is_named]
    margin = GAP_PX + max((name.width_px for name in names), default=0) + GAP_PX
    side = size * cell_px
    sheet, draw, top = begin_sheet(margin + side + GAP_PX, margin + side + GAP_PX, caption)
    top += margin - GAP_PX
    for row, counts in enumerate(confusion.counts):
        samples = sum(counts)
        for column, count in enumerate(counts):
            at = margin + column * cell_px, top + row * cell_px
            strength = shade_cell(draw, at, cell_px, count / samples if samples else 0.0, row == column)
            if count and is_named:
                draw_count(draw, at, cell_px, count, "white" if strength > 0.6 else INK)
    for position, name in enumerate(names):
        baseline = position * cell_px + (cell_px + font_px) // 2 - font_px // 5
        name.draw(draw, margin - GAP_PX // 2 - name.width_px, top + baseline, INK)
        paste_upright(sheet, name, (margin + position * cell_px + cell_px // 2, top - GAP_PX // 2))
    write_whole(path, png_of(sheet))


def cell_px_of(confusion: Confusion) -> int:
    """The side of a cell: all cells and a name fill the sheet; but if classes are named, a cell has room for a line of
    text, and for the largest count up to GROWN_CELL_PX."""
    smallest, largest = CELL_PX
    size = len(confusion.classes)
    if size <= MOST_NAMED:
        count = max(max(counts) for counts in confusion.counts)
        needed = math.ceil(count_width_px(count, SMALLEST_COUNT_PX))
        smallest = max(FONT_PX[0], min(GROWN_CELL_PX, needed))
    return min(largest, max(smallest, (SHEET_PX - NAME_PX) // size))


def count_width_px(count: int, size_px: int) -> float:
    """Of a count in this size, with two pixels on either side."""
    return open_font(None, size_px).getlength(str(count)) + 4


def shade_cell(draw: ImageDraw.ImageDraw, at: tuple[int, int], cell_px: int, share: float, is_right: bool) -> float:
    """share: of the samples of the row. Returns how dark the cell is, 0 to 1."""
    full = RIGHT if is_right else WRONG
    strength = math.sqrt(share)  # so that a few mistakes are seen
    colour = tuple(round(paper + (ink - paper) * strength) for paper, ink in zip(WHITE, full, strict=True))
    draw.rectangle((*at, at[0] + cell_px, at[1] + cell_px), colour, LINE if cell_px > CELL_PX[0] else None)
    return strength


def draw_count(draw: ImageDraw.ImageDraw, at: tuple[int, int], cell_px: int, count: int, ink: str) -> None:
    """In the middle of its cell, in the largest size that fits, if any does."""
    largest_px = max(SMALLEST_COUNT_PX, min(FONT_PX[1], cell_px // 2))
    for size_px in range(largest_px, SMALLEST_COUNT_PX - 1, -1):
        if count_width_px(count, size_px) <= cell_px:
            middle = at[0] + cell_px / 2, at[1] + cell_px / 2
            draw.text(middle, str(count), ink, open_font(None, size_px), anchor="mm")
            return


def paste_upright(sheet: Image.Image, name: Line, bottom: tuple[int, int]) -> None:
    """A name turned by 90 degrees, that ends at `bottom`: the middle of its column, and the edge above the cells."""
    left, above, right, below = name.box
    height = max(1, below - above)
    ink = Image.new("L", (max(1, right - left), height))
    name.draw(ImageDraw.Draw(ink), 0, -above, 255)
    upright = ink.rotate(90, expand=True)
    sheet.paste(INK, (bottom[0] - height // 2, bottom[1] - upright.height), upright)
