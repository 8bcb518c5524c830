"""A contact sheet: images in rows, each with its label below it, and perhaps a remark below that."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from horovod_ocr.console import console
from horovod_ocr.data.samples import draw_samples, fetch_some
from horovod_ocr.reports.lettering import Lettering, Line, font_advice, has_raqm
from sharding.images.limits import Limits
from sharding.images.read import read_image
from sharding.reasons import Rejected
from sharding.system.files import write_whole

MOST_IMAGES = 100
SHEET_PX = 1600  # the greatest width
IMAGE_PX = (56, 96)  # lowest and highest image; they are higher if most images are about as wide as high
CELL_PX = (112, 760)  # narrowest and widest
LABEL_PX, SMALLEST_LABEL_PX = 24, 12
REMARK_PX = 14  # a sheet with remarks has wider cells if its lines need that in this size,
REMARKED_CELL_PX = 260  # at most of this width
CAPTION_PX = 17
CAPTION_LINE_PX = round(1.4 * CAPTION_PX)
REASON_PX = (112, 64)  # of what is drawn instead of an image that cannot be read
GAP_PX = 14
PAPER, INK, FAINT, LINE, RED = "#f6f5f1", "#1c1c1a", "#6d6d66", "#c9c8c0", "#b3261e"
printed_commands: set[str] = set()  # that install fonts; each is printed once, as a report has several sheets


class SampleCell(NamedTuple):
    """One sample as it is drawn."""

    picture: Image.Image
    """RGB, already of the size in which it is drawn."""
    line: Line
    """Its label, or a remark that it has none."""
    ink: str
    """Colour of the line."""
    remark: Line | None = None
    """Below the label, if there is anything to say."""


def draw_sheet(
    samples: Sequence[tuple[bytes, str]],
    path: str | Path,
    columns: int = 10,
    caption: str = "",
    remarks: Sequence[str] = (),
) -> None:
    """Write a PNG with the first 100 of the samples (bytes of an image file, label). Wide images get fewer columns.

    An image that cannot be read is drawn as the reason why. remarks: a line below the label of each sample; none if
    empty. OSError if the file cannot be written.
    """
    write_whole(Path(path), sheet_png(samples, columns, caption, remarks))


def draw_set_sheet(location: str | Path, path: str | Path, count: int = MOST_IMAGES, seed: int = 0) -> None:
    """The contact sheet of a finished shard set: `count` samples of all splits, drawn by lot. ShardError as
    `samples.fetch_some`."""
    index = fetch_some(str(location), seed)
    samples = draw_samples(index, count, seed)
    draw_sheet(samples, path, caption=f"{len(samples):,} of {sum(index.counts.totals.values()):,} samples")


def sheet_png(
    samples: Sequence[tuple[bytes, str]], columns: int = 10, caption: str = "", remarks: Sequence[str] = ()
) -> bytes:
    """The contact sheet as the bytes of a PNG. Like `draw_sheet`."""
    lettering = Lettering()
    cells, cell_px = lay_out(samples[:MOST_IMAGES], remarks[:MOST_IMAGES], lettering)
    columns = max(1, min(columns, SHEET_PX // (cell_px + GAP_PX), len(cells)))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [row_height_px(row) + GAP_PX for row in rows]
    caption = "; ".join(filter(None, [caption, *remarks_on(lettering)]))
    sheet, draw, top = begin_sheet(columns * (cell_px + GAP_PX) + GAP_PX, sum(heights), caption)
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            draw_sample(sheet, draw, cell, (GAP_PX + column * (cell_px + GAP_PX), top), cell_px, row)
        top += height
    return png_of(sheet)


def lay_out(
    samples: Sequence[tuple[bytes, str]], remarks: Sequence[str], lettering: Lettering
) -> tuple[list[SampleCell], int]:
    """The cells of the samples, and their width. remarks: as in `draw_sheet`."""
    pictures = [picture_of(content) for content, _ in samples]
    aspects = [picture.width / picture.height for picture in pictures] or [1.0]
    image_px = int(np.clip(IMAGE_PX[1] / np.median(aspects), *IMAGE_PX))
    cell_px = int(np.clip(np.percentile(aspects, 90) * image_px, *CELL_PX))
    if remarks:
        texts = {*remarks, *(label for _, label in samples)}
        widest_px = max(lettering.set_line(text, REMARK_PX).width_px for text in texts)
        cell_px = max(cell_px, min(widest_px, REMARKED_CELL_PX))
    cells = [
        sample_cell(picture, label, (cell_px, image_px), lettering, remark)
        for picture, (_, label), remark in zip(pictures, samples, remarks or [""] * len(samples), strict=True)
    ]
    return cells, cell_px


def remarks_on(lettering: Lettering) -> list[str]:
    """Sentences for the caption about letters that are not drawn as they should be. How fonts are installed is also
    printed."""
    remarks = [] if has_raqm() else ["letters are not joined, because this Pillow has no raqm"]
    if advice := font_advice(lettering.boxes, lettering.paths):
        if advice.command not in printed_commands:
            console.print(f"note: {advice.sentence}", markup=False, highlight=False)
            printed_commands.add(advice.command)
        remarks.append(f"boxes stand for letters that no font here has: {advice.command}")
    return remarks


def begin_sheet(width: int, content_px: int, caption: str) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A sheet with its caption and room for `content_px` below it: (sheet, what draws on it, top of the content)."""
    lines = wrapped(caption, width - 2 * GAP_PX)
    top = GAP_PX + len(lines) * CAPTION_LINE_PX + (GAP_PX if lines else 0)
    sheet = Image.new("RGB", (width, top + content_px), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((GAP_PX, GAP_PX + number * CAPTION_LINE_PX), line, FAINT, ImageFont.load_default(CAPTION_PX))
    return sheet, draw, top


def png_of(sheet: Image.Image) -> bytes:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def picture_of(content: bytes) -> Image.Image:
    """The picture in an image file, converted as the sharder does; the reason in red if it cannot be read."""
    try:
        content = read_image(content, Limits()).content
    except Rejected as error:
        picture = Image.new("RGB", REASON_PX, PAPER)
        font = ImageFont.load_default(SMALLEST_LABEL_PX)
        middle = (REASON_PX[0] / 2, REASON_PX[1] / 2)
        ImageDraw.Draw(picture).multiline_text(middle, error.reason, RED, font, anchor="mm", align="center")
        return picture
    with Image.open(io.BytesIO(content)) as image:
        return image.convert("RGB")


def sample_cell(
    picture: Image.Image, label: str, most_px: tuple[int, int], lettering: Lettering, remark: str = ""
) -> SampleCell:
    """most_px: width and height of the largest picture."""
    scale = min(most_px[0] / picture.width, most_px[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    line = lettering.fit_line(label or "no label", most_px[0], LABEL_PX, SMALLEST_LABEL_PX)
    below = lettering.fit_line(remark, most_px[0], REMARK_PX, SMALLEST_LABEL_PX) if remark else None
    return SampleCell(picture.resize(size, Image.Resampling.LANCZOS), line, INK if label else FAINT, below)


def row_height_px(row: Sequence[SampleCell]) -> int:
    pictures, above, below = row_parts_px(row)
    return pictures + GAP_PX // 2 + above + below + sum(remark_parts_px(row))


def row_parts_px(row: Sequence[SampleCell]) -> tuple[int, int, int]:
    """The height of the pictures, and that of the labels above and below their baseline."""
    pictures = max(cell.picture.height for cell in row)
    return pictures, max(-cell.line.box[1] for cell in row), max(cell.line.box[3] for cell in row)


def remark_parts_px(row: Sequence[SampleCell]) -> tuple[int, int]:
    """From the lowest label of a row to the baseline of its remarks, and their height below it; 0 if it has none."""
    boxes = [cell.remark.box for cell in row if cell.remark]
    return max((-box[1] + GAP_PX // 2 for box in boxes), default=0), max((box[3] for box in boxes), default=0)


def draw_sample(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: SampleCell,
    at: tuple[int, int],
    cell_px: int,
    row: Sequence[SampleCell],
) -> None:
    """The bottoms of a row's pictures are aligned, and so are the baselines of its labels and remarks; all are
    centred."""
    pictures, above, below = row_parts_px(row)
    left = at[0] + (cell_px - cell.picture.width) // 2
    top = at[1] + pictures - cell.picture.height
    paste_framed(sheet, draw, cell.picture, (left, top))
    baseline = at[1] + pictures + GAP_PX // 2 + above
    cell.line.draw(draw, at[0] + (cell_px - cell.line.width_px) / 2, baseline, cell.ink)
    if cell.remark:
        baseline += below + remark_parts_px(row)[0]
        cell.remark.draw(draw, at[0] + (cell_px - cell.remark.width_px) / 2, baseline, FAINT)


def paste_framed(sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, at: tuple[int, int]) -> None:
    """at: left and top of the picture; the frame is around it."""
    sheet.paste(picture, at)
    draw.rectangle((at[0] - 1, at[1] - 1, at[0] + picture.width, at[1] + picture.height), outline=LINE)


def wrapped(text: str, width_px: int) -> list[str]:
    """The words in lines of at most that many pixels."""
    font = ImageFont.load_default(CAPTION_PX)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
