"""What callers may ask of any model that reads an image as a row of frames.

Shapes: N images.
"""

from typing import ClassVar

from torch import Tensor, nn


class FrameModel(nn.Module):
    """Turns an image into a row of frames, from left to right, and each frame into scores.

    A model gives:
    - a constructor: `outputs`, `height`, and options of its own, each with a name and a default; it raises ValueError
      for a height that it cannot read;
    - `forward`: (N, 1, H, W) floats around 0 -> (T, N, C) unnormalised scores, fp32 or wider. C is `outputs`, the blank
      first; T is W / `frame_stride_px`; N may be 0;
    - `frame_stride_px` and `height_step_px`.
    """

    frame_stride_px: ClassVar[int]
    """Pixels of width that one frame covers."""
    height_step_px: ClassVar[int]
    """The height of the images must be a multiple of this."""

    def frames(self, valid_width_N: Tensor) -> Tensor:
        """How many frames the valid columns of each image reach into: int64 in and out, rounded up."""
        return -(-valid_width_N // self.frame_stride_px)

    @classmethod
    def check_height(cls, height: int) -> None:
        """Raises ValueError unless the model can read images of this height (pixels)."""
        if height % cls.height_step_px:
            raise ValueError(f"height {height} is not a multiple of {cls.height_step_px}")
