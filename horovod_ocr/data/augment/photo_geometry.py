"""Flip, crop, scale, shear, rotation, perspective, shift, elastic of a photo: one matrix, and one resampling pass.

Outside the photo is its reflection. Coordinates are pixels from the upper left corner: x, y in the photo, X, Y on the
canvas, which has the same size. A photo is (H, W), grey, or (H, W, 3), RGB.
"""

import math

import numpy as np

from horovod_ocr.data.augment.change import PhotoChange, Warp
from horovod_ocr.data.augment.geometry import Matrix, canvas_of, elastic_mesh


def warp_photo(image: np.ndarray, warp: Warp, photo: PhotoChange) -> np.ndarray:
    """The photo with its pixels moved, of the same shape."""
    height, width = image.shape[:2]
    to_image = matrix_to_image(width, height, warp, photo)
    # nodes move by a part of what the canvas shows of the photo, so that neighbours never swap
    warp = warp._replace(elastic=warp.elastic * (1 - photo.crop))
    xs, ys = corners_of(to_image, width, height)
    reach = warp.elastic * height
    columns = pixels_between(min(xs) - reach, max(xs) + reach, width)
    rows = pixels_between(min(ys) - reach, max(ys) + reach, height)
    image = reflected(reflected(image, rows, axis=0), columns, axis=1)
    to_image = moved(to_image, -columns.start, -rows.start)
    mesh = elastic_mesh(to_image, width, height, warp) if warp.elastic else None
    return canvas_of(image, (width, height), to_image, mesh)


def matrix_to_image(width: int, height: int, warp: Warp, photo: PhotoChange) -> Matrix:
    """The matrix from the canvas to the photo, scaled so that its last number is 1.

    It is not made by inverting one from the photo to the canvas, because the horizon of a strong perspective would be
    on the canvas.
    """
    turn = math.radians(warp.rotation_deg)
    cos, sin = math.cos(turn), math.sin(turn)
    kept_x, kept_y = (1 - photo.crop) / warp.scale_x, (1 - photo.crop) / warp.scale_y
    lean = kept_y * warp.shear
    # around the middle of the canvas: divide by 1 + g u + h v, rotate back, then shear and scale back
    a, b = kept_x * cos - lean * sin, kept_x * sin + lean * cos
    c, d = -kept_y * sin, kept_y * cos
    g, h = -warp.perspective_x / width, -warp.perspective_y / height
    middle_x = width / 2 + (photo.crop_x - 0.5) * photo.crop * width - photo.right_px
    middle_y = height / 2 + (photo.crop_y - 0.5) * photo.crop * height - photo.down_px
    if photo.flip:
        a, b, middle_x = -a, -b, width - middle_x
    rows = ((a + middle_x * g, b + middle_x * h, middle_x), (c + middle_y * g, d + middle_y * h, middle_y), (g, h, 1.0))
    last = 1 - g * width / 2 - h * height / 2
    return tuple((p / last, q / last, (r - p * width / 2 - q * height / 2) / last) for p, q, r in rows)


def moved(to_image: Matrix, right_px: float, down_px: float) -> Matrix:
    """The matrix after which x and y are that much greater."""
    (a, b, c), (d, e, f), (g, h, i) = to_image
    return (
        (a + right_px * g, b + right_px * h, c + right_px * i),
        (d + down_px * g, e + down_px * h, f + down_px * i),
        (g, h, i),
    )


def corners_of(to_image: Matrix, width: int, height: int) -> tuple[list[float], list[float]]:
    """The x and the y of the middles of the canvas's corner pixels."""
    (a, b, c), (d, e, f), (g, h, i) = to_image
    xs, ys = [], []
    for X in (0.5, width - 0.5):
        for Y in (0.5, height - 0.5):
            depth = g * X + h * Y + i
            xs.append((a * X + b * Y + c) / depth)
            ys.append((d * X + e * Y + f) / depth)
    return xs, ys


def pixels_between(lowest: float, highest: float, size: int) -> range:
    """The pixels along one side that are read between two coordinates: all of the photo if that is enough."""
    if lowest >= 0 and highest < size:
        return range(size)
    return range(math.floor(lowest) - 1, math.ceil(highest) + 1)


def reflected(image: np.ndarray, pixels: range, axis: int) -> np.ndarray:
    """These pixels along one side of an image that mirrors repeat without end."""
    size = image.shape[axis]
    if pixels == range(size):
        return image
    inside = np.arange(pixels.start, pixels.stop) % (2 * size)
    tiled: np.ndarray = image.take(np.minimum(inside, 2 * size - 1 - inside), axis)
    return tiled
