"""Images of any kind, as people give them, to the pixels that a model takes.

Shapes: H height, W width, C channels; levels are uint8, 255 white.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from horovod_ocr.data.decoders import DamagedImageError, resize_by_pillow
from horovod_ocr.data.image import Geometry, background_of, decode_image, pad_image
from horovod_ocr.errors import SourceError
from sharding.images.convert import as_grey_or_rgb, orientation_of, upright
from sharding.images.limits import Limits, check_aspect, check_pixels
from sharding.images.read import ImageRule, read_bytes, read_image
from sharding.options import MOST_PIXELS
from sharding.reasons import Rejected

AnyImage = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, a picture of Pillow, or uint8 levels (H, W) or (H, W, 3)."""
KINDS = (str, os.PathLike, bytes, Image.Image, np.ndarray)  # of `AnyImage`, for isinstance
# the shards may have been made with another --max-pixels than the usual one
LIMITS = Limits(max_pixels=MOST_PIXELS)
HEADER = ImageRule(check="header")
INK_SHARE = 0.35  # of the contrast between the background and what differs most from it


@dataclass(frozen=True)
class ReadyImage:
    """An image that is ready for the model."""

    pixels_HWC: np.ndarray
    """uint8, padded to the width that it is read at."""
    valid_width_px: int
    """Columns that are not padding."""
    size_px: tuple[int, int]
    """Width and height of the image as it was given, upright."""


def prepare_image(image: AnyImage, geometry: Geometry, limits: Limits = LIMITS, name: str = "") -> ReadyImage:
    """An image as the sharder and the stream would bring it to the model. SourceError if they refuse it.

    name: what the sentence of the error calls it; a path is called by itself.
    """
    if isinstance(image, str | os.PathLike):
        name = os.fspath(image)
    try:
        if isinstance(image, Image.Image | np.ndarray):
            levels, size_px = _fitted(_picture_of(image, limits), geometry)
        else:
            levels, size_px = _decoded(image if isinstance(image, bytes) else _bytes_at(Path(image)), geometry, limits)
    except Rejected as rejected:
        raise SourceError(f"{name or 'image'}: {rejected.explained}") from rejected
    valid_width_px = levels.shape[1]
    if not geometry.is_photo:
        levels = pad_image(levels, geometry.run_width_px(*size_px))
    return ReadyImage(levels.reshape(*levels.shape[:2], geometry.channels), valid_width_px, size_px)


def _bytes_at(path: Path) -> bytes:
    if os.path.exists(path) and not os.path.isfile(path):  # to read a pipe may wait for ever
        raise SourceError(f"{path}: not a file")
    return read_bytes(path)


def _decoded(content: bytes, geometry: Geometry, limits: Limits) -> tuple[np.ndarray, tuple[int, int]]:
    """Levels of the model's height, and the size before. Decoded only once: the decoder refuses what is damaged."""
    checked = read_image(content, limits, HEADER)
    size_px = checked.width, checked.height
    try:
        return decode_image(checked.content, geometry, limit_px=geometry.padded_width_px(*size_px)), size_px
    except DamagedImageError as error:
        raise Rejected("damaged image", str(error)) from error


def _picture_of(image: Image.Image | np.ndarray, limits: Limits) -> Image.Image:
    """Grey or RGB of 8 bits, upright."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.ndim == 3 and image.shape[2] not in (1, 3):
            raise SourceError(
                f"an array of {image.dtype} {image.shape} is no image; give uint8 levels (H, W) or (H, W, 3)"
            )
        check_pixels(image.shape[1], image.shape[0], limits)
        image = Image.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image)
    check_pixels(*image.size, limits)
    orientation = orientation_of(image.info.get("exif", b""))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on unusual metadata
            picture = as_grey_or_rgb(upright(image, orientation))
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:  # it may not have been loaded yet
        raise Rejected("damaged image", str(error)) from error
    check_aspect(*picture.size, limits)
    return picture


def _fitted(picture: Image.Image, geometry: Geometry) -> tuple[np.ndarray, tuple[int, int]]:
    """Levels of the model's height, and the size before; in the same way as `decode_image`."""
    mode = "L" if geometry.channels == 1 else "RGB"
    levels = resize_by_pillow(
        picture if picture.mode == mode else picture.convert(mode),
        min(geometry.scaled_width_px(*picture.size), geometry.padded_width_px(*picture.size)),
        geometry.height,
    )
    return levels, picture.size


def ink_boxes(image: ReadyImage, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """Left, top, right, bottom of the ink in some columns of a grey image; of columns without any, those columns from
    top to bottom. spans: at least one; the first column and the one after the last, not beyond the image."""
    height, width = image.pixels_HWC.shape[0], image.valid_width_px
    distances_HW = np.abs(image.pixels_HWC[:, :width, 0].astype(np.int16) - background_of(image.pixels_HWC[:, :, 0]))
    ink_HW = distances_HW > max(1, distances_HW.max() * INK_SHARE)
    has_ink_W, columns_W = ink_HW.any(0), np.arange(width)
    edges = np.array(spans).ravel()  # of the parts between two edges, every other one is a span

    def extreme(of: np.ufunc, values_W: NDArray[np.int64], without_ink: int) -> list[int]:
        values = np.append(np.where(has_ink_W, values_W, without_ink), without_ink)  # one more: an edge may be the end
        found: list[int] = of.reduceat(values, edges)[::2].tolist()
        return found

    lefts, rights = extreme(np.minimum, columns_W, width), extreme(np.maximum, columns_W + 1, 0)
    tops = extreme(np.minimum, ink_HW.argmax(0), height)
    bottoms = extreme(np.maximum, height - ink_HW[::-1].argmax(0), 0)
    boxes = zip(lefts, tops, rights, bottoms, strict=True)
    return [box if box[2] else (start, 0, stop, height) for box, (start, stop) in zip(boxes, spans, strict=True)]
