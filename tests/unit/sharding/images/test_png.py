"""PNGs of every kind, written here chunk by chunk: what is whole is kept or converted, what is not is found."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sharding.images.limits import Limits
from sharding.images.png import PNG_MAGIC
from sharding.images.read import CHECKS, CheckedImage, ImageRule, read_image
from sharding.reasons import Rejected

LIMITS = Limits()
CLOSE = ("structure", "full")
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
KINDS = [(depth, GREY) for depth in (1, 2, 4, 8, 16)] + [(depth, PALETTE) for depth in (1, 2, 4, 8)]
KINDS += [(depth, colour) for depth in (8, 16) for colour in (RGB, GREY_ALPHA, RGB_ALPHA)]
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
METADATA = [b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"eXIf", b"tIME"]
METADATA += [b"iTXt", b"tEXt", b"zTXt", b"oFFs", b"cICP", b"mDCV", b"acTL", b"abCd"]
RAMP = np.arange(48).reshape(6, 8, 1)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, depth: int = 8, colour: int = GREY, rest: bytes = b"\0\0\0") -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + rest)


def rows_of(values: np.ndarray, depth: int) -> bytes:
    """(height, width, channels) numbers, packed, a filter byte (none) before each row."""
    bits = values[..., None] >> np.arange(depth - 1, -1, -1) & 1
    packed = np.packbits(bits.reshape(len(values), -1).astype(np.uint8), axis=1)
    return np.pad(packed, ((0, 0), (1, 0))).tobytes()


def write_png(
    values: np.ndarray,
    depth: int = 8,
    colour: int = GREY,
    *,
    interlaced: bool = False,
    level: int = 6,
    pieces: int = 1,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    height, width, _ = values.shape
    passes = [values[y::y_step, x::x_step] for x, y, x_step, y_step in ADAM7] if interlaced else [values]
    data = zlib.compress(b"".join(rows_of(part, depth) for part in passes if part.size), level)
    cuts = [len(data) * piece // pieces for piece in range(pieces + 1)]
    idat = b"".join(chunk(b"IDAT", data[first:last]) for first, last in zip(cuts, cuts[1:], strict=False))
    if colour == PALETTE:
        before = chunk(b"PLTE", bytes(range(0, 3 << min(depth, 6)))) + before
    ihdr = header(width, height, depth, colour, b"\0\0" + bytes([interlaced]))
    return PNG_MAGIC + ihdr + before + idat + after + chunk(b"IEND")


def pixels(checked: CheckedImage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(checked.content)))


def reason_of(content: bytes, check: str = "full", limits: Limits = LIMITS) -> str:
    with pytest.raises(Rejected) as why:
        read_image(content, limits, ImageRule(check))
    return why.value.reason


@pytest.mark.slow
@given(st.data())
def test_every_kind_of_png_comes_out_the_same_however_it_is_checked(data: st.DataObject):
    depth, colour = data.draw(st.sampled_from(KINDS))
    channels = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}[colour]
    shape = (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 30)), channels)
    top = 1 << (min(depth, 6) if colour == PALETTE else depth)
    values = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, top, shape)
    interlaced, level = data.draw(st.booleans()), data.draw(st.integers(0, 9))
    content = write_png(values, depth, colour, interlaced=interlaced, level=level, pieces=data.draw(st.integers(1, 4)))
    header, structure, full = (read_image(content, LIMITS, ImageRule(check)) for check in ("header", *CLOSE))
    assert header == structure == full and full[1:] == (shape[1], shape[0], 0)
    assert (full.content is content) == (depth == 8 and colour in (GREY, RGB))
    upper = values >> 8 if depth == 16 else values * (255 // (top - 1))
    if colour == GREY:
        assert np.array_equal(pixels(full), upper[..., 0])
    elif colour in (GREY_ALPHA, RGB_ALPHA):
        shown = upper[..., -1] > 0
        assert (pixels(full)[~shown] == 255).all()  # white


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("options", [{}, {"interlaced": True}, {"depth": 4, "colour": PALETTE}, {"pieces": 3}])
def test_every_truncation_is_found(check: str, options: dict):
    content = write_png(RAMP % 16, **options)
    read_image(content, LIMITS, ImageRule(check))
    for end in range(1, len(content)):
        assert reason_of(content[:end], check) in ("damaged image", "not an image")


@pytest.mark.parametrize("check", CLOSE)
@pytest.mark.parametrize("options", [{}, {"interlaced": True}, {"depth": 4, "colour": PALETTE}, {"pieces": 3}])
def test_every_changed_byte_is_found(check: str, options: dict):
    content = write_png(RAMP % 16, before=chunk(b"tEXt", b"Comment\0x"), after=chunk(b"tIME", b"\7" * 7), **options)
    read_image(content, LIMITS, ImageRule(check))
    for at in range(len(content)):
        for flip in (0x01, 0x20, 0x80, 0xFF):
            changed = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
            assert reason_of(changed, check) in ("damaged image", "not an image", "too many pixels")


def test_what_is_wrong_under_right_checksums_is_found():
    ihdr, idat, iend = header(8, 6), chunk(b"IDAT", zlib.compress(rows_of(RAMP, 8))), chunk(b"IEND")
    text, palette = chunk(b"tEXt", b"a\0b"), chunk(b"PLTE", b"\1\2\3")
    head, tail = (
        chunk(b"IDAT", zlib.compress(rows_of(RAMP, 8))[:9]),
        chunk(b"IDAT", zlib.compress(rows_of(RAMP, 8))[9:]),
    )
    read_image(PNG_MAGIC + ihdr + head + tail + text + iend, LIMITS)
    cases = {
        "no pixels": ihdr + text + iend,
        "text among the pixels": ihdr + head + text + tail + iend,
        "two headers": ihdr + ihdr + idat + iend,
        "header second": text + ihdr + idat + iend,
        "palette after the pixels": header(8, 6, 8, RGB) + idat + palette + iend,
        "palette of a grey image": ihdr + palette + idat + iend,
        "two palettes": header(8, 6, 8, PALETTE) + palette + palette + idat + iend,
        "palette missing": header(8, 6, 8, PALETTE) + idat + iend,
        "palette of 4 bytes": header(8, 6, 8, PALETTE) + chunk(b"PLTE", b"1234") + idat + iend,
        "chunk that must be known": ihdr + chunk(b"CgBI") + idat + iend,
        "chunk without a name": ihdr + chunk(b"\1\2\3\4") + idat + iend,
        "3 bits": header(8, 6, 3) + idat + iend,
        "colour type 5": header(8, 6, 8, 5) + idat + iend,
        "interlacing 2": header(8, 6, rest=b"\0\0\2") + idat + iend,
        "no width": header(0, 6) + idat + iend,
    }
    for check in CHECKS:
        for what, chunks in cases.items():
            assert reason_of(PNG_MAGIC + chunks, check) == "damaged image", what


@pytest.mark.parametrize("interlaced", [0, 1])
def test_pixels_are_inflated_and_counted(interlaced: int):
    raw = rows_of(RAMP, 8) if not interlaced else bytes(64)
    needed = len(zlib.decompress(write_png(RAMP, interlaced=bool(interlaced))[41:-16]))
    raw = raw[:needed]
    good = zlib.compress(raw)
    cases = [
        zlib.compress(raw[:-1]),
        zlib.compress(raw + b"\0"),
        zlib.compress(raw + bytes(10_000)),
        good[:-4] + b"\0\0\0\0",  # its own checksum
        good[:-1],
        good[:5] + b"\xff" + good[6:],
        b"",
    ]
    if not interlaced:
        cases.append(zlib.compress(raw[:9] + b"\5" + raw[10:]))  # the second row's filter

    def content(data: bytes) -> bytes:
        return PNG_MAGIC + header(8, 6, rest=bytes([0, 0, interlaced])) + chunk(b"IDAT", data) + chunk(b"IEND")

    read_image(content(good), LIMITS, ImageRule("structure"))
    for data in cases:
        assert reason_of(content(data), "structure") == "damaged image"


def test_large_images_are_inflated_in_pieces():
    rows = bytearray(4002 * 3000)  # 12 MB

    def content() -> bytes:
        return PNG_MAGIC + header(4001, 3000) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND")

    good = content()
    tracemalloc.start()
    assert read_image(good, LIMITS, ImageRule("structure")).content is good
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6
    rows[4002 * 2500] = 9
    assert reason_of(content(), "structure") == "damaged image"


@pytest.mark.parametrize("check", CHECKS)
def test_a_header_that_claims_too_much_is_never_decoded(check: str):
    def claims(width: int, height: int, interlaced: int = 0) -> bytes:
        data = zlib.compress(bytes(1_000_000))  # 1 KB
        rest = bytes([0, 0, interlaced])
        return PNG_MAGIC + header(width, height, rest=rest) + chunk(b"IDAT", data) + chunk(b"IEND")

    tracemalloc.start()
    assert reason_of(claims(30_000, 30_000), check) == "too many pixels"
    assert reason_of(claims(2**31, 2**31), check) == "too many pixels"
    for interlaced in (0, 1):
        assert reason_of(claims(3_900, 3_900, interlaced), check) == "damaged image"
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


@pytest.mark.parametrize("check", CHECKS)
def test_harmless_metadata_is_kept_and_what_inflates_is_not(check: str):
    exif = Image.Exif()
    exif[0x0131] = "a scanner"
    kept = [(b"tEXt", b"a\0b"), (b"gAMA", b"\0\1\2\3"), (b"tIME", b"\7" * 7), (b"vpAg", b"?"), (b"eXIf", b"no EXIF")]
    for kind, content in (*kept, (b"eXIf", exif.tobytes()[6:])):
        plain = write_png(RAMP, before=chunk(kind, content))
        assert read_image(plain, LIMITS, ImageRule(check)).content is plain
    bomb = zlib.compress(bytes(9_000_000))
    inflating = [(b"zTXt", b"a\0\0" + bomb), (b"iTXt", b"a\0\1\0\0\0" + bomb), (b"iCCP", b"a\0\0" + bomb)]
    for kind, content in (*inflating, (b"gAMA", b"\0"), (b"pHYs", b"")):
        for position in ("before", "after"):
            converted = read_image(write_png(RAMP, **{position: chunk(kind, content)}), LIMITS, ImageRule(check))
            assert len(converted.content) < 200
            assert np.array_equal(pixels(converted), RAMP[..., 0])


@pytest.mark.slow
@given(st.sampled_from(METADATA), st.binary(max_size=40), st.booleans())
def test_whatever_metadata_is_kept_can_be_read_by_pillow(kind: bytes, content: bytes, before: bool):
    found = write_png(RAMP, **{"before" if before else "after": chunk(kind, content)})
    for check in CHECKS:
        checked = read_image(found, LIMITS, ImageRule(check))
        assert np.array_equal(np.sort(pixels(checked), axis=None), RAMP.ravel())  # turned or not


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("position", ["before", "after"])
def test_exif_turns_a_png(check: str, position: str):
    exif = Image.Exif()
    exif[0x0112] = 6
    checked = read_image(write_png(RAMP, **{position: chunk(b"eXIf", exif.tobytes()[6:])}), LIMITS, ImageRule(check))
    assert (checked.width, checked.height) == (6, 8)
    assert np.array_equal(pixels(checked), np.rot90(RAMP[..., 0], -1))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_the_transparent_grey_lies_on_white(check: str, depth: int):
    values = RAMP % (1 << depth)
    key = 0 if depth == 1 else 1
    checked = read_image(write_png(values, depth, before=chunk(b"tRNS", bytes([0, key]))), LIMITS, ImageRule(check))
    expected = np.where(values == key, 255, values * (255 // ((1 << depth) - 1)))
    assert np.array_equal(pixels(checked), expected[..., 0])


@pytest.mark.parametrize("check", CHECKS)
def test_transparent_colours(check: str):
    rule = ImageRule(check)
    colours = np.stack([RAMP[..., 0], RAMP[..., 0] + 1, RAMP[..., 0] + 2], axis=-1)
    keyed = read_image(write_png(colours, 8, RGB, before=chunk(b"tRNS", b"\0\0\0\1\0\2")), LIMITS, rule)
    assert (pixels(keyed)[0, 0] == 255).all() and np.array_equal(pixels(keyed)[1:], colours[1:])
    palette = write_png(RAMP % 4, 2, PALETTE, before=chunk(b"tRNS", b"\0\x80"))
    assert pixels(read_image(palette, LIMITS, rule))[0, :3].tolist() == [[255] * 3, [129, 129, 130], [6, 7, 8]]
    deep = write_png(RAMP, 16, before=chunk(b"tRNS", b"\0\1"))
    assert reason_of(deep, check) == "unsupported pixels"


@pytest.mark.parametrize("check", CHECKS)
def test_animations_are_refused_and_those_of_one_picture_are_not(check: str):
    buffer = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 200)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    assert reason_of(buffer.getvalue(), check) == "several pictures"
    control = chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(
        b"fcTL", struct.pack(">5I2H2B", 0, 8, 6, 0, 0, 1, 1, 0, 0)
    )
    still = read_image(write_png(RAMP, before=control), LIMITS, ImageRule(check))
    assert np.array_equal(pixels(still), RAMP[..., 0]) and b"acTL" not in still.content
