"""Pixels of the model's size: aspect kept, padded by its own background, nothing clipped by augmentation."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from horovod_ocr.data.augment.augment import augment_image
from horovod_ocr.data.augment.strengths import Augmentation
from horovod_ocr.data.batch import normalise_images
from horovod_ocr.data.decoders import DamagedImageError, build_decoder
from horovod_ocr.data.image import Geometry, background_of, decode_image, pad_image, pad_images

GEOMETRY = Geometry(32, (0.5, 1.0, 2.0))


def png(image_HW) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image_HW).save(file, "PNG")
    return file.getvalue()


def test_each_class_has_one_width_and_it_holds_its_widest():
    assert [GEOMETRY.width_px(number) for number in range(3)] == [16, 32, 64]
    assert [GEOMETRY.padded_width_px(width, 32) for width in (1, 16, 17, 64, 65)] == [16, 16, 32, 64, 72]
    assert GEOMETRY.padded_width_px(100, 199) == 32  # 16.08 px wide at the model's height: bucket 1, as in the shards
    assert Geometry.from_dict(GEOMETRY.to_dict()) == GEOMETRY


def test_photos_fill_one_width_and_words_are_padded():
    photos = Geometry(32, (0.5, 1.0, 2.0), 48, 3)
    assert photos.is_photo and not GEOMETRY.is_photo
    assert {photos.padded_width_px(width, 32) for width in (1, 32, 999)} == {photos.scaled_width_px(7, 32)} == {48}


@pytest.mark.parametrize("wanted", ["pillow", "fast"])
def test_decoding_keeps_the_aspect_and_the_grey_levels(wanted):
    decode = build_decoder(wanted)
    image_HW = np.full((64, 96), 200, np.uint8)
    image_HW[:, :48] = 10
    decoded = decode_image(png(image_HW), GEOMETRY, 64, decode)
    assert decoded.shape == (32, 48) and decoded[5, 3] == 10 and decoded[5, 40] == 200
    assert decode_image(memoryview(png(image_HW)), GEOMETRY, 40, decode).shape == (32, 40)
    assert decode_image(png(image_HW[:8, :12]), GEOMETRY, 64, decode).shape == (32, 48)
    assert np.array_equal(decode_image(png(image_HW[:32]), GEOMETRY, 96, decode), image_HW[:32])
    with pytest.raises(DamagedImageError):
        decode_image(png(image_HW)[:-20], GEOMETRY, 64, decode)


@pytest.mark.parametrize("height", [1, 2, 3, 32, 63, 64])
@pytest.mark.parametrize("levels", [2, 3, 256])
def test_the_background_is_the_median_of_the_right_edge(height, levels):
    for seed in range(20):
        image_HW = np.random.default_rng(seed).integers(0, levels, (height, 5)).astype(np.uint8)
        assert background_of(image_HW) == int(np.median(image_HW[:, -1]))


def test_padding_is_the_images_own_background_in_a_batch_as_alone():
    for height in (1, 2, 31, 32):
        words_NHW = np.random.default_rng(0).integers(0, 256, (3, height, 24), dtype=np.uint8)
        valid_width_N = np.array([10, 1, 24])
        padded_NHW = words_NHW.copy()
        pad_images(padded_NHW, valid_width_N)
        for padded_HW, word_HW, valid_width in zip(padded_NHW, words_NHW, valid_width_N, strict=True):
            assert np.array_equal(pad_image(word_HW[:, :valid_width], 24), padded_HW)
            assert np.array_equal(padded_HW[:, :valid_width], word_HW[:, :valid_width])
            assert (padded_HW[:, valid_width:] == background_of(word_HW[:, :valid_width])).all()
    pad_images(np.empty((0, 32, 24), np.uint8), np.empty(0, np.int64))  # a rank's share may be empty


def test_padding_cuts_nothing_off():
    with pytest.raises(ValueError):
        pad_image(np.zeros((32, 17), np.uint8), 16)


def test_paper_and_ink_after_normalising():
    images_NHWC = torch.tensor([[[[0], [255]]]], dtype=torch.uint8)
    assert normalise_images(images_NHWC, torch.device("cpu")).tolist() == [[[[0.5, -0.5]]]]


@pytest.mark.parametrize("seed", range(40))
def test_augmentation_keeps_all_ink_on_the_canvas(seed):
    """The amount of ink stays what the scale makes of it: none falls over an edge."""
    image_HW = np.full((32, 40), 255, np.uint8)
    image_HW[2:30, 2:38] = 0
    strengths = Augmentation(scale=0.2, shear=0.3, shift_px=5, contrast=0, noise=0)
    canvas_HW, valid_width = augment_image(image_HW, 64, np.random.default_rng(seed), strengths)
    assert canvas_HW.shape == (32, 64) and 1 <= valid_width <= 64
    assert (canvas_HW[:, valid_width:] == 255).all()
    ink = (255 - canvas_HW.astype(float)).sum() / 255
    assert 0.8 * 0.8 * 0.97 <= ink / (28 * 36) <= 1.2 * 1.03
    columns = np.flatnonzero((canvas_HW < 128).any(0))
    assert columns[0] >= 0 and columns[-1] < valid_width


def test_augmentation_is_its_generators_and_can_be_off():
    image_HW = np.random.default_rng(0).integers(0, 255, (32, 40)).astype(np.uint8)
    one, two, other = (augment_image(image_HW, 48, np.random.default_rng(s), Augmentation())[0] for s in (1, 1, 2))
    assert (one == two).all() and (one != other).any()
    off = Augmentation(scale=0, shear=0, shift_px=0, contrast=0, noise=0)
    canvas_HW, valid_width = augment_image(image_HW, 48, np.random.default_rng(1), off)
    assert valid_width == 40 and np.abs(canvas_HW[:, :40].astype(int) - image_HW).max() <= 1
