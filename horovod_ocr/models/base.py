"""What callers may ask of any model.

Shapes: N images, C channels (of scores: outputs), H height, W width, T frames.
"""

from typing import ClassVar

from torch import Tensor, nn


class ImageModel(nn.Module):
    """Turns images into scores.

    A model gives:
    - a constructor: `outputs`, `height`, `channels` (of the images), and options of its own, each with a name and a
      default; it raises ValueError for images that it cannot read;
    - `forward`: (N, C, H, W) floats around 0 -> unnormalised scores, fp32 or wider; N may be 0;
    - `height_step_px`.
    """

    height_step_px: ClassVar[int] = 1
    """The height of the images must be a multiple of this."""
    head_name: ClassVar[str] = "head"
    """Its last layer: an nn.Linear, and the only part whose shape depends on `outputs`."""

    def frames(self, valid_width_N: Tensor) -> Tensor | None:
        """How many frames the valid columns of each image reach into; None: it reads an image as a whole."""
        return None

    @classmethod
    def check_height(cls, height: int) -> None:
        """Raises ValueError unless the model can read images of this height (pixels)."""
        if height % cls.height_step_px:
            raise ValueError(f"height {height} is not a multiple of {cls.height_step_px}")


class FrameModel(ImageModel):
    """Reads an image as a row of frames, from left to right: scores (T, N, C) of each. C is `outputs`, the blank first;
    T is W / `frame_stride_px`."""

    frame_stride_px: ClassVar[int]
    """Pixels of width that one frame covers."""

    def frames(self, valid_width_N: Tensor) -> Tensor:
        """int64 in and out, rounded up."""
        return -(-valid_width_N // self.frame_stride_px)


class Classifier(ImageModel):
    """Reads an image as a whole: scores (N, C), C is `outputs`."""
