"""Changes of levels, in the order in which printing and scanning cause them: stroke to JPEG.

Shapes: H height, W width. An image is (H, W), grey, or (H, W, 3), RGB.
"""

import io
import math
from functools import cache

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.change import LevelChange

MAX_VARIANCE = 2 / 3  # px²: that of three equal taps
PAPER_PX = (256, 2048)  # height and width of the paper


def change_levels(image: np.ndarray, pivot: float, change: LevelChange) -> np.ndarray:
    """uint8 in and out. Contrast changes the distance to the level `pivot`."""
    levels = image.astype(np.float32)
    if change.thickness_px:
        levels = thicken(levels, change.thickness_px)
    if change.paper:
        light_HW = 1 - np.float32(change.paper) * paper_at(change.paper_position, image.shape[:2])
        levels *= light_HW if image.ndim == 2 else light_HW[:, :, None]
    if change.blur_px:
        levels = blur(levels, change.blur_px)
    if change.contrast:
        levels *= np.float32(1 + change.contrast)
        levels -= np.float32(pivot * change.contrast)
    if change.brightness:
        levels *= np.float32(1 + change.brightness)
    if change.noise:
        levels += noise_at(change.noise_position, image.shape) * np.float32(255 * change.noise)
    levels += np.float32(0.5)  # astype truncates
    image = np.clip(levels, 0, 255, out=levels).astype(np.uint8)
    return jpeg_artefacts(image, change.jpeg) if change.jpeg else image


def thicken(levels: np.ndarray, amount: float) -> np.ndarray:
    """Dark strokes become thicker (amount > 0) or thinner by that part of a pixel on each side; float32 in and out."""
    darker = np.minimum if amount > 0 else np.maximum
    grown = levels.copy()
    darker(grown[1:], levels[:-1], out=grown[1:])
    darker(grown[:-1], levels[1:], out=grown[:-1])
    darker(grown[:, 1:], levels[:, :-1], out=grown[:, 1:])
    darker(grown[:, :-1], levels[:, 1:], out=grown[:, :-1])
    thickened: np.ndarray = levels + abs(amount) * (grown - levels)
    return thickened


def blur(levels: np.ndarray, deviation_px: float) -> np.ndarray:
    """Nearly a Gaussian of that standard deviation: repeated three-tap blurs along both axes; float32 in and out."""
    passes = math.ceil(deviation_px**2 / MAX_VARIANCE)
    for _ in range(passes):
        levels = blur_taps(levels, deviation_px**2 / passes / 2)
    return levels


def blur_taps(levels: np.ndarray, side: float) -> np.ndarray:
    """Along both axes, each pixel gives `side` (at most a third) of its level to each neighbour it has; float32."""
    share = np.float32(side)
    wide = (1 - 2 * share) * levels
    part = share * levels
    wide[1:] += part[:-1]
    wide[:-1] += part[1:]
    wide[0] += part[0]
    wide[-1] += part[-1]
    out = (1 - 2 * share) * wide
    part = share * wide
    out[:, 1:] += part[:, :-1]
    out[:, :-1] += part[:, 1:]
    out[:, 0] += part[:, 0]
    out[:, -1] += part[:, -1]
    return out


def jpeg_artefacts(image: np.ndarray, quality: int) -> np.ndarray:
    """The levels after encoding and decoding as JPEG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    with Image.open(file) as decoded:
        return np.asarray(decoded)


def noise_at(position: float, shape: tuple[int, ...]) -> np.ndarray:
    """A part of the table of noise as an image. position: where it is read, 0 to 1."""
    table, size = noise_table(), math.prod(shape)
    if size > len(table):
        return np.resize(table, shape)
    start = int(position * (len(table) - size))
    return table[start : start + size].reshape(shape)


@cache
def noise_table() -> np.ndarray:
    """A million fixed normal numbers: reading a random part of them takes a tenth of the time of drawing new ones."""
    return np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)


def paper_at(position: float, shape: tuple[int, int]) -> np.ndarray:
    """A piece of the paper, repeated if it is smaller than `shape`. position: where it is read, 0 to 1."""
    table = paper_table()
    if shape[0] > table.shape[0] or shape[1] > table.shape[1]:
        table = np.tile(table, [-(-wanted // there) for wanted, there in zip(shape, table.shape, strict=True)])
    rows, columns = (there - wanted + 1 for wanted, there in zip(shape, table.shape, strict=True))
    top, left = divmod(int(position * rows * columns), columns)
    piece: np.ndarray = table[top : top + shape[0], left : left + shape[1]]
    return piece


@cache
def paper_table() -> np.ndarray:
    """How much of its light a sheet of paper loses, 0 to 1: clouds, short fibres, grain. It tiles seamlessly."""
    rng = np.random.default_rng(0)
    height, width = PAPER_PX
    paper = np.zeros(PAPER_PX, np.float32)
    for weight, high, wide in ((0.9, 64, 64), (0.6, 16, 16), (0.25, 2, 8), (0.25, 8, 2), (0.3, 2, 2), (0.4, 1, 1)):
        spots = rng.random((height // high, width // wide), dtype=np.float32) - np.float32(0.5)
        image = Image.fromarray(np.pad(spots, 2, mode="wrap"))
        box = (2, 2, 2 + spots.shape[1], 2 + spots.shape[0])
        paper += np.float32(weight) * np.asarray(image.resize((width, height), Image.Resampling.BICUBIC, box))
    return np.clip(paper / 2 + np.float32(0.5), 0, 1)
