"""Pixels turned, made plain, shrunk and encoded again: what the loader then sees is what it would have seen."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from horovod_ocr.data.image import Geometry, decode_image
from sharding.images.convert import as_grey_or_rgb, encode, orientation_of, shrunk, upright
from sharding.images.limits import Limits
from sharding.images.read import CHECKS, CheckedImage, ImageRule, read_image
from sharding.reasons import Rejected

LIMITS = Limits()
HEIGHT_PX = 32
GEOMETRY = Geometry(HEIGHT_PX, (100.0,))


def file_of(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def word(width: int, height: int, mode: str = "L", seed: int = 0) -> Image.Image:
    """Dark strokes on noisy paper."""
    draw = np.random.default_rng(seed)
    values = draw.integers(200, 256, (height, width, 3))
    for _ in range(5):
        x, y = draw.integers(0, width), draw.integers(0, height)
        values[y : y + max(1, height // 8), x : x + max(1, width // 3)] = draw.integers(0, 120, 3)
    return Image.fromarray(values.astype(np.uint8)).convert(mode)


def loaded(content: bytes) -> np.ndarray:
    return decode_image(content, GEOMETRY, limit_px=10_000).astype(int)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_exif_says(orientation: int, order: str):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010E], exif[0x0112], exif[0x0131] = "a word", orientation, "a camera"
    image = Image.open(io.BytesIO(file_of(word(40, 20), "PNG", exif=exif)))
    assert orientation_of(exif.tobytes()) == orientation_of(exif.tobytes()[6:]) == orientation
    assert np.array_equal(upright(image, orientation), ImageOps.exif_transpose(image))


@given(st.binary(max_size=40), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\2"]))
def test_exif_that_cannot_be_read_turns_nothing_or_as_it_says(tail: bytes, head: bytes):
    assert orientation_of(head + tail) in range(1, 9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "CMYK", "YCbCr"])
def test_grey_stays_grey_and_colour_colour(mode: str):
    grey = as_grey_or_rgb(word(40, 20).convert("RGB").convert(mode))
    assert grey.mode == ("RGB" if mode == "YCbCr" and grey.mode == "RGB" else "L")
    if mode not in ("1", "L", "LA"):
        assert as_grey_or_rgb(Image.new("RGB", (8, 8), "red").convert(mode)).mode == "RGB"


@pytest.mark.parametrize("mode", ["F", "I", "LAB", "HSV"])
def test_other_pixels_are_refused(mode: str):
    with pytest.raises(Rejected, match="unsupported pixels"):
        as_grey_or_rgb(Image.new(mode, (8, 8)))


def test_half_transparent_ink_is_half_grey():
    assert np.asarray(as_grey_or_rgb(Image.new("LA", (2, 2), (0, 128)))).tolist() == [[127, 127]] * 2


@pytest.mark.slow
@given(st.integers(1, 300), st.integers(HEIGHT_PX + 1, 150), st.sampled_from(["L", "RGB"]), st.integers(0, 99))
def test_the_loader_sees_the_same_in_an_image_shrunk_to_its_height(width: int, height: int, mode: str, seed: int):
    content = file_of(word(width, height, mode, seed))
    before = loaded(content)
    png = read_image(content, LIMITS, ImageRule("structure", "png", HEIGHT_PX))
    assert (png.width, png.height, png.image_format) == (before.shape[1], HEIGHT_PX, 0)
    assert np.abs(loaded(png.content) - before).max() <= (3 if mode == "RGB" else 0)  # colours are rounded first
    jpeg = read_image(content, LIMITS, ImageRule("structure", "jpeg", HEIGHT_PX))
    assert (jpeg.width, jpeg.height, jpeg.image_format) == (before.shape[1], HEIGHT_PX, 1)
    assert np.abs(loaded(jpeg.content) - before).mean() < 6


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lower_images_keep_their_size_and_grey_colours_their_third(mode: str, check: str):
    content = file_of(word(80, HEIGHT_PX).convert(mode), compress_level=0)
    checked = read_image(content, LIMITS, ImageRule(check, "png", HEIGHT_PX))
    assert checked[1:] == (80, HEIGHT_PX, 0) and len(checked.content) < len(content) / (3 if mode == "RGB" else 1)
    assert np.array_equal(loaded(checked.content), loaded(content))
    assert Image.open(io.BytesIO(checked.content)).mode == "L"
    assert read_image(content, LIMITS, ImageRule(check, "png")) == checked


@pytest.mark.parametrize("check", CHECKS)
def test_a_jpeg_that_is_low_enough_is_not_encoded_twice(check: str):
    content = file_of(word(80, HEIGHT_PX, "RGB"), "JPEG")
    for height_px in (0, HEIGHT_PX):
        assert read_image(content, LIMITS, ImageRule(check, "jpeg", height_px)).content is content
    assert read_image(content, LIMITS, ImageRule(check, "jpeg", 20))[1:] == (50, 20, 1)
    png = read_image(content, LIMITS, ImageRule(check, "png"))
    assert png.image_format == 0 and np.array_equal(loaded(png.content), loaded(content))


def test_jpegs_are_smaller_than_pngs_and_near_to_them():
    image = word(120, 64)
    jpeg, png = encode(image, "jpeg"), encode(image, "png")
    assert len(jpeg) < 0.8 * len(png)
    difference = np.abs(np.asarray(Image.open(io.BytesIO(jpeg))).astype(int) - np.asarray(image))
    assert difference.mean() < 3


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_the_same_bytes_every_time_and_no_metadata(form: str):
    image = word(50, 30)
    image.info = {"icc_profile": b"a profile", "dpi": (300, 300), "exif": b"Exif\0\0", "comment": b"words"}
    assert encode(image, form) == encode(word(50, 30), form)


def test_no_more_than_a_pixel_is_lost_of_a_thin_image():
    assert shrunk(Image.new("L", (1, 400)), HEIGHT_PX).size == (1, HEIGHT_PX)
    assert shrunk(Image.new("L", (9, 20)), HEIGHT_PX).size == (9, 20)
    assert shrunk(Image.new("L", (9, 200)), 0).size == (9, 200)


def test_kept_images_are_not_shrunk():
    with pytest.raises(ValueError):
        ImageRule("full", "keep", 64)


def test_what_is_converted_is_shrunk_too():
    wide = Image.new("LA", (400, 64), (9, 255))
    assert read_image(file_of(wide), LIMITS, ImageRule("header", "jpeg", 32))[1:] == (200, 32, 1)
    assert read_image(file_of(wide, "TIFF"), LIMITS, ImageRule("header", "png", 32))[1:] == (200, 32, 0)
    assert isinstance(read_image(file_of(wide), LIMITS), CheckedImage)
