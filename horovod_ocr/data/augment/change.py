"""How far an image may be changed, and how far one is."""

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from horovod_ocr.errors import ConfigError

# what is left of a word beyond these is no word
MOST = {
    "scale": 0.5,
    "shear": 1.0,
    "shift_px": 1000.0,
    "contrast": 0.9,
    "noise": 0.5,
    "rotation_deg": 45.0,
    "perspective": 0.5,
    "elastic": 0.1,
    "thickness_px": 1.0,
    "blur_px": 4.0,
    "paper": 0.9,
    "jpeg": 0.95,
    "share": 1.0,
}


@dataclass(frozen=True)
class Augmentation:
    """Strengths: an image is changed by a random part of each, either way where there are two. 0 switches a change off.

    In every image:
    scale: the size changes by up to this fraction, each axis for itself. shear: horizontal, pixels a pixel of height.
    shift_px: up to this far from the left edge. contrast: grey levels are stretched or pressed by up to this fraction.
    noise: standard deviation of Gaussian noise at most, as a fraction of 255.

    In `share` of the images, each of these for itself:
    rotation_deg: wide images turn by less, so that they keep four fifths of their height. perspective: a side is
    shorter than the one across by up to this fraction. elastic: points move by up to this fraction of the height.
    thickness_px: what strokes gain or lose a side. blur_px: standard deviation of the blur. paper: the darkest spots of
    the paper lose this fraction of their light. jpeg: the quality falls from 100 by up to this fraction.

    ConfigError for a strength out of its range (`MOST`).
    """

    scale: float = 0.08
    shear: float = 0.08
    shift_px: float = 3.0
    contrast: float = 0.3
    noise: float = 0.08
    rotation_deg: float = 0.0
    perspective: float = 0.0
    elastic: float = 0.0
    thickness_px: float = 0.0
    blur_px: float = 0.0
    paper: float = 0.0
    jpeg: float = 0.0
    share: float = 0.3

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, most = getattr(self, entry.name), MOST[entry.name]
            if not 0 <= value <= most:
                raise ConfigError(f"augmentation.{entry.name} is a number from 0 to {most:g}, not {value}")

    def only(self, name: str) -> "Augmentation":
        """One change alone, in every image."""
        return Augmentation(**({entry.name: 0.0 for entry in fields(self)} | {name: getattr(self, name), "share": 1.0}))


class Change(NamedTuple):
    """What happens to one image: `Augmentation` with the dice thrown, in the same units.

    scale_x, scale_y: factors. perspective_x, perspective_y: the right, the lower side is the shorter one where > 0.
    jpeg: the quality, 0: none. The rest says where: down (0 to 1 of the room that the height leaves), and places in
    the tables of elastic, paper and noise, 0 to 1.
    """

    scale_x: float = 1.0
    scale_y: float = 1.0
    shear: float = 0.0
    shift_px: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    rotation_deg: float = 0.0
    perspective_x: float = 0.0
    perspective_y: float = 0.0
    elastic: float = 0.0
    thickness_px: float = 0.0
    blur_px: float = 0.0
    paper: float = 0.0
    jpeg: int = 0
    down: float = 0.0
    elastic_place: float = 0.0
    paper_place: float = 0.0
    noise_position: float = 0.0


def draw_change(rng: np.random.Generator, strengths: Augmentation, strongest: bool = False) -> Change:
    """The change of one image.

    Every change draws its numbers whether it is on or off: switching one on leaves the others as they were.
    strongest: the whole of each strength, in every image; only the direction and the places are left to chance.
    """
    s = strengths
    drawn = rng.random(25).tolist()
    share = 1.0 if strongest else s.share
    hit = [number < share for number in drawn[:7]]
    part = [1.0 if number < 0.5 else -1.0 for number in drawn[7:21]] if strongest else [1 - 2 * x for x in drawn[7:21]]
    return Change(
        scale_x=1 + s.scale * part[0],
        scale_y=1 + s.scale * part[1],
        shear=s.shear * part[2],
        shift_px=s.shift_px * abs(part[3]),
        contrast=s.contrast * part[4],
        noise=s.noise * abs(part[5]),
        rotation_deg=s.rotation_deg * part[6] * hit[0],
        perspective_x=s.perspective * part[7] * hit[1],
        perspective_y=s.perspective * part[8] * hit[1],
        elastic=s.elastic * abs(part[9]) * hit[2],
        thickness_px=s.thickness_px * part[10] * hit[3],
        blur_px=s.blur_px * abs(part[11]) * hit[4],
        paper=s.paper * abs(part[12]) * hit[5],
        jpeg=round(100 - 100 * s.jpeg * abs(part[13])) if s.jpeg and hit[6] else 0,
        down=drawn[21],
        elastic_place=drawn[22],
        paper_place=drawn[23],
        noise_position=drawn[24],
    )
