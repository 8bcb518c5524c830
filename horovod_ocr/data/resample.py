"""Shrinking as Pillow's BILINEAR does it, over all pixels that an output pixel covers, in less than half of its time.

Along each axis the output is the input times a matrix whose columns are triangles: a band of weights, zeros elsewhere.
Cut into blocks along the band, most of the zeros are left out, and a product of small matrices is what BLAS does best.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

FLOAT = np.dtype(np.float32)
MOST_MULTIPLICATIONS = 1 << 18  # of one product: above this OpenBLAS starts threads, and a loader worker is one core
CALL_WEIGHTS = 128  # a product of its own costs about as much as so many weights


class Band(NamedTuple):
    """The matrix of one axis in blocks: block b makes the outputs from b * size of the inputs from b * stride."""

    weights_BIO: np.ndarray  # float32, B blocks of I inputs and O outputs; the last block's surplus repeats its edge
    stride: int


@lru_cache(4096)  # 35 MB when full; the sizes of words repeat
def triangle_band(inputs: int, outputs: int) -> Band:
    """The blocks whose products cost least: many small ones hold fewer zeros, few large ones make fewer calls."""
    scale = inputs / outputs
    reach = max(scale, 1.0)

    def cost(layout: tuple[int, int, int]) -> int:
        blocks, size, stride = layout
        return blocks * (size * (inputs - (blocks - 1) * stride) + CALL_WEIGHTS)

    def layout(blocks: int) -> tuple[int, int, int]:
        size = -(-outputs // blocks)
        before_last = (blocks - 1) * size
        # the longest stride with which the last block but one still sees all it needs
        return blocks, size, int(max(0.0, (outputs - before_last + 0.5) * scale - reach + 0.5))

    blocks, size, stride = min(map(layout, range(1, outputs // 8 + 2)), key=cost)
    centres_BO = (np.minimum(np.arange(blocks * size), outputs - 1).reshape(blocks, size) + 0.5) * scale
    positions_BI = np.arange(blocks)[:, None] * stride + np.arange(inputs - (blocks - 1) * stride) + 0.5
    weights_BIO = np.maximum(0, reach - np.abs(positions_BI[:, :, None] - centres_BO[:, None, :]))
    return Band((weights_BIO / weights_BIO.sum(1, keepdims=True)).astype(FLOAT), stride)


def resample(levels_HW: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """Grey levels (height, width), within 1 of Pillow's; None where the image is so large that BLAS might use threads.

    The same image gives the same levels on the same kind of processor; on another kind a few may differ by 1.
    """
    rows, columns = levels_HW.shape
    down_BIO, row_stride = triangle_band(rows, height)
    across_BIO, column_stride = triangle_band(columns, width)
    blocks, inputs, outputs = down_BIO.shape
    lines = blocks * outputs
    if inputs * outputs * columns > MOST_MULTIPLICATIONS or lines * across_BIO[0].size > MOST_MULTIPLICATIONS:
        return None
    # the views of overlapping blocks are made as ndarrays: numpy's as_strided takes ten times as long
    levels = levels_HW.astype(FLOAT, order="C")
    view = np.ndarray((blocks, inputs, columns), FLOAT, levels, 0, (row_stride * columns * 4, columns * 4, 4))
    narrowed = np.matmul(down_BIO.transpose(0, 2, 1), view)
    blocks, inputs, outputs = across_BIO.shape
    view = np.ndarray((blocks, lines, inputs), FLOAT, narrowed, 0, (column_stride * 4, columns * 4, 4))
    resized = np.empty((lines, blocks * outputs), FLOAT)
    out = np.ndarray((blocks, lines, outputs), FLOAT, resized, 0, (outputs * 4, blocks * outputs * 4, 4))
    np.matmul(view, across_BIO, out=out)
    resized += 0.5
    return resized[:height, :width].astype(np.uint8)
