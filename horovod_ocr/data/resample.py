"""Shrinking like Pillow's BILINEAR, over all pixels that an output pixel covers, in less than half of its time.

Along each axis, the output is the input times a matrix whose columns are triangles: a band of weights, zeros elsewhere.
It is cut into blocks along the band: this leaves out most of the zeros, and BLAS is fast at small matrices.

Shapes: H height, W width; B blocks, I inputs and O outputs of a block.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

FLOAT = np.dtype(np.float32)
MOST_MULTIPLICATIONS = 1 << 18  # of one product; above this OpenBLAS starts threads, but a loader worker has one core
CALL_WEIGHTS = 128  # one more product costs about as much as this many weights


class Band(NamedTuple):
    """The matrix of one axis in blocks: block b computes the outputs from b * O on of the inputs from b * stride on."""

    weights_BIO: np.ndarray
    """float32. The last block's surplus outputs repeat its last one."""
    stride: int
    """Inputs from the first one of a block to the first one of the next."""


@lru_cache(4096)  # 35 MB when full; the sizes of words repeat
def triangle_band(inputs: int, outputs: int) -> Band:
    """The cheapest blocks: many small ones contain fewer zeros, few large ones need fewer calls."""
    scale = inputs / outputs
    half_width = max(scale, 1.0)

    def cost(layout: tuple[int, int, int]) -> int:
        blocks, size, stride = layout
        return blocks * (size * (inputs - (blocks - 1) * stride) + CALL_WEIGHTS)

    def layout(blocks: int) -> tuple[int, int, int]:
        size = -(-outputs // blocks)
        before_last = (blocks - 1) * size
        # the longest stride for which the second to last block still covers all its inputs
        return blocks, size, int(max(0.0, (outputs - before_last + 0.5) * scale - half_width + 0.5))

    blocks, size, stride = min(map(layout, range(1, outputs // 8 + 2)), key=cost)
    centres_BO = (np.minimum(np.arange(blocks * size), outputs - 1).reshape(blocks, size) + 0.5) * scale
    positions_BI = np.arange(blocks)[:, None] * stride + np.arange(inputs - (blocks - 1) * stride) + 0.5
    weights_BIO = np.maximum(0, half_width - np.abs(positions_BI[:, :, None] - centres_BO[:, None, :]))
    return Band((weights_BIO / weights_BIO.sum(1, keepdims=True)).astype(FLOAT), stride)


def resample(levels_HW: np.ndarray, width: int, height: int) -> np.ndarray | None:
    """Grey levels (height, width), within 1 of Pillow's. None if the image is so large that BLAS might use threads.

    An image gives the same levels on processors of one kind; on another kind a few may differ by 1.
    """
    rows, columns = levels_HW.shape
    down_BIO, row_stride = triangle_band(rows, height)
    across_BIO, column_stride = triangle_band(columns, width)
    blocks, inputs, outputs = down_BIO.shape
    lines = blocks * outputs
    if inputs * outputs * columns > MOST_MULTIPLICATIONS or lines * across_BIO[0].size > MOST_MULTIPLICATIONS:
        return None
    # views of overlapping blocks; numpy's as_strided would take ten times as long
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
