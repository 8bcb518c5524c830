"""What happens to one image, drawn at random within the strengths."""

from typing import NamedTuple

import numpy as np

from horovod_ocr.data.augment.strengths import Augmentation


class Warp(NamedTuple):
    """Where the pixels of one image move. The units are those of `Augmentation`, unless stated."""

    scale_x: float = 1.0
    """Factor."""
    scale_y: float = 1.0
    """Factor."""
    shear: float = 0.0
    """Above 0, the upper side moves to the right."""
    shift_px: float = 0.0
    """From the left edge, at least 0; less if the image would not fit."""
    rotation_deg: float = 0.0
    """Above 0, clockwise; wide images turn by less."""
    perspective_x: float = 0.0
    """Above 0, the right side is the shorter one."""
    perspective_y: float = 0.0
    """Above 0, the lower side is the shorter one."""
    elastic: float = 0.0
    """At least 0; 0 for no elastic moves."""
    down: float = 0.0
    """How far down the image is placed: 0 to 1 of the free height."""
    elastic_position: float = 0.0
    """Where the table of elastic moves is read: 0 to 1."""


class LevelChange(NamedTuple):
    """How the grey levels of one image change. The units are those of `Augmentation`, unless stated."""

    thickness_px: float = 0.0
    """Above 0, strokes become thicker; below 0, thinner."""
    paper: float = 0.0
    """At least 0; 0 leaves the paper as it is."""
    blur_px: float = 0.0
    """At least 0; 0 for no blur."""
    contrast: float = 0.0
    """Above 0, grey levels are stretched; below 0, compressed."""
    noise: float = 0.0
    """At least 0; 0 for no noise."""
    jpeg: int = 0
    """Quality, 1 to 100; 0 for no JPEG."""
    paper_position: float = 0.0
    """Where the table of paper is read: 0 to 1."""
    noise_position: float = 0.0
    """Where the table of noise is read: 0 to 1."""


class Change(NamedTuple):
    """What happens to one image: `Augmentation` with its random numbers drawn."""

    warp: Warp = Warp()
    """Which pixels move; it is made first."""
    levels: LevelChange = LevelChange()
    """Made after the warp, on the whole canvas."""


def draw_change(rng: np.random.Generator, strengths: Augmentation, strongest: bool = False) -> Change:
    """The change of one image.

    Every change draws its numbers whether it is on or off, so switching one on does not affect the others.
    strongest: use the full strength of each, in every image; only directions and positions are random.
    """
    s = strengths
    drawn = rng.random(25).tolist()
    share = 1.0 if strongest else s.share
    hit = [number < share for number in drawn[:7]]
    part = [1.0 if number < 0.5 else -1.0 for number in drawn[7:21]] if strongest else [1 - 2 * x for x in drawn[7:21]]
    warp = Warp(
        scale_x=1 + s.scale * part[0],
        scale_y=1 + s.scale * part[1],
        shear=s.shear * part[2],
        shift_px=s.shift_px * abs(part[3]),
        rotation_deg=s.rotation_deg * part[6] * hit[0],
        perspective_x=s.perspective * part[7] * hit[1],
        perspective_y=s.perspective * part[8] * hit[1],
        elastic=s.elastic * abs(part[9]) * hit[2],
        down=drawn[21],
        elastic_position=drawn[22],
    )
    levels = LevelChange(
        thickness_px=s.thickness_px * part[10] * hit[3],
        paper=s.paper * abs(part[12]) * hit[5],
        blur_px=s.blur_px * abs(part[11]) * hit[4],
        contrast=s.contrast * part[4],
        noise=s.noise * abs(part[5]),
        jpeg=round(100 - 100 * s.jpeg * abs(part[13])) if s.jpeg and hit[6] else 0,
        paper_position=drawn[23],
        noise_position=drawn[24],
    )
    return Change(warp, levels)
