"""Changes of levels that only photos know: colour, and a hidden rectangle.

A photo is (H, W), grey, or (H, W, 3), RGB; levels are uint8.
"""

import math

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.change import Colour, Erasing
from horovod_ocr.data.augment.levels import noise_at


def change_colour(image_HWC: np.ndarray, colour: Colour) -> np.ndarray:
    """The photo with other colours. Without gains, greys stay what they are."""
    (a, b, c), (d, e, f), (g, h, i) = colour_matrix(colour)
    return np.asarray(Image.fromarray(image_HWC).convert("RGB", (a, b, c, 0, d, e, f, 0, g, h, i, 0)))


def colour_matrix(colour: Colour) -> tuple[tuple[float, float, float], ...]:
    """From RGB to RGB: the distance to the axis of greys is multiplied, and turned about it (Haeberli 1993, Matrix
    Operations for Image Processing); then the gains."""
    turn = math.radians(colour.hue_deg)
    along, across = colour.saturation * math.cos(turn) / 3, colour.saturation * math.sin(turn) / math.sqrt(3)
    same, before, after = 1 / 3 + 2 * along, 1 / 3 - along + across, 1 / 3 - along - across
    rows = ((same, after, before), (before, same, after), (after, before, same))
    return tuple((gain * p, gain * q, gain * r) for gain, (p, q, r) in zip(colour.gains, rows, strict=True))


def erase(image: np.ndarray, erasing: Erasing) -> np.ndarray:
    """The photo with noise in a rectangle (random erasing, Zhong et al. 2017, arXiv:1708.04896)."""
    height, width = image.shape[:2]
    area_px = erasing.area * height * width
    high = min(height, int(math.sqrt(area_px * erasing.aspect)))
    wide = min(width, int(math.sqrt(area_px / erasing.aspect)))
    top, left = int(erasing.y * (height - high + 1)), int(erasing.x * (width - wide + 1))
    noise = noise_at(erasing.noise_position, (high, wide, *image.shape[2:]))
    erased = image.copy()
    erased[top : top + high, left : left + wide] = np.clip(128 + 64 * noise, 0, 255)
    return erased
