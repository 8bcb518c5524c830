"""JPEGs of every kind: what is whole is kept or converted as stated, what is not is found."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sharding.images.limits import Limits
from sharding.images.read import CHECKS, CheckedImage, ImageRule, read_image
from sharding.reasons import Rejected

LIMITS = Limits()
CLOSE = ("structure", "full")
METADATA = (
    b"",
    b"JFIF\0",
    b"Exif\0\0",
    b"ICC_PROFILE\0",
    b"Adobe",
    b"MPF\0II*\0",
    b"Photoshop 3.0\x008BIM\3\xed",
    b"FPXR\0",
)
GRADIENT = Image.linear_gradient("L").resize((40, 24))


def encode(image: Image.Image = GRADIENT, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def noise(width: int, height: int, mode: str = "L", seed: int = 0) -> Image.Image:
    shape = (height, width, len(Image.new(mode, (1, 1)).getbands()))
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return Image.fromarray(values[..., 0] if mode == "L" else values, mode if mode == "CMYK" else None)


def pixels(checked: CheckedImage) -> Image.Image:
    return Image.open(io.BytesIO(checked.content))


def segments(content: bytes) -> list[tuple[int, int, int]]:
    """(marker, where it begins, where the next begins) up to the first scan's."""
    found, at = [], 2
    while not found or found[-1][0] != 0xDA:
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        found.append((content[at + 1], at, end))
        at = end
    return found


def without(content: bytes, marker: int) -> bytes:
    for kind, start, end in reversed(segments(content)):
        if kind == marker:
            content = content[:start] + content[end:]
    return content


def patched(content: bytes, marker: int, at: int, change: bytes) -> bytes:
    """Other bytes `at` bytes behind the marker's first."""
    start = next(start for kind, start, _ in segments(content) if kind == marker)
    return content[: start + at] + change + content[start + at + len(change) :]


def reason_of(content: bytes, check: str = "full", limits: Limits = LIMITS) -> str:
    with pytest.raises(Rejected) as why:
        read_image(content, limits, ImageRule(check))
    return why.value.reason


@pytest.mark.slow
@given(st.data())
def test_every_kind_of_jpeg_comes_out_the_same_however_it_is_checked(data: st.DataObject):
    mode = data.draw(st.sampled_from(["L", "RGB", "CMYK"]))
    size = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))
    content = encode(
        noise(*size, mode, data.draw(st.integers(0, 99))),
        quality=data.draw(st.integers(1, 100)),
        progressive=data.draw(st.booleans()),
        optimize=data.draw(st.booleans()),
        subsampling=data.draw(st.integers(0, 2)),
        restart_marker_blocks=data.draw(st.integers(0, 3)),
    )
    header, structure, full = (read_image(content, LIMITS, ImageRule(check)) for check in ("header", *CLOSE))
    assert header == structure == full and full[1:3] == size
    assert (full.content is content) == (mode != "CMYK") == (full.image_format == 1)


@pytest.mark.parametrize("check", CLOSE)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_truncation_is_found(check: str, options: dict, mode: str):
    content = encode(noise(20, 20, mode), **options)
    read_image(content, LIMITS, ImageRule(check))
    for end in range(1, len(content)):
        assert reason_of(content[:end], check) in ("damaged image", "not an image")


def test_a_glance_at_the_header_finds_what_is_cut_off_there():
    content = encode()
    for end in range(1, segments(content)[-1][2]):
        assert reason_of(content[:end], "header") in ("damaged image", "not an image")


@pytest.mark.parametrize("check", CHECKS)
def test_segments_that_do_not_add_up(check: str):
    content = encode(noise(20, 20, "RGB"))
    dqt, dht, sof, sos = 0xDB, 0xC4, 0xC0, 0xDA
    frame = next(content[start:end] for kind, start, end in segments(content) if kind == sof)
    cases = {
        "no quantisation table": without(content, dqt),
        "no Huffman table": without(content, dht),
        "no frame": without(content, sof),
        "two frames": content[:2] + frame + content[2:],
        "a quantisation table that is too long": patched(content, dqt, 4, b"\x10"),
        "Huffman codes beyond their segment": patched(content, dht, 5, b"\xff"),
        "a Huffman table of a third kind": patched(content, dht, 4, b"\x20"),
        "a segment of one byte": patched(content, dqt, 2, b"\0\1"),
        "a segment that is too short": patched(content, dqt, 3, b"\x42"),
        "a frame of 4 colours in the place of 3": patched(content, sof, 9, b"\4"),
        "a colour sampled 0 times": patched(content, sof, 11, b"\x01"),
        "the same colour twice": patched(content, sof, 13, content[content.find(frame) + 10 :][:1]),
        "a table that is not there": patched(content, sof, 12, b"\3"),
        "a scan of no colours": patched(content, sos, 4, b"\0"),
        "a scan of a colour that is not there": patched(content, sos, 5, b"\x77"),
        "a scan by a table that is not there": patched(content, sos, 6, b"\x33"),
        "no height": patched(content, sof, 5, b"\0\0"),
        "a restart before anything": content[:2] + b"\xff\xd0" + content[2:],
    }
    for what, damaged in cases.items():
        assert reason_of(damaged, check) == "damaged image", what


