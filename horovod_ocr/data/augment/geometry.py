"""Scale, shear, rotation, perspective, shift, elastic: one 3 x 3 matrix, and one resampling pass over the image.

Coordinates are pixels from the upper left corner; x, y of the image, X, Y of the canvas.
"""

import math
from functools import cache

import numpy as np
from PIL import Image

from horovod_ocr.data.augment.change import Change

LEAST_HEIGHT = 0.8  # of an image that is turned
CELLS = 3  # of the elastic's grid, a height
Matrix = tuple[tuple[float, float, float], ...]


def warp_image(image_HW: np.ndarray, width_px: int, background: int, change: Change) -> tuple[np.ndarray, int]:
    """The image on a canvas (H, width_px) of its background, all of it inside, and the columns that it reaches."""
    height, width = image_HW.shape
    way_there, right = matrix_to_canvas(width, height, width_px, change)
    way_back = inverse_of(way_there)
    valid_width = max(1, min(width_px, math.ceil(right - 1e-6)))
    if change.elastic:
        method, data = Image.Transform.MESH, elastic_mesh(way_back, valid_width, height, change)
    elif way_back[2][0] or way_back[2][1]:
        method, data = Image.Transform.PERSPECTIVE, (*way_back[0], *way_back[1], *way_back[2][:2])
    else:
        method, data = Image.Transform.AFFINE, (*way_back[0], *way_back[1])
    canvas = Image.fromarray(image_HW).transform(
        (width_px, height), method, data, Image.Resampling.BILINEAR, fillcolor=background
    )
    return np.asarray(canvas), valid_width


def matrix_to_canvas(width: int, height: int, width_px: int, change: Change) -> tuple[Matrix, float]:
    """The matrix from the image to the canvas, and how far to the right the image ends there.

    The image's corners decide: what is higher than the canvas shrinks both ways, what is wider shrinks in width.
    """
    turn = math.radians(change.rotation_deg)
    if turn:
        most = math.asin(min(1.0, height / width * (1 / LEAST_HEIGHT - 1)))
        turn = max(-most, min(most, turn))
    cos, sin = math.cos(turn), math.sin(turn)
    scale_x, scale_y = change.scale_x, min(1.0, change.scale_y)
    lean = -scale_x * change.shear
    # about the middle of the image: scaled and sheared, then turned; the perspective divides by 1 + g u + h v
    a, b = cos * scale_x, cos * lean - sin * scale_y
    c, d = sin * scale_x, sin * lean + cos * scale_y
    g, h = change.perspective_x / width, change.perspective_y / height
    xs, ys = [], []
    for u, v in ((-width, -height), (width, -height), (-width, height), (width, height)):
        depth = 2 + g * u + h * v
        xs.append((a * u + b * v) / depth)
        ys.append((c * u + d * v) / depth)
    shrink = min(1.0, height / (max(ys) - min(ys)))
    shrink_x = min(shrink, width_px / (max(xs) - min(xs)))
    a, b, c, d = a * shrink_x, b * shrink_x, c * shrink, d * shrink
    box_width, box_height = shrink_x * (max(xs) - min(xs)), shrink * (max(ys) - min(ys))
    left = min(change.shift_px, width_px - box_width)
    middle_x = left - shrink_x * min(xs)
    middle_y = change.down * (height - box_height) - shrink * min(ys)
    rows = ((a + middle_x * g, b + middle_x * h, middle_x), (c + middle_y * g, d + middle_y * h, middle_y), (g, h, 1.0))
    return tuple((p, q, r - p * width / 2 - q * height / 2) for p, q, r in rows), left + box_width


def inverse_of(matrix: Matrix) -> Matrix:
    """The way back, its last number 1. By hand: a linear algebra library rounds as its processor likes."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    last = a * e - b * d
    return (
        ((e * i - f * h) / last, (c * h - b * i) / last, (b * f - c * e) / last),
        ((f * g - d * i) / last, (a * i - c * g) / last, (c * d - a * f) / last),
        ((d * h - e * g) / last, (b * g - a * h) / last, 1.0),
    )


def elastic_mesh(way_back: Matrix, width: int, height: int, change: Change) -> list[tuple]:
    """Rectangles of the canvas (height, width), each with its four corners in the image, for Pillow.

    The nodes of a grid move at random, those on the canvas's border stay, so nothing is pushed over it. A node moves by
    less than a third of a cell: neighbours never change places.
    """
    columns = max(2, round(CELLS * width / height))
    Xs = [round(width * number / columns) for number in range(columns + 1)]
    Ys = [round(height * number / CELLS) for number in range(CELLS + 1)]
    table = elastic_table()
    inner = (CELLS - 1) * (columns - 1)
    start = int(change.elastic_place * len(table))
    moves = iter((table.take(range(start, start + 2 * inner), mode="wrap") * (change.elastic * height)).tolist())
    (a, b, c), (d, e, f), (g, h, _) = way_back
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
