"""What augmentation does to samples of a shard set: a row for each sample, a column for each change."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.augment.augment import change_image, change_photo
from horovod_ocr.data.augment.change import Change, draw_change, draw_photo_change
from horovod_ocr.data.augment.strengths import ONLY_PHOTOS, Augmentation, check_for_words
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.samples import decode_train_image, draw_samples, fetch_some
from horovod_ocr.data.splits import empty_split
from horovod_ocr.errors import ShardError
from horovod_ocr.reports.sheet import (
    CAPTION_PX,
    FAINT,
    GAP_PX,
    INK,
    SHEET_PX,
    begin_sheet,
    paste_framed,
    png_of,
)
from horovod_ocr.tasks.geometry import geometry_of
from sharding.format.index import ShardIndex
from sharding.system.files import write_whole

# Samples on the sheet. Lines are so wide that the sheet has a column for each sample, and a row for each change.
WORDS, LINES = 7, 2
MIXED = 4  # columns with all changes that are on
MOST_WORD_PX = 260
HEAD_PX = 120  # width of a change's name
# the strengths at which changes that are off are shown
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
    brightness=0.4,
    colour=0.3,
    erase=0.2,
    crop=0.3,
    flip=True,
    share=1.0,
)


class Column(NamedTuple):
    """One change."""

    head: str
    """Name of the change, "as it is", or "all on"."""
    note: str
    """Its strength."""
    shown: Augmentation | None
    """Only this change; None: the image as it is, or all changes that are on."""
    mixed: bool = False
    """Whether it shows all changes that are on."""


def draw_augmented_sheet(config: TrainConfig, path: Path, seed: int = 0) -> None:
    """Write a PNG with samples of the train split: as they are, with each change alone, and with all changes.

    A change alone has its full strength of the recipe; one that is off there has that of `SHOWN`, and its head says so.
    ShardError if there is no such split, or an image of it is damaged; ConfigError for words that are to be changed as
    only photos can be.
    """
    index = fetch_some(config.data.shards, seed, "train", config.data.cache_dir, config.data.cache_bytes)
    if not index.shards:
        raise ShardError(empty_split(index, "train"))
    strengths = config.data.augmentation if config.data.augment else Augmentation.off()
    samples = [image for image, _ in draw_samples(index, WORDS, seed)]
    geometry = geometry_of(index.kind, config.network, index.bucket_edges)
    if not geometry.is_photo:
        check_for_words(strengths)
    columns = columns_of(strengths, changes_of(geometry))
    images = [decode_train_image(encoded, geometry, index) for encoded in samples]
    lines = not geometry.is_photo and float(np.median([image.shape[1] for image in images])) > MOST_WORD_PX
    table = [
        [
            changed_image(image, geometry, column, strengths, (seed, row, position))
            for position, column in enumerate(columns)
        ]
        for row, image in enumerate(images[: LINES if lines else WORDS])
    ]
    caption = caption_of(config, index, "erase" if geometry.is_photo else "jpeg")
    sheet = draw_lines(table, columns, caption) if lines else draw_words(table, columns, caption)
    write_whole(path, png_of(sheet))


def caption_of(config: TrainConfig, index: ShardIndex, last: str) -> str:
    """last: of the changes that are made in a share of the images."""
    strengths = config.data.augmentation
    new = f"those from rotation_deg to {last} in {strengths.share:.0%} of the images"
    drawn = f"up to their strengths, {new}" if config.data.augment else "augment is false"
    recipe = f"recipe {config.recipe}" if config.recipe else "no recipe"
    samples = f"{index.counts.totals.get('train', 0):,} samples of the train split"
    return f"{recipe}, {samples}. Each change alone at the whole of its strength; all on: {drawn}."


def changes_of(geometry: Geometry) -> list[str]:
    """What images of this geometry can be changed by, in the order of the settings."""
    names = [entry.name for entry in fields(Augmentation) if entry.name != "share"]
    if not geometry.is_photo:
        return [name for name in names if name not in ONLY_PHOTOS]
    return [name for name in names if geometry.channels == 3 or name != "colour"]


def columns_of(strengths: Augmentation, changes: Sequence[str]) -> list[Column]:
    columns = [Column("as it is", "", None)]
    for name in changes:
        is_on = bool(getattr(strengths, name))
        shown = strengths if is_on else SHOWN
        value = getattr(shown, name)
        strength = "on" if value is True else f"{value:g}"
        columns.append(Column(name, strength if is_on else f"off, here {strength}", shown.only(name)))
    if any(not column.note.startswith("off") for column in columns[1:]):
        columns += [Column("all on", str(number), None, mixed=True) for number in range(1, MIXED + 1)]
    return columns


def changed_image(
    image: np.ndarray, geometry: Geometry, column: Column, strengths: Augmentation, seeds: tuple[int, int, int]
) -> Image.Image:
    """The image with one change, or with all that are on, padded to the width of its bucket."""
    rng = np.random.default_rng(seeds)
    draw = draw_photo_change if geometry.is_photo else draw_change
    change = Change()
    if column.mixed:
        change = draw(rng, strengths)
    elif column.shown:
        change = draw(rng, column.shown, strongest=True)
    if geometry.is_photo:
        return Image.fromarray(change_photo(image, change))
    height, width = image.shape
    canvas_HW, _ = change_image(image, geometry.padded_width_px(width, height), change)
    return Image.fromarray(canvas_HW)


def draw_words(table: list[list[Image.Image]], columns: list[Column], caption: str) -> Image.Image:
    """A row for each sample."""
    table = [[fitted(cell, MOST_WORD_PX) for cell in row] for row in table]
    cell_px = max(HEAD_PX, *(cell.width for row in table for cell in row))
    sheet, draw, top = begin_sheet(GAP_PX + len(columns) * (cell_px + GAP_PX), heads_px() + grid_px(table), caption)
    for position, column in enumerate(columns):
        draw_head(draw, column, (GAP_PX + position * (cell_px + GAP_PX), top))
    top += heads_px()
    for row in table:
        for position, cell in enumerate(row):
            paste_framed(sheet, draw, cell, (GAP_PX + position * (cell_px + GAP_PX), top))
        top += max(cell.height for cell in row) + GAP_PX
    return sheet


def draw_lines(table: list[list[Image.Image]], columns: list[Column], caption: str) -> Image.Image:
    """A row for each change: lines are too wide for a column each."""
    cell_px = (SHEET_PX - HEAD_PX) // len(table) - GAP_PX
    rows = [[fitted(row[position], cell_px) for row in table] for position in range(len(columns))]
    heights = [max(heads_px(), *(cell.height + GAP_PX for cell in row)) for row in rows]
    sheet, draw, top = begin_sheet(SHEET_PX + GAP_PX, sum(heights), caption)
    for row, column, height in zip(rows, columns, heights, strict=True):
        draw_head(draw, column, (GAP_PX, top))
        for position, cell in enumerate(row):
            paste_framed(sheet, draw, cell, (HEAD_PX + GAP_PX + position * (cell_px + GAP_PX), top))
        top += height
    return sheet


def draw_head(draw: ImageDraw.ImageDraw, column: Column, at: tuple[int, int]) -> None:
    font = ImageFont.load_default(CAPTION_PX)
    draw.text(at, column.head, INK, font)
    draw.text((at[0], at[1] + round(1.3 * CAPTION_PX)), column.note, FAINT, font)


def fitted(cell: Image.Image, width_px: int) -> Image.Image:
    """The picture, made smaller if it is wider than that."""
    if cell.width <= width_px:
        return cell
    return cell.resize((width_px, max(1, round(cell.height * width_px / cell.width))), Image.Resampling.LANCZOS)


def heads_px() -> int:
    """Height of a change's name and note."""
    return round(2.6 * CAPTION_PX) + GAP_PX


def grid_px(table: list[list[Image.Image]]) -> int:
    """Height of all rows."""
    return sum(max(cell.height for cell in row) + GAP_PX for row in table)
