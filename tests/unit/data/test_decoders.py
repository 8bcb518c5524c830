"""Encoded bytes to levels, grey or RGB: the same by all decoders, and damage is damage under each of them."""

import io
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from horovod_ocr.data import decoders
from horovod_ocr.data.decoders import PILLOW, DamagedImageError, build_decoder
from horovod_ocr.errors import ConfigError
from horovod_ocr.synth.generate import SynthOptions, synthesize

FAST = build_decoder("fast")
OPENCV = FAST._replace(png=decoders.png_by_opencv)  # where kornia-rs is not installed
HEIGHT_PX = 64


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[Image.Image]:
    """Rendered words, grey, of many sizes."""
    folder = tmp_path_factory.mktemp("words")
    synthesize(SynthOptions(words=60, out=folder, seed=3, workers=1))
    return [Image.fromarray(np.asarray(Image.open(path))) for path in sorted(folder.rglob("*.png"))]  # read and closed


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def coloured(image: Image.Image) -> Image.Image:
    return ImageOps.colorize(image.convert("L"), (90, 0, 60), (250, 230, 170))


def files_of(words: list[Image.Image], form: str, mode: str, **options) -> list[bytes]:
    return [encoded(word if mode == "L" else coloured(word), form, **options) for word in words]


def with_gamma(png: bytes) -> bytes:
    chunk = b"gAMA" + struct.pack(">I", 45_455)
    return png[:33] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def at_height(width: int, height: int) -> tuple[int, int]:
    return max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX


def distance(one_HW: np.ndarray, other_HW: np.ndarray) -> int:
    assert one_HW.dtype == other_HW.dtype == np.uint8 and one_HW.shape == other_HW.shape
    return int(np.abs(one_HW.astype(int) - other_HW).max())


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("PNG", {"compress_level": 0}), ("JPEG", {"quality": 90}), ("JPEG", {"progressive": True})],
)
def test_all_decoders_give_pillows_levels(words, form, options, mode, channels):
    for content in files_of(words, form, mode, **options):
        image = Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB")
        assert distance(PILLOW(content, channels=channels), np.asarray(image)) == 0
        converts = mode == "RGB" and channels == 1
        assert distance(FAST(memoryview(content), channels=channels), np.asarray(image)) <= converts
        resized = np.asarray(image.resize(at_height(*image.size), Image.Resampling.BILINEAR))
        assert distance(PILLOW(memoryview(content), at_height, channels), resized) == 0
        assert distance(FAST(content, at_height, channels), resized) <= 2


@pytest.mark.parametrize("decoder", [PILLOW, OPENCV, FAST])
def test_strong_colours_gamma_and_exif_change_nothing(decoder):
    levels_HWC = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    image = Image.fromarray(levels_HWC)
    turned = Image.Exif()
    turned[0x0112] = 6
    for content in (with_gamma(encoded(image, "PNG")), encoded(image, "PNG", exif=turned)):
        assert distance(decoder(content), np.asarray(image.convert("L"))) <= 1
    grey = with_gamma(encoded(image.convert("L"), "PNG"))
    assert distance(decoder(grey), np.asarray(image.convert("L"))) == 0
    jpeg = encoded(image, "JPEG", quality=90, exif=turned)
    assert distance(decoder(jpeg), np.asarray(Image.open(io.BytesIO(jpeg)).convert("L"))) <= 1


@pytest.mark.parametrize("decoder", [PILLOW, OPENCV, FAST])
def test_sizes_that_grow_shrink_or_do_both(decoder):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 60), dtype=np.uint8))
    for size in ((60, 40), (90, 64), (30, 20), (60, 64), (50, 64), (90, 20), (1, 64), (60, 39)):
        resized = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        assert distance(decoder(encoded(image, "PNG"), lambda *_: size), resized) <= 1  # noqa: B023


