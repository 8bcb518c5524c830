"""Stroke, paper, focus, contrast, noise, JPEG: grey levels, in the order in which the world changes them."""

import io
import math
from functools import cache

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.change import Change

MOST_VARIANCE = 2 / 3  # px²: of three equal taps
PAPER_PX = (256, 2048)  # height and width of the paper


def change_levels(levels_HW: np.ndarray, background: int, change: Change) -> np.ndarray:
    """uint8 in and out; contrast is about the background."""
    grey = levels_HW.astype(np.float32)
    if change.thickness_px:
        grey = thicken(grey, change.thickness_px)
    if change.paper:
        grey *= 1 - np.float32(change.paper) * paper_at(change.paper_place, grey.shape)
    if change.blur_px:
        grey = blur(grey, change.blur_px)
    if change.contrast:
        grey *= np.float32(1 + change.contrast)
        grey -= np.float32(background * change.contrast)
    if change.noise:
        grey += noise_at(change.noise_position, grey.shape) * np.float32(255 * change.noise)
    grey += np.float32(0.5)  # what follows cuts the fraction off
    levels_HW = np.clip(grey, 0, 255, out=grey).astype(np.uint8)
    return jpeg_artefacts(levels_HW, change.jpeg) if change.jpeg else levels_HW


def thicken(grey: np.ndarray, amount: float) -> np.ndarray:
    """Dark strokes thicker (amount > 0) or thinner (< 0) by that part of a pixel a side; float32 in and out."""
    darker = np.minimum if amount > 0 else np.maximum
    grown = grey.copy()
    darker(grown[1:], grey[:-1], out=grown[1:])
    darker(grown[:-1], grey[1:], out=grown[:-1])
    darker(grown[:, 1:], grey[:, :-1], out=grown[:, 1:])
    darker(grown[:, :-1], grey[:, 1:], out=grown[:, :-1])
    return grey + abs(amount) * (grown - grey)


def blur(grey: np.ndarray, deviation_px: float) -> np.ndarray:
    """About a Gaussian of that standard deviation: three taps both ways, as often as it takes; float32 in and out."""
    passes = math.ceil(deviation_px**2 / MOST_VARIANCE)
    for _ in range(passes):
        grey = blur_taps(grey, deviation_px**2 / passes / 2)
    return grey


def blur_taps(grey: np.ndarray, side: float) -> np.ndarray:
    """Each pixel gives `side` (at most a third) of itself to each neighbour, both ways; one at the border keeps it."""
    side = np.float32(side)
    wide = (1 - 2 * side) * grey
    part = side * grey
    wide[1:] += part[:-1]
    wide[:-1] += part[1:]
    wide[0] += part[0]
    wide[-1] += part[-1]
    out = (1 - 2 * side) * wide
    part = side * wide
    out[:, 1:] += part[:, :-1]
    out[:, :-1] += part[:, 1:]
    out[:, 0] += part[:, 0]
    out[:, -1] += part[:, -1]
    return out


def jpeg_artefacts(levels_HW: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(levels_HW).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.asarray(image)


def noise_at(position: float, shape: tuple[int, int]) -> np.ndarray:
    """A stretch of the table of noise, place 0 to 1, as an image."""
    table, size = noise_table(), shape[0] * shape[1]
    if size > len(table):
        return np.resize(table, shape)
    start = int(position * (len(table) - size))
    return table[start : start + size].reshape(shape)


@cache
def noise_table() -> np.ndarray:
    """A million fixed normal numbers: a random stretch of them costs a tenth of drawing anew."""
    return np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)


def paper_at(position: float, shape: tuple[int, int]) -> np.ndarray:
    """A piece of the paper, place 0 to 1; for a larger one it repeats itself."""
    table = paper_table()
    if shape[0] > table.shape[0] or shape[1] > table.shape[1]:
        table = np.tile(table, [-(-wanted // there) for wanted, there in zip(shape, table.shape, strict=True)])
    rows, columns = (there - wanted + 1 for wanted, there in zip(shape, table.shape, strict=True))
    top, left = divmod(int(position * rows * columns), columns)
    return table[top : top + shape[0], left : left + shape[1]]


@cache
def paper_table() -> np.ndarray:
    """How much of its light a sheet of paper loses, 0 to 1: clouds, short fibres, grain. Its edges fit each other."""
    rng = np.random.default_rng(0)
    height, width = PAPER_PX
    paper = np.zeros(PAPER_PX, np.float32)
    for weight, high, wide in ((0.9, 64, 64), (0.6, 16, 16), (0.25, 2, 8), (0.25, 8, 2), (0.3, 2, 2), (0.4, 1, 1)):
        spots = rng.random((height // high, width // wide), dtype=np.float32) - np.float32(0.5)
        image = Image.fromarray(np.pad(spots, 2, mode="wrap"))
        box = (2, 2, 2 + spots.shape[1], 2 + spots.shape[0])
        paper += np.float32(weight) * np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box))
    return np.clip(paper / 2 + np.float32(0.5), 0, 1)
