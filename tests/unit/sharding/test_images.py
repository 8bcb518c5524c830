"""What is fine goes in byte for byte or by the stated rule; what is not has its reason, whatever the damage."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sharding.check import Limits
from sharding.images import CHECKS, CheckedImage, ImageRule, read_bytes, read_image
from sharding.reasons import REASONS, Rejected

LIMITS = Limits()


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(checked: CheckedImage) -> Image.Image:
    return Image.open(io.BytesIO(checked.content))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("RGB", "png"), ("L", "jpg"), ("RGB", "jpg")])
def test_plain_images_go_byte_for_byte(make_image, mode: str, suffix: str, check: str):
    content = make_image(5, (80, 40), mode, suffix)
    checked = read_image(content, LIMITS, ImageRule(check))
    assert checked.content is content
    assert (checked.width, checked.height, checked.image_format) == (80, 40, int(suffix == "jpg"))


@pytest.mark.parametrize(
    ("kind", "image", "mode"),
    [
        ("PNG", Image.new("1", (80, 40), 1), "L"),
        ("PNG", Image.new("P", (80, 40)), "L"),  # a palette of one black: grey
        ("PNG", Image.new("RGB", (80, 40), "red").quantize(4), "RGB"),
        ("PNG", Image.new("LA", (80, 40), (9, 128)), "L"),
        ("PNG", Image.new("RGBA", (80, 40), (255, 0, 0, 128)), "RGB"),
        ("PNG", Image.new("I;16", (80, 40), 0x8000), "L"),
        ("JPEG", Image.new("CMYK", (80, 40), (200, 0, 0, 0)), "RGB"),
        ("TIFF", Image.new("L", (80, 40), 7), "L"),
        ("BMP", Image.new("RGB", (80, 40), (1, 2, 3)), "RGB"),
        ("WEBP", Image.new("RGB", (80, 40), (250, 2, 3)), "RGB"),
    ],
)
def test_everything_else_becomes_a_png_grey_where_it_is_grey(kind: str, image: Image.Image, mode: str):
    checked = read_image(encode(image, kind), LIMITS)
    assert (pixels(checked).format, pixels(checked).mode) == ("PNG", mode)
    assert (checked.width, checked.height, checked.image_format) == (80, 40, 0)
    assert read_image(checked.content, LIMITS).content is checked.content  # and that one is kept as it is


def test_transparency_lies_on_white_and_16_bits_lose_the_lower_half():
    clear = read_image(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG"), LIMITS)
    assert np.asarray(pixels(clear)).min() == 255
    deep = read_image(encode(Image.new("I;16", (8, 8), 0x80FF), "PNG"), LIMITS)
    assert np.asarray(pixels(deep)).max() == 0x80
    keyed = read_image(encode(Image.new("L", (8, 8), 7), "PNG", transparency=7), LIMITS)
    assert np.asarray(pixels(keyed)).min() == 255


def test_a_photo_on_its_side_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    checked = read_image(encode(Image.new("RGB", (80, 40)), "JPEG", exif=exif), LIMITS)
    assert (checked.width, checked.height) == (40, 80)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_truncated_image_is_rejected(make_image, suffix: str):
    content = make_image(5, (200, 100), "RGB", suffix)
    for share in (0.3, 0.7, 0.95):
        with pytest.raises(Rejected) as why:
            read_image(content[: int(len(content) * share)], LIMITS)
        assert why.value.reason in ("damaged image", "not an image")


@given(st.data())
def test_damaged_bytes_are_read_or_rejected_but_never_crash(data: st.DataObject):
    suffix = data.draw(st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "WEBP"]))
    content = bytearray(encode(Image.linear_gradient("L").resize((60, 30)).convert("RGB"), suffix))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_image(bytes(content), Limits(max_pixels=100_000))
    except Rejected as why:
        assert why.reason in REASONS


def test_other_rejections_of_images(make_image, tmp_path: Path):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 200)]
    cases = {
        "not an image": b"hello, I am a text",
        "several pictures": encode(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "too many pixels": make_image(0, (300, 300)),
        "too wide": make_image(0, (650, 10)),
        "unsupported pixels": encode(Image.new("F", (8, 8), 0.5), "TIFF"),
    }
    for reason, content in cases.items():
        with pytest.raises(Rejected) as why:
            read_image(content, Limits(max_pixels=50_000))
        assert why.value.reason == reason


def test_a_decompression_bomb_is_never_decoded():
    bomb = bytearray(encode(Image.new("L", (9, 9)), "PNG"))
    bomb[16:24] = struct.pack(">II", 30_000, 30_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(Rejected) as why:
        read_image(bytes(bomb), LIMITS)
    assert why.value.reason == "too many pixels"


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    cases = {"empty.png": "empty file", "none.png": "missing image", "empty.png/x": "missing image",
             "folder.png": "unreadable file", "a\0b": "unreadable file"}  # fmt: skip
    for name, reason in cases.items():
        with pytest.raises(Rejected) as why:
            read_bytes(tmp_path / name)
        assert why.value.reason == reason
