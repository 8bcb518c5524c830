"""Random changes to a training image. Each sample has its own generator, independent of ranks and workers.

Shapes: H height, W width; levels are uint8, 255 is white. Words are grey, (H, W); photos, the images of classes, are
grey or RGB, (H, W, 3). Only Pillow and numpy are used, so that every machine computes the same pixels, whatever else is
installed there.
"""

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from horovod_ocr.data.augment.change import Change, draw_change, draw_photo_change
from horovod_ocr.data.augment.geometry import warp_image
from horovod_ocr.data.augment.levels import change_levels
from horovod_ocr.data.augment.photo_geometry import warp_photo
from horovod_ocr.data.augment.photo_levels import change_colour, erase
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.image import background_of


def augment_image(
    image_HW: np.ndarray, width_px: int, rng: np.random.Generator, strengths: Augmentation
) -> tuple[np.ndarray, int]:
    """Change a word at random and place it on a canvas (H, width_px), with all of it inside.

    Returns the canvas (uint8) and its valid width: how many of its columns, from the left, are not padding.
    """
    return change_image(image_HW, width_px, draw_change(rng, strengths))


def change_image(image_HW: np.ndarray, width_px: int, change: Change) -> tuple[np.ndarray, int]:
    """Like `augment_image`, with a change that is already drawn."""
    background = background_of(image_HW)
    canvas_HW, valid_width = warp_image(image_HW, width_px, background, change.warp)
    return change_levels(canvas_HW, background, change.levels), valid_width


def augment_photo(image: np.ndarray, rng: np.random.Generator, strengths: Augmentation) -> np.ndarray:
    """Change a photo at random. It keeps its shape, and fills it."""
    return change_photo(image, draw_photo_change(rng, strengths))


def change_photo(image: np.ndarray, change: Change) -> np.ndarray:
    """Like `augment_photo`, with a change that is already drawn. Contrast is about the mean level."""
    photo = change.photo
    image = warp_photo(image, change.warp, photo)
    if photo.colour and image.ndim == 3:
        image = change_colour(image, photo.colour)
    image = change_levels(image, float(image.mean()), change.levels)
    return erase(image, photo.erasing) if photo.erasing else image


def sample_generator(seed: int, epoch: int, shard: int, row: int) -> np.random.Generator:
    """The generator of one sample in one epoch: Philox (Salmon et al. 2011), with its streams keyed by the sample.

    seed and epoch must be below 2**64, shard and row below 2**32. No two samples, epochs or seeds share a stream.
    """
    key = SampleKey(np.array((seed, shard << 32 | row), np.uint64))
    # a stream uses only the low words of the counter, so the highest one can hold the epoch
    return np.random.Generator(np.random.Philox(key, counter=epoch << 192))  # type: ignore[arg-type]


class SampleKey(ISeedSequence):
    """Gives Philox its key unchanged.

    SeedSequence would hash it, which takes twice as long as all the rest. `Philox(key=...)` would ask the operating
    system for entropy and discard it.
    """

    def __init__(self, words: np.ndarray):
        self.words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        return self.words
