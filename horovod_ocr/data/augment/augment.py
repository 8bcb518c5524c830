"""Random changes to a training image. Each sample has its own generator, independent of ranks and workers.

Shapes: H height, W width; grey levels are uint8, 255 is white. Only Pillow and numpy are used, so that every machine
computes the same pixels, whatever else is installed there.
"""

from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from horovod_ocr.data.augment.change import Change, draw_change
from horovod_ocr.data.augment.geometry import warp_image
from horovod_ocr.data.augment.levels import change_levels
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.image import background_of


def augment_image(
    image_HW: np.ndarray, width_px: int, rng: np.random.Generator, strengths: Augmentation
) -> tuple[np.ndarray, int]:
    """Change an image at random and place it on a canvas (H, width_px), with all of it inside.

    Returns the canvas (uint8) and its valid width: how many of its columns, from the left, are not padding.
    """
    return change_image(image_HW, width_px, draw_change(rng, strengths))


def change_image(image_HW: np.ndarray, width_px: int, change: Change) -> tuple[np.ndarray, int]:
    """Like `augment_image`, with a change that is already drawn."""
    background = background_of(image_HW)
    canvas_HW, valid_width = warp_image(image_HW, width_px, background, change.warp)
    return change_levels(canvas_HW, background, change.levels), valid_width


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
