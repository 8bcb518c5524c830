"""Random changes to a training image. Each draws from the sample's own generator, never from a rank's or a worker's."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from horovod_ocr.data.image import background_of


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 switches a change off.

    scale: the size changes by up to this fraction, each axis for itself. shear: horizontal, pixels a pixel of height.
    shift_px: up to this far from the left edge. contrast: grey levels are stretched or pressed by up to this fraction.
    noise: standard deviation of Gaussian noise at most, as a fraction of 255.
    """

    scale: float = 0.08
    shear: float = 0.08
    shift_px: float = 3.0
    contrast: float = 0.3
    noise: float = 0.08


def augment_image(
    image_HW: np.ndarray, width_px: int, rng: np.random.Generator, strengths: Augmentation
) -> tuple[np.ndarray, int]:
    """Put an image on a canvas (H, width_px), changed at random, all of it inside.

    Returns the canvas (uint8) and how many of its columns, from the left, the image reaches.
    """
    height, width = image_HW.shape
    scale_x, scale_y = 1 + strengths.scale * rng.uniform(-1, 1, 2)
    shear = strengths.shear * rng.uniform(-1, 1)
    reach = width + abs(shear) * height
    scale_x = min(scale_x, width_px / reach)
    scale_y = min(scale_y, 1.0)
    left = min(strengths.shift_px * rng.random(), width_px - reach * scale_x)
    top = rng.random() * height * (1 - scale_y)
    # out: X = left + scale_x (x + shear (pivot - y)), Y = top + scale_y y; Pillow wants the way back
    pivot = height if shear > 0 else 0
    shear_back = shear / scale_y
    way_back = (
        1 / scale_x,
        shear_back,
        -left / scale_x - shear * pivot - shear_back * top,
        0,
        1 / scale_y,
        -top / scale_y,
    )
    background = background_of(image_HW)
    canvas = Image.fromarray(image_HW).transform(
        (width_px, height), Image.Transform.AFFINE, way_back, Image.Resampling.BILINEAR, fillcolor=background
    )
    levels = np.asarray(canvas)
    return change_levels(levels, background, rng, strengths), min(width_px, int(np.ceil(left + reach * scale_x)))


def change_levels(levels_HW, background: int, rng: np.random.Generator, strengths: Augmentation) -> np.ndarray:
    """Contrast about the background, then noise; uint8 in and out."""
    changed = levels_HW.astype(np.float32)
    if strengths.contrast:
        changed = background + (changed - background) * np.float32(1 + strengths.contrast * rng.uniform(-1, 1))
    if strengths.noise:
        table = noise_table()
        start = int(rng.integers(len(table) - changed.size)) if changed.size < len(table) else 0
        grain = np.resize(table[start : start + changed.size], changed.shape)
        changed += grain * np.float32(255 * strengths.noise * rng.random())
    return np.clip(changed, 0, 255).astype(np.uint8)


@cache
def noise_table() -> np.ndarray:
    """A million fixed normal numbers: a random stretch of them costs a tenth of drawing anew."""
    return np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)
