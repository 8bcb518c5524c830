"""Random changes to a training image. Each draws from the sample's own generator, never from a rank's or a worker's.

Shapes: H height, W width; grey levels are uint8, 255 white. Pillow and numpy alone, so that every machine makes the
same pixels whatever else it has installed.
"""

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from horovod_ocr.data.augment.change import Augmentation, Change, draw_change
from horovod_ocr.data.augment.geometry import warp_image
from horovod_ocr.data.augment.levels import change_levels
from horovod_ocr.data.image import background_of

__all__ = ["Augmentation", "augment_image", "change_image", "draw_change", "sample_generator"]


def augment_image(
    image_HW: np.ndarray, width_px: int, rng: np.random.Generator, strengths: Augmentation
) -> tuple[np.ndarray, int]:
    """Put an image on a canvas (H, width_px), changed at random, all of it inside.

    Returns the canvas (uint8) and how many of its columns, from the left, the image reaches.
    """
    return change_image(image_HW, width_px, draw_change(rng, strengths))


def change_image(image_HW: np.ndarray, width_px: int, change: Change) -> tuple[np.ndarray, int]:
    """As `augment_image`, with a change that is drawn already."""
    background = background_of(image_HW)
    canvas_HW, valid_width = warp_image(image_HW, width_px, background, change)
    return change_levels(canvas_HW, background, change), valid_width


def sample_generator(seed: int, epoch: int, shard: int, row: int) -> np.random.Generator:
    """The generator of one sample in one epoch: Philox (Salmon et al. 2011), its streams told apart by key and counter.

    seed, epoch: 0 to below 2**64; shard, row: to below 2**32. No two samples, epochs or seeds share a stream.
    """
    key = SampleKey(np.array((seed, shard << 32 | row), np.uint64))
    # a stream counts in the low words of the counter, so the highest is free for the epoch
    return np.random.Generator(np.random.Philox(key, counter=epoch << 192))


class SampleKey(ISeedSequence):
    """Philox's key as it is. Hashing it (SeedSequence) costs twice the rest; `Philox(key=...)` asks the operating
    system for entropy and throws it away."""

    def __init__(self, words: np.ndarray):
        self.words = words

    def generate_state(self, n_words: int, dtype=np.uint32) -> np.ndarray:
        return self.words
