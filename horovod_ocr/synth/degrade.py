"""Make a clean picture of a word look like a light scan of print: geometry, stroke, focus, paper, noise.

These are the differences between one printing and scanning of a word and the next. Training adds its own augmentation
on top (data/augment/).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.levels import blur_taps, thicken

WHITE = 255
_MIN_CONTRAST = 80  # grey levels between ink and paper that remain at any strength


@dataclass(frozen=True)
class Degradation:
    """How far each effect may go; 0 switches it off."""

    rotation_deg: float = 2.0
    """In either direction."""
    shear: float = 0.06
    """Pixels per pixel of height, in either direction."""
    scale: float = 0.08
    """0.1 stands for 0.9 to 1.1 times the size."""
    thickness: float = 0.5
    """0 to 1: part of a pixel that may be added to or removed from each side of a stroke."""
    blur: float = 0.7
    """0 to 1: weight that moves to the neighbours."""
    ink: float = 60.0
    """Grey levels by which the ink may be lighter."""
    paper: float = 45.0
    """Grey levels by which the paper may be darker."""
    noise: float = 8.0
    """Standard deviation in grey levels."""
    margin: int = 4
    """Pixels of paper around the ink, at least 1."""
    share: float = 0.6
    """Part of the images that each effect is applied to."""

    @classmethod
    def of_strength(cls, strength: float) -> "Degradation":
        """The defaults times `strength`: 0 only adds the margins, 1 is a light scan."""
        light = cls()
        return cls(
            rotation_deg=light.rotation_deg * strength,
            shear=light.shear * strength,
            scale=min(0.5, light.scale * strength),
            thickness=min(1.0, light.thickness * strength),
            blur=min(1.0, light.blur * strength),
            ink=light.ink * strength,
            paper=light.paper * strength,
            noise=light.noise * strength,
        )


def degrade(image: np.ndarray, rng: np.random.Generator, limits: Degradation) -> np.ndarray:
    """One degraded copy of `image`, uint8 (H, W) to uint8 (H', W'), drawn from `rng`.

    image: ink 0 on white 255. The canvas grows with the word and is cropped to its ink, plus 1 to `limits.margin` px of
    paper on each side, so no ink is cut off.
    """
    drawn = rng.uniform(-1, 1, 4) * (rng.random(4) < limits.share)
    drawn *= (limits.rotation_deg, limits.shear, limits.scale, limits.thickness)
    rotation, shear, scale, thickness = drawn.tolist()
    drawn = rng.random(4) * (rng.random(4) < limits.share)
    drawn *= (limits.blur, limits.ink, limits.paper, limits.noise)
    blur, ink, paper, noise = drawn.tolist()
    margins = rng.integers(1, limits.margin, 4, endpoint=True).tolist()

    image = _on_paper(image, (2, 2, 2, 2))  # for the pixels that thickness and blur add
    if rotation or shear or scale:
        image = _transform(image, rotation, shear, 1 + scale)
    grey = image.astype(np.float32)
    if thickness:
        grey = thicken(grey, thickness)
    if blur:
        grey = _blur(grey, blur)
    grey = _crop_to_ink(grey, margins)
    if ink or paper:
        ink, paper = _keep_apart(ink, paper)
        grey *= (WHITE - paper - ink) / WHITE
        grey += ink
    if noise:
        grey += rng.standard_normal(grey.shape, np.float32) * np.float32(noise)
    return np.clip(np.rint(grey), 0, WHITE).astype(np.uint8)


def _transform(image: np.ndarray, rotation_deg: float, shear: float, scale: float) -> np.ndarray:
    """Rotated, sheared and scaled around its centre, on a canvas that is at least a pixel larger on each side."""
    height, width = image.shape
    cos, sin = scale * math.cos(math.radians(rotation_deg)), scale * math.sin(math.radians(rotation_deg))
    across, down = cos * shear - sin, sin * shear + cos  # forward matrix: ((cos, across), (sin, down))
    new_width = 2 * math.ceil((abs(cos) * width + abs(across) * height) / 2 + 1)
    new_height = 2 * math.ceil((abs(sin) * width + abs(down) * height) / 2 + 1)
    area = cos * down - across * sin
    a, b, c, d = down / area, -across / area, -sin / area, cos / area  # Pillow takes the inverse
    x0 = (width - a * new_width - b * new_height) / 2
    y0 = (height - c * new_width - d * new_height) / 2
    moved = Image.fromarray(image).transform(
        (new_width, new_height),
        Image.Transform.AFFINE,
        (a, b, x0, c, d, y0),
        resample=Image.Resampling.BILINEAR,
        fillcolor=WHITE,
    )
    return np.asarray(moved)


def _blur(grey: np.ndarray, weight: float) -> np.ndarray:
    """Three-tap blur along both axes; at weight 1, a pixel keeps a third of its level. The border stays white."""
    out = blur_taps(grey, weight / 3)
    out[[0, -1]] = WHITE
    out[:, [0, -1]] = WHITE
    return out


def _crop_to_ink(grey: np.ndarray, margins: Sequence[int]) -> np.ndarray:
    """The bounding box of all pixels that are not white, with white margins (top, bottom, left, right)."""
    inked = grey < WHITE - 0.5
    rows = np.flatnonzero(inked.any(1))
    columns = np.flatnonzero(inked.any(0))
    return _on_paper(grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], margins)


def _on_paper(image: np.ndarray, margins: Sequence[int]) -> np.ndarray:
    """The picture with (top, bottom, left, right) px of white around it. np.pad would take four times as long."""
    top, bottom, left, right = margins
    height, width = image.shape
    larger = np.full((height + top + bottom, width + left + right), WHITE, image.dtype)
    larger[top : top + height, left : left + width] = image
    return larger


def _keep_apart(ink: float, paper: float) -> tuple[float, float]:
    """Ink and paper levels, both reduced if they would leave less than `_MIN_CONTRAST` between them."""
    most = WHITE - _MIN_CONTRAST
    shrink = min(1.0, most / (ink + paper))
    return ink * shrink, paper * shrink
