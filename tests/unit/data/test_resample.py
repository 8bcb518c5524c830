"""Shrinking as Pillow does it, on one core."""

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from horovod_ocr.data.decoders import resize_by_opencv
from horovod_ocr.data.resample import resample, triangle_band
from horovod_ocr.synth.generate import SynthOptions, synthesize


def by_pillow(levels_HW: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(levels_HW).resize((width, height), Image.Resampling.BILINEAR))


def distance(one_HW: np.ndarray, other_HW: np.ndarray) -> int:
    assert one_HW.dtype == other_HW.dtype == np.uint8 and one_HW.shape == other_HW.shape
    return int(np.abs(one_HW.astype(int) - other_HW).max())


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Half of it black or white: there a wrong weight shows most."""
    levels_HW = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return np.where(np.arange(width) % 64 < 32, levels_HW, (levels_HW > 127) * np.uint8(255))


@pytest.mark.slow
@settings(max_examples=150)
@given(st.integers(1, 100), st.integers(1, 160), st.floats(0.5, 4), st.floats(0.5, 4), st.integers(0, 9))
@example(64, 113, 1.2, 1.2, 0)  # 113 cuts badly into blocks
def test_any_size_is_within_one_level_of_pillow(height, width, taller, wider, seed):
    levels_HW = noise(max(1, round(height * taller)), max(1, round(width * wider)), seed)
    resized = resample(levels_HW, width, height)
    assert resized is None or distance(resized, by_pillow(levels_HW, width, height)) <= 1
    assert levels_HW.size > 10_000 or resized is not None


@pytest.mark.slow
def test_rendered_words_are_within_one_level_of_pillow(tmp_path):
    synthesize(SynthOptions(words=60, out=tmp_path, seed=5, workers=1))
    words = [np.asarray(Image.open(path)) for path in sorted(tmp_path.rglob("*.png"))]
    for word_HW in words:
        height = max(1, int(word_HW.shape[0] / 1.3))
        width = max(1, round(word_HW.shape[1] * height / word_HW.shape[0]))
        assert distance(resample(word_HW, width, height), by_pillow(word_HW, width, height)) <= 1


@pytest.mark.parametrize("scale", [1, 1.03, 1.5, 2, 4])
def test_blocks_hold_the_whole_triangle_of_each_output(scale):
    """Against the matrix that is not cut."""
    for outputs in range(1, 200):
        inputs = round(outputs * scale)
        (weights_BIO, stride), half_width = triangle_band(inputs, outputs), max(1, inputs / outputs)
        centres_O = (np.arange(outputs) + 0.5) * inputs / outputs
        dense_IO = np.maximum(0, half_width - np.abs(np.arange(inputs)[:, None] + 0.5 - centres_O))
        dense_IO /= dense_IO.sum(0)
        joined_IO = np.zeros((inputs, weights_BIO.shape[0] * weights_BIO.shape[2]))
        for block, weights_IO in enumerate(weights_BIO):
            here = slice(block * stride, block * stride + len(weights_IO))
            joined_IO[here, block * weights_IO.shape[1] : (block + 1) * weights_IO.shape[1]] = weights_IO
        assert np.abs(joined_IO[:, :outputs] - dense_IO).max() < 1e-6


def test_it_takes_one_core_and_leaves_large_images_to_pillow():
    large_HW = noise(512, 2048)
    assert resample(large_HW, 1024, 256) is None
    assert distance(resize_by_opencv(large_HW, 1024, 256), by_pillow(large_HW, 1024, 256)) == 0
    words = [noise(height, width) for height in (70, 130, 250) for width in (66, 120, 300, 500)]
    before_s = time.process_time() - time.thread_time()
    started_s = time.thread_time()
    for _ in range(20):
        for word_HW in words:
            resample(word_HW, max(1, round(word_HW.shape[1] * 64 / word_HW.shape[0])), 64)
    others_s = time.process_time() - time.thread_time() - before_s
    assert others_s < 0.2 * (time.thread_time() - started_s)  # of other threads: BLAS would take as much as this one


def test_the_same_image_gives_the_same_levels_however_it_lies_in_memory():
    word_HW = noise(90, 130)
    resized_HW = resample(word_HW, 92, 64)
    for same_HW in (word_HW.copy(), np.asfortranarray(word_HW), np.repeat(word_HW, 2, axis=1)[:, ::2]):
        assert np.array_equal(resample(same_HW, 92, 64), resized_HW)
