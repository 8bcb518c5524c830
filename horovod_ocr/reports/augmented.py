"""What augmentation does to the samples of a shard set: one row a sample, one column a change."""

import io
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.augment import augment_image, change_image, draw_change
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.decoders import DamagedImageError
from horovod_ocr.data.image import Geometry, decode_image, pad_image
from horovod_ocr.data.splits import empty_split
from horovod_ocr.errors import ShardError
from horovod_ocr.reports.sheet import (
    CAPTION_PX,
    FAINT,
    GAP_PX,
    INK,
    LINE,
    PAPER,
    SHEET_PX,
    draw_samples,
    near_index,
    wrapped,
)
from sharding.format.index import ShardIndex
from sharding.system.files import write_whole

WORDS, LINES = 7, 2  # samples shown: lines are so wide that they stand side by side, the changes below each other
MIXED = 4  # columns with all that is on
MOST_WORD_PX = 260
HEAD_PX = 120  # width of a change's name
WIDEST_PX = 1 << 14  # at the trained height; the sharder lets no image be wider
OFF = Augmentation(**{entry.name: 0.0 for entry in fields(Augmentation)})
# what a change that is off is shown at
SHOWN = Augmentation(
    scale=0.1,
    shear=0.15,
    shift_px=6.0,
    contrast=0.4,
    noise=0.08,
    rotation_deg=4.0,
    perspective=0.15,
    elastic=0.06,
    thickness_px=0.6,
    blur_px=1.0,
    paper=0.3,
    jpeg=0.85,
    share=1.0,
)


class Column(NamedTuple):
    """One change. shown: its strength alone; None: the image as it is, or all that is on (mixed)."""

    head: str
    note: str
    shown: Augmentation | None
    mixed: bool = False


def draw_augmented_sheet(config: TrainConfig, path: Path, seed: int = 0) -> None:
    """Write a PNG with samples of the train split: as they are, changed in each way alone, changed in all ways.

    A change alone is drawn at the whole of its strength in the recipe; one that is off there at `SHOWN`, and named so.
    ShardError where there is no such split, or an image of it is damaged.
    """
    index = near_index(config.data.shards, seed, "train", config.data.cache_dir, config.data.cache_bytes)
    if not index.shards:
        raise ShardError(empty_split(index, "train"))
    strengths = config.data.augmentation if config.data.augment else OFF
    columns = columns_of(strengths)
    samples = [image for image, _ in draw_samples(index, WORDS, seed)]
    geometry = Geometry(config.height, index.bucket_edges)
    images = [decode_sample(encoded, geometry, index) for encoded in samples]
    lines = float(np.median([image_HW.shape[1] for image_HW in images])) > MOST_WORD_PX
    table = [
        [
            cell_of(image_HW, geometry, column, strengths, (seed, row, position))
            for position, column in enumerate(columns)
        ]
        for row, image_HW in enumerate(images[: LINES if lines else WORDS])
    ]
    caption = caption_of(config, index)
    sheet = draw_lines(table, columns, caption) if lines else draw_words(table, columns, caption)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    write_whole(path, file.getvalue())


def decode_sample(encoded: bytes, geometry: Geometry, index: ShardIndex) -> np.ndarray:
    try:
        return decode_image(encoded, geometry, limit_px=WIDEST_PX)
    except DamagedImageError as error:
        raise ShardError(f"{index.root}: a train image does not decode ({error}); run: horovod-ocr verify") from error


def caption_of(config: TrainConfig, index: ShardIndex) -> str:
    strengths = config.data.augmentation
    new = f"those from rotation_deg on in {strengths.share:.0%} of the images"
    drawn = f"up to their strengths, {new}" if config.data.augment else "augment is false"
    recipe = f"recipe {config.recipe}" if config.recipe else "no recipe"
    return (
        f"{recipe}, {index.counts.totals.get('train', 0):,} samples of the train split. Each change alone at the whole of "
        f"its strength; all on: {drawn}."
    )


def columns_of(strengths: Augmentation) -> list[Column]:
    columns = [Column("as it is", "", None)]
    for entry in fields(Augmentation):
        if entry.name == "share":
            continue
        value = getattr(strengths, entry.name)
        shown = strengths if value else SHOWN
        strength = f"{getattr(shown, entry.name):g}"
        columns.append(Column(entry.name, strength if value else f"off, here {strength}", shown.only(entry.name)))
    if any(not column.note.startswith("off") for column in columns[1:]):
        columns += [Column("all on", str(number), None, mixed=True) for number in range(1, MIXED + 1)]
    return columns


