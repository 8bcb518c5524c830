"""Images of every format: what is fine goes in byte for byte or by the stated rule; what is not has its reason."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sharding.format.idx import digest_of
from sharding.images.limits import Limits
from sharding.images.read import CHECKS, FORMS, CheckedImage, ImageRule, build_reader, read_bytes, read_image
from sharding.reasons import REASONS, Rejected

LIMITS = Limits()
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(checked: CheckedImage) -> Image.Image:
    return Image.open(io.BytesIO(checked.content))


def reason_of(content: bytes, check: str = "full", limits: Limits = LIMITS) -> str:
    with pytest.raises(Rejected) as why:
        read_image(content, limits, ImageRule(check))
    assert why.value.reason in REASONS
    return why.value.reason


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("RGB", "png"), ("L", "jpg"), ("RGB", "jpg")])
def test_plain_images_go_byte_for_byte(make_image, mode: str, suffix: str, check: str):
    content = make_image(5, (80, 40), mode, suffix)
    checked = read_image(content, LIMITS, ImageRule(check))
    assert checked.content is content
    assert (checked.width, checked.height, checked.image_format) == (80, 40, int(suffix == "jpg"))


@pytest.mark.parametrize("check", CHECKS)
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
        ("TIFF", Image.new("1", (80, 40), 1), "L"),
        ("TIFF", Image.new("I;16", (80, 40), 0x8000), "L"),
        ("TIFF", Image.new("CMYK", (80, 40), (200, 0, 0, 0)), "RGB"),
        ("BMP", Image.new("RGB", (80, 40), (1, 2, 3)), "RGB"),
        ("BMP", Image.new("P", (80, 40)), "L"),
        ("WEBP", Image.new("RGB", (80, 40), (250, 2, 3)), "RGB"),
        ("WEBP", Image.new("RGBA", (80, 40), (9, 9, 9, 0)), "L"),
    ],
)
def test_everything_else_becomes_a_png_grey_where_it_is_grey(kind: str, image: Image.Image, mode: str, check: str):
    checked = read_image(encode(image, kind), LIMITS, ImageRule(check))
    assert (pixels(checked).format, pixels(checked).mode) == ("PNG", mode)
    assert (checked.width, checked.height, checked.image_format) == (80, 40, 0)
    assert read_image(checked.content, LIMITS).content is checked.content  # and that one is kept as it is


def test_transparency_lies_on_white_and_16_bits_lose_the_lower_half():
    for kind in ("PNG", "WEBP", "TIFF"):
        clear = read_image(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), kind), LIMITS)
        assert np.asarray(pixels(clear)).min() == 255
    for kind in ("PNG", "TIFF"):
        deep = read_image(encode(Image.new("I;16", (8, 8), 0x80FF), kind), LIMITS)
        assert np.asarray(pixels(deep)).max() == 0x80


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_that_hold_the_12_of_a_detector_are_refused_rather_than_made_black(kind: str):
    for level, is_taken in ((0x0FFF, False), (0x1000, True), (0xFFFF, True)):
        content = encode(Image.new("I;16", (8, 8), level), kind)
        if is_taken:
            assert np.asarray(pixels(read_image(content, LIMITS))).max() == level >> 8
        else:
            with pytest.raises(Rejected, match="brightest level is 4,095 of 65,535; convert it to 8 bits first"):
                read_image(content, LIMITS)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_photo_on_its_side_is_turned_upright(kind: str, check: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("L", (80, 40))
    image.paste(255, (0, 0, 80, 10))
    checked = read_image(encode(image, kind, exif=exif), LIMITS, ImageRule(check))
    assert (checked.width, checked.height) == (40, 80)
    assert np.asarray(pixels(checked).convert("L"))[:, 35:].min() > 200  # what was above stands on the right


def test_the_aspect_counts_once_it_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(encode(Image.new("L", (650, 10)), "PNG", exif=exif), LIMITS)[1:3] == (10, 650)
    assert reason_of(encode(Image.new("L", (10, 650)), "PNG", exif=exif)) == "too wide"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("suffix", ["bmp", "tif", "webp"])
def test_what_is_converted_is_decoded_to_its_end_by_every_check(make_image, suffix: str, check: str):
    content = make_image(5, (200, 100), "RGB", suffix)
    for share in (0.3, 0.7, 0.95):
        assert reason_of(content[: int(len(content) * share)], check) in ("damaged image", "not an image")


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"II*\0", b"BM"]),
)
def test_bytes_that_are_no_image_are_rejected(tail: bytes, head: bytes):
    for check in CHECKS:
        assert reason_of(head + tail, check) in (
            "not an image",
            "damaged image",
            "too many pixels",
            "unsupported pixels",
        )


@pytest.mark.parametrize("check", CHECKS)
def test_other_rejections_of_images(make_image, check: str):
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 200)]
    cases = [
        ("not an image", b"hello, I am a text"),
        ("not an image", encode(frames[0], "GIF")),
        ("too many pixels", make_image(0, (300, 300))),
        ("too many pixels", make_image(0, (300, 300), "L", "jpg")),
        ("too many pixels", make_image(0, (300, 300), "L", "bmp")),
        ("too wide", make_image(0, (650, 10))),
        ("too wide", make_image(0, (650, 10), "L", "jpg")),
        ("too wide", make_image(0, (650, 10), "L", "tif")),
        ("unsupported pixels", encode(Image.new("F", (8, 8), 0.5), "TIFF")),
        ("unsupported pixels", encode(Image.new("I", (8, 8), 70_000), "TIFF")),
        ("unsupported pixels", encode(Image.new("LAB", (8, 8)), "TIFF")),
        *(
            ("several pictures", encode(frames[0], kind, save_all=True, append_images=frames[1:]))
            for kind in ("PNG", "TIFF", "WEBP")
        ),
    ]
    for reason, content in cases:
        assert reason_of(content, check, Limits(max_pixels=50_000)) == reason


@pytest.mark.parametrize("check", CHECKS)
def test_pillows_own_limit_is_a_reason_too_and_no_warning(check: str, monkeypatch):
    content = encode(Image.new("L", (30, 30)), "BMP")
    for most, reason in (
        (500, "too many pixels"),
        (100, "too many pixels"),
    ):  # Pillow warns above it, raises above twice
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with warnings.catch_warnings(record=True) as leaked:
            warnings.simplefilter("always")
            assert reason_of(content, check) == reason
        assert not leaked


def test_digests_are_xxh3():
    assert digest_of(b"") == 0x2D06800538D394C2  # as its specification says
    assert digest_of(b"a") != digest_of(b"b")


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    cases = {
        "empty.png": "empty file",
        "none.png": "missing image",
        "empty.png/x": "missing image",
        "folder.png": "unreadable file",
        "a\0b": "unreadable file",
    }
    for name, reason in cases.items():
        with pytest.raises(Rejected) as why:
            read_bytes(tmp_path / name)
        assert why.value.reason == reason


@pytest.mark.slow
@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    mode=st.sampled_from(["L", "RGB", "P", "1", "RGBA"]),
    position=st.none() | st.integers(0, 60) | st.integers(-20, -1),
    cut=st.integers(0, 20),
    rule=st.sampled_from([ImageRule(check, form) for check in CHECKS for form in FORMS]),
)
@settings(max_examples=300)
def test_a_reader_of_many_images_says_what_is_said_of_one(size, mode: str, position, cut: int, rule: ImageRule):
    content = bytearray(encode(Image.new("L", size, 7).convert(mode), "PNG"))
    if position is not None:
        content[position % len(content)] ^= 5
    content = bytes(content[: len(content) - cut] if cut > 15 else content)
    limits = Limits(max_pixels=2000, max_aspect=20.0)
    said = []
    for read in (build_reader(limits, rule), lambda content: read_image(content, limits, rule)):
        try:
            said.append(tuple(read(content)))
        except Rejected as why:
            said.append((why.reason, why.detail))
    assert said[0] == said[1]
