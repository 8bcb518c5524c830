"""Make a clean picture of a word look like a light scan of print: geometry, stroke, focus, paper, noise.

Training adds its own augmentation on top (data/augment.py); this here is what differs between one printing and
scanning of a word and the next.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

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
        """The defaults times `strength`: 0 leaves the picture as it was drawn, 1 is a light scan."""
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
            margin=light.margin if strength else 2,
        )


def degrade(image: np.ndarray, rng: np.random.Generator, limits: Degradation) -> np.ndarray:
    """One degraded printing of `image`, uint8 (H, W) to uint8 (H', W'), drawn from `rng`.

    image: ink 0 on white 255. The canvas grows with the word and is cropped to its ink plus 1 to `limits.margin` px of
    paper a side, so no ink is ever cut.
    """
    drawn = rng.uniform(-1, 1, 4) * (rng.random(4) < limits.share)
    rotation, shear, scale, thickness = (drawn * (limits.rotation_deg, limits.shear, limits.scale, limits.thickness)).tolist()
    drawn = rng.random(4) * (rng.random(4) < limits.share)
    blur, ink, paper, noise = (drawn * (limits.blur, limits.ink, limits.paper, limits.noise)).tolist()
    margins = rng.integers(1, max(limits.margin, 1), 4, endpoint=True).tolist() if limits.noise else [limits.margin] * 4

    image = np.pad(image, 2, constant_values=WHITE)  # room for what thickness and blur add
    if rotation or shear or scale:
        image = _transform(image, rotation, shear, 1 + scale)
    grey = image.astype(np.float32)
    if thickness:
        grey = _thicken(grey, thickness)
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
    angle = np.deg2rad(rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = scale * turn @ np.array([[1.0, shear], [0.0, 1.0]])
    half = np.abs(forward) @ (width / 2, height / 2)  # half the box of the four corners
    new_width, new_height = (2 * np.ceil(half + 1)).astype(int).tolist()
    back = np.linalg.inv(forward)
    x0, y0 = (width / 2, height / 2) - back @ (new_width / 2, new_height / 2)
    (a, b), (c, d) = back.tolist()
    moved = Image.fromarray(image).transform(
        (new_width, new_height),
        Image.Transform.AFFINE,
        (a, b, float(x0), c, d, float(y0)),
        resample=Image.Resampling.BILINEAR,
        fillcolor=WHITE,
    )
    return np.asarray(moved)


def _thicken(grey: np.ndarray, amount: float) -> np.ndarray:
    """Strokes thicker (amount > 0) or thinner (< 0) by that part of a pixel a side."""
    darker = np.minimum if amount > 0 else np.maximum
    grown = grey.copy()
    darker(grown[1:], grey[:-1], out=grown[1:])
    darker(grown[:-1], grey[1:], out=grown[:-1])
    darker(grown[:, 1:], grey[:, :-1], out=grown[:, 1:])
    darker(grown[:, :-1], grey[:, 1:], out=grown[:, :-1])
    return grey + abs(amount) * (grown - grey)


def _blur(grey: np.ndarray, weight: float) -> np.ndarray:
    """Three-tap blur both ways; at weight 1 each pixel keeps a third of itself in either direction."""
    side = weight / 3
    wide = (1 - 2 * side) * grey
    wide[1:] += side * grey[:-1]
    wide[:-1] += side * grey[1:]
    wide[0] += side * grey[0]
    wide[-1] += side * grey[-1]
    out = (1 - 2 * side) * wide
    out[:, 1:] += side * wide[:, :-1]
    out[:, :-1] += side * wide[:, 1:]
    out[:, 0] += side * wide[:, 0]
    out[:, -1] += side * wide[:, -1]
    return out


def _crop_to_ink(grey: np.ndarray, margins: list[int]) -> np.ndarray:
    """The box of everything that is not white, with margins (top, bottom, left, right) of white around it."""
    inked = grey < WHITE - 0.5
    rows = np.flatnonzero(inked.any(1))
    columns = np.flatnonzero(inked.any(0))
    top, bottom, left, right = margins
    ink = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = np.full((ink.shape[0] + top + bottom, ink.shape[1] + left + right), WHITE, np.float32)
    box[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return box


def _keep_apart(ink: float, paper: float) -> tuple[float, float]:
    """Ink and paper levels, both smaller where they would leave less than `_MIN_CONTRAST` between them."""
    most = WHITE - _MIN_CONTRAST
    shrink = min(1.0, most / (ink + paper))
    return ink * shrink, paper * shrink
