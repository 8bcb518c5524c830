"""Images of any kind, as people give them, to the pixels that a model takes.

Shapes: H height, W width, C channels; levels are uint8, 255 white.
"""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from horovod_ocr.data.decoders import DamagedImageError, resize_by_pillow
from horovod_ocr.data.image import Geometry, background_of, decode_image, pad_image
from horovod_ocr.errors import SourceError
from sharding.images.convert import as_grey_or_rgb, orientation_of, upright
from sharding.images.limits import Limits, check_aspect, check_pixels
from sharding.images.read import read_bytes, read_image
from sharding.options import MOST_PIXELS
from sharding.reasons import Rejected

AnyImage = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, a picture of Pillow, or uint8 levels (H, W) or (H, W, 3)."""
KINDS = (str, os.PathLike, bytes, Image.Image, np.ndarray)  # of `AnyImage`, for isinstance
# the shards may have been made with another --max-pixels than the usual one
LIMITS = Limits(max_pixels=MOST_PIXELS)
INK_SHARE = 0.35  # of the contrast between the background and what differs most from it


@dataclass(frozen=True)
class ReadyImage:
    """An image that is ready for the model."""

    pixels_HWC: np.ndarray
    """uint8, padded to the width of its bucket."""
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
            checked = read_image(image if isinstance(image, bytes) else _bytes_at(Path(image)), limits)
            size_px = checked.width, checked.height
            levels = decode_image(checked.content, geometry, limit_px=geometry.padded_width_px(*size_px))
    except Rejected as rejected:
        raise SourceError(f"{name or 'image'}: {rejected.explained}") from rejected
    except DamagedImageError as error:
        raise SourceError(f"{name or 'image'}: damaged image ({error})") from error
    valid_width_px = levels.shape[1]
    if not geometry.is_photo:
        levels = pad_image(levels, geometry.padded_width_px(*size_px))
    return ReadyImage(levels.reshape(*levels.shape[:2], geometry.channels), valid_width_px, size_px)


def _bytes_at(path: Path) -> bytes:
    if os.path.exists(path) and not os.path.isfile(path):  # to read a pipe may wait for ever
        raise SourceError(f"{path}: not a file")
    return read_bytes(path)


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


def ink_of(image: ReadyImage) -> np.ndarray:
    """Where the columns that are not padding have ink: bool (H, W). Only of grey images."""
    levels_HW = image.pixels_HWC[:, : image.valid_width_px, 0].astype(np.int16)
    distances_HW = np.abs(levels_HW - background_of(image.pixels_HWC[:, :, 0]))
    ink_HW: np.ndarray = distances_HW > max(1, distances_HW.max() * INK_SHARE)
    return ink_HW


def box_of_columns(ink_HW: np.ndarray, start: int, stop: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the ink in some columns; all of them from top to bottom if there is none."""
    height, width = ink_HW.shape
    start, stop = min(start, width - 1), min(stop, width)
    part = ink_HW[:, start:stop]
    columns, rows = np.nonzero(part.any(0))[0], np.nonzero(part.any(1))[0]
    if not len(columns):
        return start, 0, stop, height
    return start + int(columns[0]), int(rows[0]), start + int(columns[-1]) + 1, int(rows[-1]) + 1
