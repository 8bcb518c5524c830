"""How far training images may be changed. No numpy: the command line reads it."""

from dataclasses import dataclass, fields, replace
from typing import Annotated

from annotated_types import Ge, Le

from horovod_ocr.errors import ConfigError


@dataclass(frozen=True)
class WordAugmentation:
    """Strengths of the changes that words and photos know.

    What is left of a word beyond the ends of these ranges cannot be read.
    """

    scale: Annotated[float, Ge(0), Le(0.5)] = 0.08
    """In every image: the size changes by up to this fraction, each axis on its own."""
    shear: Annotated[float, Ge(0), Le(1)] = 0.08
    """In every image: horizontal, pixels per pixel of height."""
    shift_px: Annotated[float, Ge(0), Le(1000)] = 3.0
    """In every image: a word begins up to this far from the left edge; a photo moves by up to this along each axis."""
    contrast: Annotated[float, Ge(0), Le(0.9)] = 0.3
    """In every image: grey levels are stretched or compressed by up to this fraction."""
    noise: Annotated[float, Ge(0), Le(0.5)] = 0.08
    """In every image: largest standard deviation of Gaussian noise, as a fraction of 255."""
    rotation_deg: Annotated[float, Ge(0), Le(45)] = 0.0
    """In `share` of the images: wide words turn by less, so that they keep four fifths of their height."""
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
    """Fraction of the images that each of the changes that say so is made in, independently of the others."""


@dataclass(frozen=True)
class Augmentation(WordAugmentation):
    """Strengths: an image is changed by a random part of each, either way if there are two. 0 switches a change off.

    Words are placed on a canvas and stay whole. Photos, the images of classes, fill their canvas: what moves out of it
    is lost, and where nothing would be left is the photo's reflection. Only photos know the changes named here.

    Close to RandAugment (Cubuk et al. 2020, arXiv:1909.13719). That one makes a fixed number of changes in each image,
    drawn from a list, all at one strength; here `share` and a strength for each change take the place of both.
    """

    brightness: Annotated[float, Ge(0), Le(0.9)] = 0.0
    """In `share` of the photos: all levels become higher or lower by up to this fraction."""
    colour: Annotated[float, Ge(0), Le(1)] = 0.0
    """In `share` of the photos in colour: saturation changes by up to this fraction, each channel by up to half of it,
    and hue by up to this fraction of a quarter turn."""
    erase: Annotated[float, Ge(0), Le(0.5)] = 0.0
    """In `share` of the photos: noise hides a rectangle of up to this fraction of the area."""
    crop: Annotated[float, Ge(0), Le(0.9)] = 0.0
    """In every photo: a random part of it, its sides shorter by up to this fraction, fills the canvas."""
    flip: bool = False
    """Mirror half of the photos, left to right."""

    @classmethod
    def off(cls) -> "Augmentation":
        """No change at all."""
        return cls(**{entry.name: type(getattr(cls, entry.name))(0) for entry in fields(cls)})

    def only(self, name: str) -> "Augmentation":
        """One change alone, in every image."""
        return replace(self.off(), **{name: getattr(self, name), "share": 1.0})


ONLY_PHOTOS = tuple(entry.name for entry in fields(Augmentation)[len(fields(WordAugmentation)) :])


def check_for_words(strengths: Augmentation) -> None:
    """ConfigError if a change is on that words do not know."""
    if unknown := [f"augmentation.{name}" for name in ONLY_PHOTOS if getattr(strengths, name)]:
        raise ConfigError(
            f"{', '.join(unknown)}: only images of classes can be changed so, and these shards hold words; "
            "leave that out"
        )