@pytest.mark.parametrize(("form", "mode"), [("PNG", "L"), ("PNG", "RGB"), ("JPEG", "L"), ("JPEG", "RGB")])
def test_what_is_cut_off_is_damage_and_nothing_else_is_said(words, form, mode, capfd):
    (content,) = files_of(words[:1], form, mode)
    # a JPEG without the mark of its end may have all of its pixels
    for cut in (4, 12, 20, 100, len(content) // 2, len(content) - 60, len(content) - 8, len(content) - 1):
        for decoder in (PILLOW, FAST):
            with pytest.raises(DamagedImageError):
                decoder(content[:-cut])
    assert capfd.readouterr() == ("", "")


def outcome(decoder, content: bytes) -> np.ndarray | None:
    try:
        return decoder(content)
    except DamagedImageError:
        return None


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_changed_bytes_are_damage_for_all_decoders_or_for_none(words, form, capfd):
    (content,) = files_of(words[:1], form, "L")
    damaged = 0
    for at in range(0, len(content), 3):
        changed = bytearray(content)
        changed[at] ^= 0x5A
        by_pillow, by_fast = outcome(PILLOW, bytes(changed)), outcome(FAST, bytes(changed))
        assert (by_pillow is None) == (by_fast is None), at
        damaged += by_pillow is None
        if by_pillow is not None:
            assert distance(by_pillow, by_fast) <= 2, at
    if form == "PNG":  # every byte is under a checksum
        assert damaged == len(range(0, len(content), 3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a" + bytes(60)])
def test_what_is_no_image_is_damage(content):
    for decoder in (PILLOW, FAST):
        with pytest.raises(DamagedImageError, match=r"\w"):
            decoder(content)


def test_every_other_png_that_a_shard_may_hold_decodes(words):
    """Several IDAT chunks, remarks, and rows in Adam7's order, as no encoder here writes them."""
    pixels_HW = np.random.default_rng(2).integers(0, 256, (8, 8), dtype=np.uint8)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(rows: list[np.ndarray], interlaced: int, extra: bytes) -> bytes:
        data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, interlaced))
        return (
            b"\x89PNG\r\n\x1a\n"
            + head
            + extra
            + chunk(b"IDAT", data[:9])
            + chunk(b"IDAT", data[9:])
            + chunk(b"IEND", b"")
        )

    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    adam7 = [row for x, y, dx, dy in passes for row in pixels_HW[y::dy, x::dx]]
    for content in (png(list(pixels_HW), 0, b""), png(adam7, 1, chunk(b"tEXt", b"Comment\0a word"))):
        assert (PILLOW(content) == pixels_HW).all() and (FAST(content) == pixels_HW).all()


def test_what_is_installed_is_used_and_named(monkeypatch):
    assert build_decoder() == FAST and FAST.names == "PNG by kornia, JPEG by simplejpeg"
    assert build_decoder("pillow") == PILLOW and PILLOW.names == "PNG by pillow, JPEG by pillow"
    with pytest.raises(ConfigError, match="auto, pillow, fast"):
        build_decoder("slow")
    monkeypatch.setattr(decoders, "_kornia", lambda: None)
    assert build_decoder().names == "PNG by opencv, JPEG by simplejpeg"
    monkeypatch.setattr(decoders, "_opencv", lambda: None)
    assert build_decoder().names == "PNG by pillow, JPEG by simplejpeg"
    with pytest.raises(ConfigError, match=r"opencv and kornia-rs not installed; run: pip install 'horovod-ocr\[fast"):
        build_decoder("fast")
    colour = encoded(Image.new("RGB", (30, 20), (200, 10, 10)), "JPEG")
    assert distance(build_decoder()(colour), PILLOW(colour)) <= 1
    monkeypatch.setattr(decoders, "_simplejpeg", lambda: None)
    assert build_decoder() == PILLOW


@pytest.mark.slow
def test_a_decoder_reaches_a_worker_as_it_is():
    assert pickle.loads(pickle.dumps(FAST)) == FAST and pickle.loads(pickle.dumps(PILLOW)) == PILLOW
    script = "import sys, horovod_ocr.data.image; print([name for name in ('torch', 'cv2') if name in sys.modules])"
    imported = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert imported.stdout == "[]\n"


def test_opencv_starts_no_threads():
    import cv2

    FAST(encoded(Image.new("L", (40, 30)), "PNG"))
    assert cv2.getNumThreads() == 1
