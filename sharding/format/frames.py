"""How many frames a CTC model sees of an image, and how many it needs to spell a text."""

import math
from dataclasses import dataclass

MOST_PX = 10_000  # the highest or widest image, and frame, that settings and files may ask for


@dataclass(frozen=True)
class Frames:
    """The geometry by which the labels of a set were checked against their images."""

    height_px: int = 64
    """Images are scaled to this height."""
    frame_px: int = 4
    """Width of a frame, in pixels of the scaled image."""

    def count(self, width: int, height: int) -> int:
        """The frames of an image of this size (px)."""
        return math.ceil(self.height_px * width / height / self.frame_px)


def frames_needed(text: str) -> int:
    """The fewest frames in which CTC can spell a text (in reading order): its length, plus a blank between equal
    neighbours."""
    return len(text) + sum(one == other for one, other in zip(text, text[1:], strict=False))
