"""Scale, shear, rotation, perspective, shift, elastic of a word: one 3 x 3 matrix, and one resampling pass over it.

Coordinates are pixels from the upper left corner: x, y in the image, X, Y on the canvas.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.change import Warp

MIN_HEIGHT = 0.8  # fraction of its height that a rotated image keeps
CELLS = 3  # of the elastic grid, from top to bottom
Matrix = tuple[tuple[float, float, float], ...]
Quad = tuple[tuple[int, int, int, int], tuple[float, ...]]  # a rectangle of the canvas, and its corners in the image


def warp_image(image_HW: np.ndarray, width_px: int, background: int, warp: Warp) -> tuple[np.ndarray, int]:
    """The image on a canvas (H, width_px) of its background, with all of it inside; and its valid width there."""
    height, width = image_HW.shape
    to_canvas, right = matrix_to_canvas(width, height, width_px, warp)
    to_image = inverse_of(to_canvas)
    valid_width = max(1, min(width_px, math.ceil(right - 1e-6)))
    mesh = elastic_mesh(to_image, valid_width, height, warp) if warp.elastic else None
    return canvas_of(image_HW, (width_px, height), to_image, mesh, background), valid_width


def canvas_of(
    image: np.ndarray, size_px: tuple[int, int], to_image: Matrix, mesh: list[Quad] | None, background: int = 0
) -> np.ndarray:
    """A canvas of an image, bilinear. What is outside the image has the level `background`.

    size_px: width and height of the canvas.
    mesh: where each part of the canvas is in the image; None: where `to_image` says.
    """
    data: Sequence[Any]
    if mesh:
        method, data = Image.Transform.MESH, mesh
    elif to_image[2][0] or to_image[2][1]:
        method, data = Image.Transform.PERSPECTIVE, (*to_image[0], *to_image[1], *to_image[2][:2])
    else:
        method, data = Image.Transform.AFFINE, (*to_image[0], *to_image[1])
    canvas = Image.fromarray(image).transform(size_px, method, data, Image.Resampling.BILINEAR, fillcolor=background)
    return np.asarray(canvas)


def matrix_to_canvas(width: int, height: int, width_px: int, warp: Warp) -> tuple[Matrix, float]:
    """The matrix from the image to the canvas, and the X at which the image ends there.

    If the image's corners span more than the height of the canvas, both axes shrink; if they span more than its width,
    the width shrinks.
    """
    turn = math.radians(warp.rotation_deg)
    if turn:
        most = math.asin(min(1.0, height / width * (1 / MIN_HEIGHT - 1)))
        turn = max(-most, min(most, turn))
    cos, sin = math.cos(turn), math.sin(turn)
    scale_x, scale_y = warp.scale_x, min(1.0, warp.scale_y)
    lean = -scale_x * warp.shear
    # around the middle of the image: scale and shear, then rotate; the perspective divides by 1 + g u + h v
    a, b = cos * scale_x, cos * lean - sin * scale_y
    c, d = sin * scale_x, sin * lean + cos * scale_y
    g, h = warp.perspective_x / width, warp.perspective_y / height
    xs, ys = [], []
    for u, v in ((-width, -height), (width, -height), (-width, height), (width, height)):
        depth = 2 + g * u + h * v
        xs.append((a * u + b * v) / depth)
        ys.append((c * u + d * v) / depth)
    shrink = min(1.0, height / (max(ys) - min(ys)))
    shrink_x = min(shrink, width_px / (max(xs) - min(xs)))
    a, b, c, d = a * shrink_x, b * shrink_x, c * shrink, d * shrink
    box_width, box_height = shrink_x * (max(xs) - min(xs)), shrink * (max(ys) - min(ys))
    left = min(warp.shift_px, width_px - box_width)
    middle_x = left - shrink_x * min(xs)
    middle_y = warp.down * (height - box_height) - shrink * min(ys)
    rows = ((a + middle_x * g, b + middle_x * h, middle_x), (c + middle_y * g, d + middle_y * h, middle_y), (g, h, 1.0))
    return tuple((p, q, r - p * width / 2 - q * height / 2) for p, q, r in rows), left + box_width


def inverse_of(matrix: Matrix) -> Matrix:
    """The inverse, scaled so that its last number is 1.

    Written out, because linear algebra libraries round differently on different processors.
    """
    (a, b, c), (d, e, f), (g, h, i) = matrix
    last = a * e - b * d
    return (
        ((e * i - f * h) / last, (c * h - b * i) / last, (b * f - c * e) / last),
        ((f * g - d * i) / last, (a * i - c * g) / last, (c * d - a * f) / last),
        ((d * h - e * g) / last, (b * g - a * h) / last, 1.0),
    )


def elastic_mesh(to_image: Matrix, width: int, height: int, warp: Warp) -> list[Quad]:
    """Rectangles of the canvas (height, width), each with its four corners in the image, for Pillow.

    The nodes of a grid move at random. Those on the border stay, so nothing is pushed off the canvas. A node moves by
    less than a third of a cell, so neighbours never swap.
    """
    columns = max(2, round(CELLS * width / height))
    Xs = [round(width * number / columns) for number in range(columns + 1)]
    Ys = [round(height * number / CELLS) for number in range(CELLS + 1)]
    table = elastic_table()
    inner = (CELLS - 1) * (columns - 1)
    start = int(warp.elastic_position * len(table))
    moves = iter((table.take(range(start, start + 2 * inner), mode="wrap") * (warp.elastic * height)).tolist())
    (a, b, c), (d, e, f), (g, h, _) = to_image
    nodes = {}
    for Y in Ys:
        for X in Xs:
            depth = 1 + g * X + h * Y
            x, y = (a * X + b * Y + c) / depth, (d * X + e * Y + f) / depth
            if 0 < X < width and 0 < Y < height:
                x, y = x + next(moves), y + next(moves)
            nodes[X, Y] = (x, y)
    return [
        ((X, Y, X2, Y2), (*nodes[X, Y], *nodes[X, Y2], *nodes[X2, Y2], *nodes[X2, Y]))
        for Y, Y2 in zip(Ys, Ys[1:], strict=False)
        for X, X2 in zip(Xs, Xs[1:], strict=False)
    ]


@cache
def elastic_table() -> np.ndarray:
    """Fixed random numbers, -1 to 1."""
    return np.random.default_rng(0).uniform(-1, 1, 1 << 16)
