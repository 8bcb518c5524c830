"""A contact sheet: images in rows, each with its label under it."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from horovod_ocr.console import console
from horovod_ocr.data.store import is_remote, open_store
from horovod_ocr.reports.lettering import Lettering, Line, how_to_get_fonts, shapes_letters
from sharding.format.idx import read_idx, read_sample, record_of
from sharding.format.index import ShardIndex, read_index
from sharding.images.limits import Limits
from sharding.images.read import read_image
from sharding.reasons import Rejected
from sharding.system.files import write_whole

MOST_IMAGES = 100
FETCHED_SHARDS = 4  # of a remote set: samples come from so many, by lot
SHEET_PX = 1600  # at most so wide
IMAGE_PX = (56, 96)  # lowest and highest; where most images are as wide as high, they may be higher
CELL_PX = (112, 760)  # narrowest and widest
LABEL_PX, SMALLEST_LABEL_PX = 24, 12
CAPTION_PX = 17
REASON_PX = (112, 64)  # what stands for an image that cannot be read
GAP_PX = 14
told: set[str] = set()  # commands that install fonts, shown to a person already
PAPER, INK, FAINT, LINE, RED = "#f6f5f1", "#1c1c1a", "#6d6d66", "#c9c8c0", "#b3261e"


class Cell(NamedTuple):
    """One sample. line: its label, or that there is none."""

    picture: Image.Image
    line: Line
    ink: str


def draw_sheet(samples: Sequence[tuple[bytes, str]], path: str | Path, columns: int = 10, caption: str = "") -> None:
    """Write a PNG with the first 100 of the samples (bytes of an image file, label). Wide images get fewer columns.

    An image that cannot be read is drawn as the reason why. OSError where the file cannot be written.
    """
    write_whole(Path(path), sheet_png(samples, columns, caption))


def draw_set_sheet(location: str | Path, path: str | Path, count: int = MOST_IMAGES, seed: int = 0) -> None:
    """The contact sheet of a finished shard set: `count` samples of all splits, drawn by lot. ShardError as
    `near_index`."""
    index = near_index(str(location), seed)
    samples = draw_samples(index, count, seed)
    draw_sheet(samples, path, caption=f"{len(samples):,} of {sum(index.counts.totals.values()):,} samples")


def near_index(location: str, seed: int = 0, split: str = "", cache_dir: str = "", cache_bytes: int = 0) -> ShardIndex:
    """The index of a shard set with those of its shards that samples can be drawn from; all, or those of a split.

    A remote set has few of them, by lot: they are fetched. The words as in `store.open_store`, which says what it
    raises.
    """
    store = open_store(location, cache_dir, cache_bytes) if is_remote(location) else None
    index = store.index if store else read_index(location)
    shards = [shard for shard in index.shards if shard.samples and split in ("", shard.split)]
    if store:
        shards = [shards[n] for n in np.random.default_rng(seed).permutation(len(shards))[:FETCHED_SHARDS]]
        for shard in shards:
            store.idx_path(shard)
            store.tar_path(shard)
    return replace(index, shards=tuple(shards))


def draw_samples(index: ShardIndex, count: int, seed: int) -> list[tuple[bytes, str]]:
    """Samples of a shard set by lot, each (bytes of its image, label or class name): two preads a sample, no more."""
    first = np.cumsum([0, *(shard.samples for shard in index.shards)])
    total = int(first[-1])
    positions = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    samples = []
    for position in positions:
        number = int(np.searchsorted(first, position, side="right")) - 1
        shard = index.shards[number]
        record = record_of(read_idx(index.idx_path(shard)), int(position - first[number]))
        with index.tar_path(shard).open("rb") as tar:
            image, raw_label = read_sample(tar, record)
        label = raw_label.decode("utf-8", "replace")
        if index.kind == "classes" and label.isdecimal() and int(label) < len(index.classes):
            label = index.classes[int(label)]
        samples.append((image, label))
    return samples


def sheet_png(samples: Sequence[tuple[bytes, str]], columns: int = 10, caption: str = "") -> bytes:
    """The contact sheet as the bytes of a PNG. As `draw_sheet`."""
    samples = samples[:MOST_IMAGES]
    pictures = [picture_of(content) for content, _ in samples]
    aspects = [picture.width / picture.height for picture in pictures] or [1.0]
    image_px = int(np.clip(IMAGE_PX[1] / np.median(aspects), *IMAGE_PX))
    cell_px = int(np.clip(np.percentile(aspects, 90) * image_px, *CELL_PX))
    columns = max(1, min(columns, SHEET_PX // (cell_px + GAP_PX), len(samples)))
    lettering = Lettering()
    cells = [
        cell_of(picture, label, (cell_px, image_px), lettering)
        for picture, (_, label) in zip(pictures, samples, strict=True)
    ]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    if not shapes_letters():
        caption += "; letters stand unjoined, because this Pillow has no raqm"
    sentence, command = how_to_get_fonts(lettering.boxes, lettering.paths)
    if sentence:
        if command not in told:  # a report has several sheets
            console.print(f"note: {sentence}", markup=False, highlight=False)
            told.add(command)
        caption += f"; boxes stand for letters that no font here has: {command}"
    captions = wrapped(caption.removeprefix("; "), columns * (cell_px + GAP_PX) - GAP_PX)
    top = GAP_PX + len(captions) * round(1.4 * CAPTION_PX) + (GAP_PX if captions else 0)
    heights = [row_height_px(row) + GAP_PX for row in rows]
    sheet = Image.new("RGB", (columns * (cell_px + GAP_PX) + GAP_PX, top + sum(heights)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(captions):
        draw.text((GAP_PX, GAP_PX + number * round(1.4 * CAPTION_PX)), line, FAINT, ImageFont.load_default(CAPTION_PX))
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            draw_cell(sheet, draw, cell, (GAP_PX + column * (cell_px + GAP_PX), top), cell_px, row)
        top += height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def picture_of(content: bytes) -> Image.Image:
    """The picture in an image file, converted as the sharder does; the reason in red where there is none."""
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


def cell_of(picture: Image.Image, label: str, most_px: tuple[int, int], lettering: Lettering) -> Cell:
    """most_px: width and height of the largest picture."""
    scale = min(most_px[0] / picture.width, most_px[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    line = lettering.fit_line(label or "no label", most_px[0], LABEL_PX, SMALLEST_LABEL_PX)
    return Cell(picture.resize(size, Image.Resampling.LANCZOS), line, INK if label else FAINT)


def row_height_px(row: Sequence[Cell]) -> int:
    pictures, above, below = row_parts_px(row)
    return pictures + GAP_PX // 2 + above + below


def row_parts_px(row: Sequence[Cell]) -> tuple[int, int, int]:
    """Height of the pictures, and of the labels above and below their baseline."""
    pictures = max(cell.picture.height for cell in row)
    return pictures, max(-cell.line.box[1] for cell in row), max(cell.line.box[3] for cell in row)


def draw_cell(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], cell_px: int, row: Sequence[Cell]
) -> None:
    """Picture at the foot of the row's pictures, label on the row's baseline, both in the middle of the cell."""
    pictures, above, _ = row_parts_px(row)
    left = at[0] + (cell_px - cell.picture.width) // 2
    top = at[1] + pictures - cell.picture.height
    sheet.paste(cell.picture, (left, top))
    draw.rectangle((left - 1, top - 1, left + cell.picture.width, top + cell.picture.height), outline=LINE)
    baseline = at[1] + pictures + GAP_PX // 2 + above
    cell.line.draw(draw, at[0] + (cell_px - cell.line.width_px) / 2, baseline, cell.ink)


def wrapped(text: str, width_px: int) -> list[str]:
    """Words in lines of at most that many pixels."""
    font, lines = ImageFont.load_default(CAPTION_PX), []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width_px:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
