"""Encoded image to pixels of the model's size. Training, evaluation and prediction all use this file. No torch.

Shapes: N images, H height, W width, C channels; levels are uint8, 255 white. A grey image is (H, W), one in colour
(H, W, 3).
"""

import bisect
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from horovod_ocr.data.decoders import PILLOW, Decoder
from sharding.format.frames import MOST_PX

WIDTH_STEP_PX = 8  # widths are multiples of this, hence of any model's frame stride
RUN_STEP_PX = 32  # narrower padding costs accuracy: the LSTM is used to some


@dataclass(frozen=True)
class Geometry:
    """The size every image is brought to: one height, and one width for each bucket or for all images."""

    height: int
    """Pixels."""
    bucket_edges: tuple[float, ...]
    """The upper width / height of each bucket, ascending; from the shard index."""
    width: int | None = None
    """Pixels: every image is stretched to this width. None: an image keeps its aspect, and is padded to the width of
    its bucket."""
    channels: int = 1
    """Of an image: 1, grey, or 3, RGB."""

    @property
    def is_photo(self) -> bool:
        """Whether images are photos, which are stretched to one width; words are padded."""
        return self.width is not None

    def width_px(self, bucket: int) -> int:
        """The width of all samples of a bucket, with padding."""
        return self.width or self.round_up(self.bucket_edges[bucket] * self.height)

    def padded_width_px(self, width_px: int, height_px: int) -> int:
        """The width of an image of this size, with padding: its bucket's, or its own if it is wider than all
        buckets."""
        if self.width:
            return self.width
        bucket = bisect.bisect_left(self.bucket_edges, width_px / height_px)
        if bucket < len(self.bucket_edges):
            return self.width_px(bucket)
        return self.round_up(self.scaled_width_px(width_px, height_px))

    def run_width_px(self, width_px: int, height_px: int) -> int:
        """The width at which an image of this size is read by an exported model, with padding: that of its bucket, but
        what is beyond the next multiple of RUN_STEP_PX is left out. It takes time, and hardly changes a reading."""
        if self.width:
            return self.width
        steps = math.ceil(self.scaled_width_px(width_px, height_px) / RUN_STEP_PX)
        return min(self.padded_width_px(width_px, height_px), steps * RUN_STEP_PX)

    def scaled_width_px(self, width_px: int, height_px: int) -> int:
        """The width of an image of this size, brought to the height of the geometry."""
        return self.width or max(1, round(width_px * self.height / height_px))

    @staticmethod
    def round_up(width_px: float) -> int:
        """The next multiple of WIDTH_STEP_PX."""
        return max(WIDTH_STEP_PX, math.ceil(width_px / WIDTH_STEP_PX - 1e-9) * WIDTH_STEP_PX)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Geometry":
        """From `to_dict`. LookupError, TypeError or ValueError if the values are not those of a geometry."""
        edges = tuple(float(edge) for edge in values["bucket_edges"])
        geometry = cls(values["height"], edges, values.get("width"), values.get("channels", 1))
        sizes = [geometry.height, *([] if geometry.width is None else [geometry.width])]
        if not all(type(size) is int and 0 < size <= MOST_PX for size in sizes):
            raise ValueError("height and width are whole numbers of pixels")
        if not all(0 < edge <= MOST_PX for edge in edges) or geometry.channels not in (1, 3):
            raise ValueError("bucket_edges are widths / heights, and channels 1 or 3")
        return geometry


def decode_image(
    encoded: bytes | memoryview, geometry: Geometry, limit_px: int, decode: Decoder = PILLOW
) -> np.ndarray:
    """Bytes of a checked image (of `sharding.images.read`: grey or RGB, upright) to levels (geometry.height, w), or
    (geometry.height, w, 3) of a geometry in colour.

    Unless the geometry has a width, the aspect is kept, but w is at most `limit_px`.

    Raises:
        DamagedImageError: the bytes do not decode to the end.
    """
    height = geometry.height
    return decode(
        encoded, lambda wide, high: (min(geometry.scaled_width_px(wide, high), limit_px), height), geometry.channels
    )


def background_of(image_HW: np.ndarray) -> int:
    """The grey level to pad with: the median of the right edge, which the padding touches."""
    edge = image_HW[:, -1].copy()
    edge.sort()  # np.median gives the same in 11 us; this takes 2
    middle = len(edge) // 2
    return int(edge[middle]) if len(edge) % 2 else (int(edge[middle - 1]) + int(edge[middle])) // 2


def pad_image(image_HW: np.ndarray, width_px: int) -> np.ndarray:
    """A new array of this width: the image on the left, and its own background to the right of it."""
    height, width = image_HW.shape
    padded_HW = np.full((height, width_px), background_of(image_HW), np.uint8)
    padded_HW[:, :width] = image_HW
    return padded_HW


def pad_images(images_NHW: np.ndarray, valid_width_N: np.ndarray) -> None:
    """Pad each image of a batch in place with its own background, like `pad_image`.

    valid_width_N: columns of each image that are not padding, from the left.
    """
    edges_NH = images_NHW[np.arange(len(images_NHW)), :, valid_width_N - 1]
    edges_NH.sort(axis=1)
    height = edges_NH.shape[1]
    middles = edges_NH[:, (height - 1) // 2 : height // 2 + 1]  # one, or of an even number two
    backgrounds = middles.mean(axis=1).astype(np.uint8).tolist()
    for image_HW, valid_width, background in zip(images_NHW, valid_width_N.tolist(), backgrounds, strict=True):
        image_HW[:, valid_width:] = background
