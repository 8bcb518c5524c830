"""What an image and its label must keep to."""

from dataclasses import dataclass

from sharding.format.frames import Frames
from sharding.reasons import Rejected


@dataclass(frozen=True)
class Limits:
    """What an image and its label must keep to."""

    frames: Frames = Frames()
    """The geometry that says whether a label fits its image."""
    max_pixels: int = 16_000_000
    """Width times height; to convert an image takes up to 12 bytes for each."""
    max_aspect: float = 64.0
    """Width / height; 64 is 4,096 px at a height of 64."""
    max_label: int = 0
    """Letters of a normalised label; 0: no limit."""


def check_pixels(width: int, height: int, limits: Limits) -> None:
    """Rejected if an image of this size (px) has no pixels or too many."""
    if width < 1 or height < 1:
        raise Rejected("damaged image", f"{width} x {height} px")
    if width * height > limits.max_pixels:
        raise Rejected("too many pixels", f"{width} x {height} px; at most {limits.max_pixels:,} in all (--max-pixels)")


def check_aspect(width: int, height: int, limits: Limits) -> None:
    """Rejected if an image of this size (px) is too wide for its height."""
    if width > limits.max_aspect * height:
        raise Rejected("too wide", f"{width} x {height} px; at most {limits.max_aspect:g} times its height")
