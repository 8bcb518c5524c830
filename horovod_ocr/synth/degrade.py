"""Make a clean picture of a word look like a light scan of print: geometry, stroke, focus, paper, noise.

Training adds its own augmentation on top (data/augment.py); this here is what differs between one printing and
scanning of a word and the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.levels import blur_taps, thicken

WHITE = 255
_MIN_CONTRAST = 80  # grey levels between ink and paper that are left at any strength


@dataclass(frozen=True)
class Degradation:
    """How far each effect may go; 0 switches it off.

    rotation_deg, shear (px a px of height), scale (0.1: 0.9 to 1.1 times) and thickness (0 to 1: how much of a whole
    pixel may be added to or taken from each side of a stroke), blur (0 to 1: weight that moves to the neighbours),
    ink and paper (grey levels towards each other), noise (standard deviation in grey levels), margin (px of paper
    around the ink, at least 1).
    """

    rotation_deg: float = 2.0
    shear: float = 0.06
    scale: float = 0.08
    thickness: float = 0.5
    blur: float = 0.7
    ink: float = 60.0
    paper: float = 45.0
    noise: float = 8.0
    margin: int = 4
    share: float = 0.6  # of the images that have any one effect

    @classmethod
    def of_strength(cls, strength: float) -> "Degradation":
        """The defaults times `strength`: 0 only draws the margins, 1 is a light scan."""
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
    """One degraded printing of `image`, uint8 (H, W) to uint8 (H', W'), drawn from `rng`.

    image: ink 0 on white 255. The canvas grows with the word and is cropped to its ink plus 1 to `limits.margin` px of
    paper a side, so no ink is ever cut.
    """
    drawn = rng.uniform(-1, 1, 4) * (rng.random(4) < limits.share)
    drawn *= (limits.rotation_deg, limits.shear, limits.scale, limits.thickness)
    rotation, shear, scale, thickness = drawn.tolist()
    drawn = rng.random(4) * (rng.random(4) < limits.share)
    drawn *= (limits.blur, limits.ink, limits.paper, limits.noise)
    blur, ink, paper, noise = drawn.tolist()
    margins = rng.integers(1, limits.margin, 4, endpoint=True).tolist()

    image = _on_paper(image, (2, 2, 2, 2))  # room for what thickness and blur add
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
    """Rotated, sheared and scaled about its centre, on a canvas that holds all of it and a pixel more a side."""
    height, width = image.shape
    cos, sin = scale * math.cos(math.radians(rotation_deg)), scale * math.sin(math.radians(rotation_deg))
    across, down = cos * shear - sin, sin * shear + cos  # forward matrix: ((cos, across), (sin, down))
    new_width = 2 * math.ceil((abs(cos) * width + abs(across) * height) / 2 + 1)
    new_height = 2 * math.ceil((abs(sin) * width + abs(down) * height) / 2 + 1)
    area = cos * down - across * sin
    a, b, c, d = down / area, -across / area, -sin / area, cos / area  # PIL wants the way back
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
    """Three-tap blur both ways; at weight 1 a pixel keeps a third of itself either way. The border stays white."""
    out = blur_taps(grey, weight / 3)
    out[[0, -1]] = WHITE
    out[:, [0, -1]] = WHITE
    return out


def _crop_to_ink(grey: np.ndarray, margins: Sequence[int]) -> np.ndarray:
    """The box of everything that is not white, with margins (top, bottom, left, right) of white around it."""
    inked = grey < WHITE - 0.5
    rows = np.flatnonzero(inked.any(1))
    columns = np.flatnonzero(inked.any(0))
    return _on_paper(grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], margins)


def _on_paper(image: np.ndarray, margins: Sequence[int]) -> np.ndarray:
    """The picture with (top, bottom, left, right) px of white around it; np.pad takes four times as long."""
    top, bottom, left, right = margins
    height, width = image.shape
    larger = np.full((height + top + bottom, width + left + right), WHITE, image.dtype)
    larger[top : top + height, left : left + width] = image
    return larger


def _keep_apart(ink: float, paper: float) -> tuple[float, float]:
    """Ink and paper levels, both smaller where they would leave less than `_MIN_CONTRAST` between them."""
    most = WHITE - _MIN_CONTRAST
    shrink = min(1.0, most / (ink + paper))
    return ink * shrink, paper * shrink
