"""How far training images may be changed. No numpy: the command line reads it."""

from dataclasses import dataclass, fields
from typing import Annotated

from annotated_types import Ge, Le


@dataclass(frozen=True)
class Augmentation:
    """Strengths: an image is changed by a random part of each, either way if there are two. 0 switches a change off.

    What is left of a word beyond the ends of these ranges cannot be read.
    """

    scale: Annotated[float, Ge(0), Le(0.5)] = 0.08
    """In every image: the size changes by up to this fraction, each axis on its own."""
    shear: Annotated[float, Ge(0), Le(1)] = 0.08
    """In every image: horizontal, pixels per pixel of height."""
    shift_px: Annotated[float, Ge(0), Le(1000)] = 3.0
    """In every image: up to this far from the left edge."""
    contrast: Annotated[float, Ge(0), Le(0.9)] = 0.3
    """In every image: grey levels are stretched or compressed by up to this fraction."""
    noise: Annotated[float, Ge(0), Le(0.5)] = 0.08
    """In every image: largest standard deviation of Gaussian noise, as a fraction of 255."""
    rotation_deg: Annotated[float, Ge(0), Le(45)] = 0.0
    """In `share` of the images: wide images turn by less, so that they keep four fifths of their height."""
    perspective: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """In `share` of the images: one side is shorter than the opposite one by up to this fraction."""
    elastic: Annotated[float, Ge(0), Le(0.1)] = 0.0
    """In `share` of the images: points move by up to this fraction of the height."""
    thickness_px: Annotated[float, Ge(0), Le(1)] = 0.0
    """In `share` of the images: what strokes gain or lose on each side."""
    blur_px: Annotated[float, Ge(0), Le(4)] = 0.0
    """In `share` of the images: standard deviation of the blur."""
    paper: Annotated[float, Ge(0), Le(0.9)] = 0.0
    """In `share` of the images: the darkest spots of the paper lose this fraction of their light."""
    jpeg: Annotated[float, Ge(0), Le(0.95)] = 0.0
    """In `share` of the images: the quality falls from 100 by up to this fraction."""
    share: Annotated[float, Ge(0), Le(1)] = 0.3
    """Fraction of the images that each of the changes above is made in, independently of the others."""

    def only(self, name: str) -> "Augmentation":
        """One change alone, in every image."""
        return Augmentation(**({entry.name: 0.0 for entry in fields(self)} | {name: getattr(self, name), "share": 1.0}))
