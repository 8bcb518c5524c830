"""A confusion matrix as a picture: a row for each class of the labels, a column for each class read."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from horovod_ocr.reports.lettering import Lettering, Line
from horovod_ocr.reports.sheet import GAP_PX, INK, LINE, begin_sheet, png_of
from horovod_ocr.tasks.report import Confusion
from sharding.system.files import write_whole

SHEET_PX = 1400  # width that cells and names are made for
CELL_PX = (4, 64)  # smallest and largest
NAME_PX = 320  # the longest name
FONT_PX = (12, 22)
MOST_COUNTED_DIGITS = 0.32  # of a cell's width, for a digit
RIGHT, WRONG = (27, 94, 84), (179, 38, 30)  # of a cell that holds all samples of its class
WHITE = (255, 255, 255)


def draw_confusion(confusion: Confusion, path: Path, caption: str = "") -> None:
    """Write the picture as a PNG. A cell is the darker, the larger its share of the samples of its row is; green if the
    class was read right, else red. OSError if the file cannot be written."""
    size = len(confusion.classes)
    cell_px = max(CELL_PX[0], min(CELL_PX[1], (SHEET_PX - NAME_PX) // size))
    lettering, names_fit = Lettering(), cell_px >= FONT_PX[0]
    font_px = min(FONT_PX[1], max(FONT_PX[0], cell_px - 6))
    names = [lettering.fit_line(name, NAME_PX, font_px, FONT_PX[0]) for name in confusion.classes] if names_fit else []
    margin = GAP_PX + max((name.width_px for name in names), default=0) + GAP_PX
    side = size * cell_px
    sheet, draw, top = begin_sheet(margin + side + GAP_PX, margin + side + GAP_PX, caption)
    top += margin - GAP_PX
    for row, counts in enumerate(confusion.counts):
        samples = sum(counts)
        for column, count in enumerate(counts):
            at = margin + column * cell_px, top + row * cell_px
            draw_cell(draw, at, cell_px, count, count / samples if samples else 0.0, row == column)
    for position, name in enumerate(names):
        middle = position * cell_px + (cell_px + font_px) // 2 - font_px // 5
        name.draw(draw, margin - GAP_PX // 2 - name.width_px, top + middle, INK)
        paste_upright(sheet, name, (margin + position * cell_px + cell_px // 2, top - GAP_PX // 2))
    write_whole(path, png_of(sheet))


def draw_cell(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], cell_px: int, count: int, share: float, is_right: bool
) -> None:
    """share: of the samples of the row."""
    full = RIGHT if is_right else WRONG
    strength = share**0.5  # so that a few mistakes are seen
    colour = tuple(round(paper + (ink - paper) * strength) for paper, ink in zip(WHITE, full, strict=True))
    draw.rectangle((*at, at[0] + cell_px, at[1] + cell_px), colour, LINE if cell_px > CELL_PX[0] else None)
    if count and MOST_COUNTED_DIGITS * cell_px * len(str(count)) < cell_px and cell_px >= FONT_PX[0]:
        font = ImageFont.load_default(min(FONT_PX[1], cell_px // 2))
        middle = at[0] + cell_px / 2, at[1] + cell_px / 2
        draw.text(middle, str(count), "white" if strength > 0.6 else INK, font, anchor="mm")


def paste_upright(sheet: Image.Image, name: Line, bottom: tuple[int, int]) -> None:
    """A name turned by 90 degrees, that ends at `bottom`: the middle of its column, and the edge above the cells."""
    left, above, right, below = name.box
    height = max(1, below - above)
    ink = Image.new("L", (max(1, right - left), height))
    name.draw(ImageDraw.Draw(ink), 0, -above, 255)
    upright = ink.rotate(90, expand=True)
    sheet.paste(INK, (bottom[0] - height // 2, bottom[1] - upright.height), upright)