def cell_of(
    image_HW: np.ndarray, geometry: Geometry, column: Column, strengths: Augmentation, seeds: tuple[int, int, int]
) -> Image.Image:
    """One image changed in one way, on the canvas of its class."""
    height, width = image_HW.shape
    width_px = geometry.padded_width_px(width, height)
    rng = np.random.default_rng(seeds)
    if column.mixed:
        canvas_HW, _ = augment_image(image_HW, width_px, rng, strengths)
    elif column.shown:
        canvas_HW, _ = change_image(image_HW, width_px, draw_change(rng, column.shown, strongest=True))
    else:
        canvas_HW = pad_image(image_HW, width_px)
    return Image.fromarray(canvas_HW)


def draw_words(table: list[list[Image.Image]], columns: list[Column], caption: str) -> Image.Image:
    """One row a sample."""
    table = [[fitted(cell, MOST_WORD_PX) for cell in row] for row in table]
    cell_px = max(HEAD_PX, *(cell.width for row in table for cell in row))
    sheet, draw, top = begin_sheet(GAP_PX + len(columns) * (cell_px + GAP_PX), heads_px() + grid_px(table), caption)
    for position, column in enumerate(columns):
        draw_head(draw, column, (GAP_PX + position * (cell_px + GAP_PX), top))
    top += heads_px()
    for row in table:
        for position, cell in enumerate(row):
            draw_cell(sheet, draw, cell, (GAP_PX + position * (cell_px + GAP_PX), top))
        top += max(cell.height for cell in row) + GAP_PX
    return sheet


def draw_lines(table: list[list[Image.Image]], columns: list[Column], caption: str) -> Image.Image:
    """One row a change: lines are too wide to stand beside each other."""
    cell_px = (SHEET_PX - HEAD_PX) // len(table) - GAP_PX
    rows = [[fitted(row[position], cell_px) for row in table] for position in range(len(columns))]
    heights = [max(heads_px(), *(cell.height + GAP_PX for cell in row)) for row in rows]
    sheet, draw, top = begin_sheet(SHEET_PX + GAP_PX, sum(heights), caption)
    for row, column, height in zip(rows, columns, heights, strict=True):
        draw_head(draw, column, (GAP_PX, top))
        for position, cell in enumerate(row):
            draw_cell(sheet, draw, cell, (HEAD_PX + GAP_PX + position * (cell_px + GAP_PX), top))
        top += height
    return sheet


def begin_sheet(width: int, content_px: int, caption: str) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A sheet with its caption, and where the rest begins."""
    font, captions = ImageFont.load_default(CAPTION_PX), wrapped(caption, width - 2 * GAP_PX)
    line_px = round(1.4 * CAPTION_PX)
    top = 2 * GAP_PX + len(captions) * line_px
    sheet = Image.new("RGB", (width, top + content_px), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(captions):
        draw.text((GAP_PX, GAP_PX + number * line_px), line, FAINT, font)
    return sheet, draw, top


def draw_head(draw: ImageDraw.ImageDraw, column: Column, at: tuple[int, int]) -> None:
    font = ImageFont.load_default(CAPTION_PX)
    draw.text(at, column.head, INK, font)
    draw.text((at[0], at[1] + round(1.3 * CAPTION_PX)), column.note, FAINT, font)


def draw_cell(sheet: Image.Image, draw: ImageDraw.ImageDraw, cell: Image.Image, at: tuple[int, int]) -> None:
    sheet.paste(cell, at)
    draw.rectangle((at[0] - 1, at[1] - 1, at[0] + cell.width, at[1] + cell.height), outline=LINE)


def fitted(cell: Image.Image, width_px: int) -> Image.Image:
    """The picture, smaller where it is wider than that."""
    if cell.width <= width_px:
        return cell
    return cell.resize((width_px, max(1, round(cell.height * width_px / cell.width))), Image.Resampling.LANCZOS)


def heads_px() -> int:
    return round(2.6 * CAPTION_PX) + GAP_PX


def grid_px(table: list[list[Image.Image]]) -> int:
    return sum(max(cell.height for cell in row) + GAP_PX for row in table)
