"""Convert pixels of any kind to the grey or RGB of 8 bits that a shard holds, upright, not higher than asked for, and
encode them again.

Cost of the two encodings, for rendered grey words 64 px high (mean 73 px wide, 4.3 KB of grey levels), Pillow 13:

    PNG, runs only           2,201 bytes, 124 us (zlib's RLE; as small on words in black and white)
    PNG, level 6             2,199 bytes, 187 us. Level 1: 2,356 bytes, 139 us; level 9: 2,184 bytes, 388 us
    JPEG, quality 90         1,410 bytes, 62 us; grey levels differ by 1.5 on the mean, by 19 at most
    JPEG, quality 80, 95     1,062 and 1,837 bytes; 2.2 and 0.9 on the mean, 36 and 10 at most

Colour has few runs: there level 6 is 15 % smaller.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from sharding.reasons import Rejected

# Not left to defaults, so that bytes are the same everywhere (with the same Pillow).
PNG_OPTIONS = {"L": {"compress_level": 6, "compress_type": zlib.Z_RLE}, "RGB": {"compress_level": 6}}
JPEG_OPTIONS = {"quality": 90, "optimize": True}

# Of 16 bits. X-ray detectors have 12, which are often stored as they are: 4,095 is then white
LEAST_BRIGHT = 1 << 12

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(exif: bytes) -> int:
    """How the picture was held, 1 (upright) to 8; 1 if the EXIF is not readable or does not say."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if not order:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (entries,) = struct.unpack_from(f"{order}H", exif, at)
        for position in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, position)
            if tag == _ORIENTATION:
                return int(value) if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def as_grey_or_rgb(image: Image.Image) -> Image.Image:
    """Any mode as "L" or "RGB" of 8 bits: on white if it is transparent, "L" if no pixel has a colour.

    Of 16 bits the upper half stays. Rejected if a pixel is anything else, or if hardly anything of it would stay.
    """
    if image.mode.startswith("I;16"):
        levels = np.asarray(image)
        if (brightest := int(levels.max())) < LEAST_BRIGHT:
            raise Rejected(
                "nearly black", f"its brightest level is {brightest:,} of 65,535; convert it to 8 bits first"
            )
        return Image.fromarray((levels >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode not in ("P", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr"):
        raise Rejected("unsupported pixels", f"Pillow calls them {image.mode}")
    image = image.convert("RGB")
    red, green, blue = (np.asarray(band) for band in image.split())
    return image.getchannel(0) if np.array_equal(red, green) and np.array_equal(green, blue) else image


def shrunk(image: Image.Image, height_px: int) -> Image.Image:
    """At most this high, the aspect kept, in the way in which the loader brings images to the model's height
    (horovod_ocr/data/image.py), so that nothing is left for it to do. 0: unchanged."""
    if not height_px or image.height <= height_px:
        return image
    width_px = max(1, round(image.width * height_px / image.height))
    return image.resize((width_px, height_px), Image.Resampling.BILINEAR)


def encode(image: Image.Image, form: str) -> bytes:
    """Encode "L" or "RGB" as the bytes of a "png" or "jpeg", without metadata."""
    image.info = {}  # Pillow would write colour profiles from here
    buffer = io.BytesIO()
    if form == "jpeg":
        image.save(buffer, "JPEG", **JPEG_OPTIONS)
    else:
        image.save(buffer, "PNG", **PNG_OPTIONS[image.mode])
    return buffer.getvalue()