@pytest.mark.parametrize("check", CLOSE)
def test_markers_where_none_may_stand(check: str):
    content = encode(noise(64, 64), restart_marker_blocks=4)
    first = content.find(b"\xff\xd0", segments(content)[-1][2])
    end = segments(content)[-1][2]
    cases = {
        "restarts out of turn": content[: first + 1] + b"\xd3" + content[first + 2 :],
        "a restart left out": content[:first] + content[first + 2 :],
        "restarts that nobody announced": without(content, 0xDD),
        "a marker among the pixels": content[: first - 3] + b"\xff\x42" + content[first - 1 :],
        "a table among the pixels": content[: first - 3] + b"\xff\xdb" + content[first - 1 :],
        "no pixels": content[:end] + b"\xff\xd9",
    }
    for what, damaged in cases.items():
        assert reason_of(damaged, check) == "damaged image", what


def test_a_colour_without_pixels():
    content = encode(noise(20, 20, "RGB"), progressive=True)
    start, end = segments(content)[-1][1:]
    scan = bytes([0xFF, 0xDA, 0, 8, 1, content[start + 5], content[start + 6], 0, 0, content[end - 1]])
    alone = content[:start] + scan + content[end : content.find(b"\xff\xc4", end)] + b"\xff\xd9"
    assert reason_of(alone, "structure") == "damaged image"


@pytest.mark.parametrize("check", CHECKS)
def test_kinds_that_few_readers_know_are_refused(check: str):
    content = encode()
    assert reason_of(patched(content, 0xC0, 4, b"\x0c"), check) == "unsupported pixels"  # 12 bits
    for frame in (0xC3, 0xC5, 0xC9, 0xCA):  # lossless, differential, arithmetic
        assert reason_of(patched(content, 0xC0, 1, bytes([frame])), check) == "unsupported pixels"
    extended = patched(content, 0xC0, 1, b"\xc1")
    assert read_image(extended, LIMITS, ImageRule(check)).content is extended


@pytest.mark.parametrize("check", CHECKS)
def test_a_header_that_claims_too_much_is_never_decoded(check: str):
    content = encode()
    assert reason_of(patched(content, 0xC0, 5, b"\xff\xff\xff\xff"), check) == "too many pixels"
    assert reason_of(patched(content, 0xC0, 5, b"\x0f\x00\x0f\x00"), check) == "damaged image"


@pytest.mark.parametrize("check", CHECKS)
def test_exif_turns_a_jpeg_where_it_can_be_read(check: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = read_image(encode(exif=exif), LIMITS, ImageRule(check))
    assert (turned.width, turned.height, turned.image_format) == (24, 40, 0)
    exif[0x0112] = 1
    for harmless in (exif.tobytes(), b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nothing"):
        content = encode(exif=harmless)
        assert read_image(content, LIMITS, ImageRule(check)).content is content


@pytest.mark.parametrize("check", CHECKS)
def test_metadata_that_pillow_cannot_read_is_refused_by_every_check(check: str):
    content = encode()
    assert reason_of(content[:2] + b"\xff\xe0\0\6JFIF" + content[2:], check) in ("damaged image", "not an image")
    profile = encode(icc_profile=bytes(200_000), comment=b"a comment")
    assert read_image(profile, LIMITS, ImageRule(check)).content is profile


@given(st.integers(0xE0, 0xEF), st.sampled_from(METADATA), st.binary(max_size=40))
def test_whatever_metadata_is_kept_can_be_read_by_pillow(marker: int, head: bytes, tail: bytes):
    content = encode()
    segment = bytes([0xFF, marker]) + (2 + len(head + tail)).to_bytes(2, "big") + head + tail
    found = []
    for check in CHECKS:
        try:
            checked = read_image(content[:2] + segment + content[2:], LIMITS, ImageRule(check))
        except Rejected as why:
            found.append(why.reason)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow remarks on what it cannot understand
            pixels(checked).load()
        found.append(checked)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("check", CHECKS)
def test_of_several_pictures_in_an_mpo_the_first_counts(check: str):
    buffer = io.BytesIO()
    noise(40, 24).save(buffer, "MPO", save_all=True, append_images=[noise(10, 10)])
    checked = read_image(buffer.getvalue(), LIMITS, ImageRule(check))
    assert checked == (buffer.getvalue(), 40, 24, 1)


@pytest.mark.parametrize("check", CHECKS)
def test_cmyk_becomes_rgb_as_adobe_writes_it(check: str):
    content = encode(Image.new("CMYK", (40, 24), (200, 0, 0, 0)), quality=95)
    assert b"Adobe" in content
    checked = read_image(content, LIMITS, ImageRule(check))
    assert np.abs(np.asarray(pixels(checked)).astype(int) - (55, 255, 255)).max() <= 3


def test_fill_bytes_before_markers_belong_there():
    content = encode(noise(20, 20))
    filled = content[:2] + b"\xff\xff" + content[2:-2] + b"\xff\xff" + content[-2:]
    for check in CHECKS:
        assert read_image(filled, LIMITS, ImageRule(check)).content is filled
