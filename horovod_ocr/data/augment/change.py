"""What happens to one image, drawn at random within the strengths."""

from typing import NamedTuple

import numpy as np

from horovod_ocr.data.augment.strengths import Augmentation

WIDEST_ERASED = 0.3  # height / width of a rectangle that noise hides; the narrowest has the inverse (Zhong et al. 2017)


class Warp(NamedTuple):
    """Where the pixels of one image move. The units are those of `Augmentation`, unless stated."""

    scale_x: float = 1.0
    """Factor."""
    scale_y: float = 1.0
    """Factor."""
    shear: float = 0.0
    """Above 0, the upper side moves to the right."""
    shift_px: float = 0.0
    """Of a word, from the left edge, at least 0; less if the image would not fit."""
    rotation_deg: float = 0.0
    """Above 0, clockwise; wide words turn by less."""
    perspective_x: float = 0.0
    """Above 0, the right side is the shorter one."""
    perspective_y: float = 0.0
    """Above 0, the lower side is the shorter one."""
    elastic: float = 0.0
    """At least 0; 0 for no elastic moves."""
    down: float = 0.0
    """How far down a word is placed: 0 to 1 of the free height."""
    elastic_position: float = 0.0
    """Where the table of elastic moves is read: 0 to 1."""


class LevelChange(NamedTuple):
    """How the levels of one image change. The units are those of `Augmentation`, unless stated."""

    thickness_px: float = 0.0
    """Above 0, strokes become thicker; below 0, thinner."""
    paper: float = 0.0
    """At least 0; 0 leaves the paper as it is."""
    blur_px: float = 0.0
    """At least 0; 0 for no blur."""
    contrast: float = 0.0
    """Above 0, levels are stretched; below 0, compressed."""
    brightness: float = 0.0
    """Above 0, levels become higher; below 0, lower. Of photos."""
    noise: float = 0.0
    """At least 0; 0 for no noise."""
    jpeg: int = 0
    """Quality, 1 to 100; 0 for no JPEG."""
    paper_position: float = 0.0
    """Where the table of paper is read: 0 to 1."""
    noise_position: float = 0.0
    """Where the table of noise is read: 0 to 1."""


class Colour(NamedTuple):
    """How the colours of one photo change."""

    saturation: float
    """Factor: 0 for grey."""
    hue_deg: float
    """A turn about the axis of greys; 120 makes red green, and green blue."""
    gains: tuple[float, float, float]
    """Factor of each channel."""


class Erasing(NamedTuple):
    """The rectangle of one photo that noise hides."""

    area: float
    """Fraction of the photo's, at most; what would be outside the photo is cut off."""
    aspect: float
    """Height / width."""
    x: float
    """Where it is, 0 to 1 of the free width."""
    y: float
    """Where it is, 0 to 1 of the free height."""
    noise_position: float
    """Where the table of noise is read: 0 to 1."""


class PhotoChange(NamedTuple):
    """What happens to a photo alone, and not to words."""

    right_px: float = 0.0
    """Above 0, the photo moves to the right."""
    down_px: float = 0.0
    """Above 0, the photo moves down."""
    crop: float = 0.0
    """Fraction of each side that is cut off."""
    crop_x: float = 0.0
    """What is kept: 0 the left end, 1 the right end."""
    crop_y: float = 0.0
    """What is kept: 0 the upper end, 1 the lower end."""
    flip: bool = False
    """Mirrored left to right, before all else."""
    colour: Colour | None = None
    """None: colours stay."""
    erasing: Erasing | None = None
    """None: nothing is hidden."""


class Change(NamedTuple):
    """What happens to one image: `Augmentation` with its random numbers drawn."""

    warp: Warp = Warp()
    """Which pixels move; it is made first."""
    levels: LevelChange = LevelChange()
    """Made after the warp, on the whole canvas."""
    photo: PhotoChange = PhotoChange()
    """What else happens, if the image is a photo."""


def draw_change(rng: np.random.Generator, strengths: Augmentation, strongest: bool = False) -> Change:
    """The change of one word.

    Every change draws its numbers whether it is on or off, so switching one on does not affect the others.
    strongest: use the full strength of each, in every image; only directions and positions are random.
    """
    s = strengths
    drawn = rng.random(25).tolist()
    hit = hits(drawn[:7], s.share, strongest)
    part = parts(drawn[7:21], strongest)
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


def draw_photo_change(rng: np.random.Generator, strengths: Augmentation, strongest: bool = False) -> Change:
    """The change of one photo. Like `draw_change`, whose numbers are drawn first."""
    s = strengths
    warp, levels, _ = draw_change(rng, s, strongest)
    drawn = rng.random(20).tolist()
    is_brighter, is_coloured, is_erased = hits(drawn[:3], s.share, strongest)
    part = parts(drawn[3:13], strongest)
    colour = Colour(
        saturation=1 + s.colour * part[4],
        hue_deg=90 * s.colour * part[5],
        gains=(1 + s.colour / 2 * part[6], 1 + s.colour / 2 * part[7], 1 + s.colour / 2 * part[8]),
    )
    erasing = Erasing(
        area=s.erase * abs(part[9]),
        aspect=WIDEST_ERASED ** (1 - 2 * drawn[13]),
        x=drawn[14],
        y=drawn[15],
        noise_position=drawn[16],
    )
    photo = PhotoChange(
        right_px=s.shift_px * part[0],
        down_px=s.shift_px * part[1],
        crop=s.crop * abs(part[2]),
        crop_x=drawn[17],
        crop_y=drawn[18],
        flip=s.flip and (strongest or drawn[19] < 0.5),
        colour=colour if s.colour and is_coloured else None,
        erasing=erasing if s.erase and is_erased else None,
    )
    return Change(warp, levels._replace(brightness=s.brightness * part[3] * is_brighter), photo)


def hits(drawn: list[float], share: float, strongest: bool) -> list[bool]:
    """For each number, whether its change is made."""
    return [strongest or number < share for number in drawn]


def parts(drawn: list[float], strongest: bool) -> list[float]:
    """For each number the part of a strength, -1 to 1; one of the two if the strongest are wanted."""
    return [1.0 if number < 0.5 else -1.0 for number in drawn] if strongest else [1 - 2 * x for x in drawn]
