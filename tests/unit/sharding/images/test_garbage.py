"""Damaged bytes of every format are read or rejected with a reason, and never crash."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sharding.images.limits import Limits
from sharding.images.read import CHECKS, ImageRule, read_image
from sharding.reasons import REASONS, Rejected
from tests.unit.sharding.images import test_images, test_jpeg, test_png

FEW_PIXELS = Limits(max_pixels=100_000)
EXAMPLES = 3 * settings.default.max_examples  # --long: many more


def change_bytes(draw: st.DrawFn, content: bytearray, first: int, most: int) -> bytearray:
    """Up to `most` bytes become others, none of them before the place `first`."""
    for _ in range(draw(st.integers(1, most))):
        content[draw(st.integers(first, len(content) - 1))] = draw(st.integers(0, 255))
    return content


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(test_images.FORMATS))
    gradient = Image.linear_gradient("L").resize((60, 30)).convert("RGB")
    return bytes(change_bytes(draw, bytearray(test_images.encode(gradient, kind)), 0, 6))


@st.composite
def damaged_jpegs(draw: st.DrawFn) -> bytes:
    noise = test_jpeg.noise(20, 20, draw(st.sampled_from(["L", "RGB", "CMYK"])))
    return bytes(change_bytes(draw, bytearray(test_jpeg.encode(noise, progressive=draw(st.booleans()))), 3, 6))


@st.composite
def damaged_pngs(draw: st.DrawFn) -> bytes:
    """In half of the cases under checksums that are right."""
    depth, colour = draw(st.sampled_from(test_png.KINDS))
    channels = {test_png.RGB: 3, test_png.GREY_ALPHA: 2, test_png.RGB_ALPHA: 4}.get(colour, 1)
    values = test_png.RAMP.repeat(channels, axis=2) % 2
    png = test_png.write_png(values, depth, colour, interlaced=draw(st.booleans()))
    content = change_bytes(draw, bytearray(png), 8, 4)
    at, is_repaired = 8, draw(st.booleans())
    while is_repaired and at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 <= len(content):
            content[end : end + 4] = struct.pack(">I", zlib.crc32(content[at + 4 : end]))
        at = end + 4
    return bytes(content)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(damaged_images() | damaged_jpegs() | damaged_pngs(), st.sampled_from([("keep", 0), ("png", 9), ("jpeg", 9)]))
def test_damaged_bytes_are_read_or_rejected_but_never_crash(content: bytes, form: tuple[str, int]):
    for check in CHECKS:
        try:
            read_image(content, FEW_PIXELS, ImageRule(check, *form))
        except Rejected as why:
            assert why.reason in REASONS
