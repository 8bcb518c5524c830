"""Is this image readable; why not, and what a shard will hold of it.

A sample is either fine or rejected with one reason of `REASONS` and a sentence. What goes into a shard:
    byte for byte   PNG of 8 bits, grey or RGB, without transparency; JPEG, grey or colour
    as a new PNG    everything else, by one rule: turned upright as EXIF says, laid on white where it is transparent,
                    brought to 8 bits, kept grey where it is grey and else RGB
    never           several pictures in one file (animation, pages), floating-point pixels, other formats
"""

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sharding.check import Limits
from sharding.reasons import Rejected

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright

CHECKS = ("full", "header")


@dataclass(frozen=True)
class ImageRule:
    """How closely images are looked at. check: "full" decodes every image, "header" only reads its size."""

    check: str = "full"


class CheckedImage(NamedTuple):
    """What a shard will hold. content: the bytes, as they are or re-encoded. image_format: place in IMAGE_SUFFIXES."""

    content: bytes
    width: int
    height: int
    image_format: int


def read_image(content: bytes, limits: Limits, rule: ImageRule = ImageRule()) -> CheckedImage:
    """Look at the bytes of one image file; Rejected where it cannot be used."""
    decode = rule.check == "full"
    kept = _png_kept_as_it_is(content)
    if kept and not decode:
        return _within(limits, CheckedImage(content, *kept, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; what matters becomes a reason
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _within(limits, CheckedImage(b"", *image.size, 0))
                return _within(limits, _checked(image, content, kept is not None, decode))
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise Rejected("too many pixels", str(error)) from error
        except UnidentifiedImageError as error:
            raise Rejected("not an image", f"{len(content):,} bytes") from error
        except Rejected:
            raise
        except (
            OSError,
            SyntaxError,
            ValueError,
            EOFError,
            IndexError,
            KeyError,
            TypeError,
            struct.error,
            MemoryError,
        ) as error:
            # The decoders of damaged files raise what they happen to trip over.
            raise Rejected("damaged image", str(error)) from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, at least one; else Rejected."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Rejected("missing image") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise Rejected("unreadable file", getattr(error, "strerror", None) or str(error)) from error
    if not content:
        raise Rejected("empty file")
    return content


def digest_of(content: bytes) -> int:
    """8 bytes of blake2b of an image's bytes, as the number that stands in .idx."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _within(limits: Limits, image: CheckedImage) -> CheckedImage:
    width, height = image.width, image.height
    if width < 1 or height < 1:
        raise Rejected("damaged image", f"{width} x {height} px")
    if width * height > limits.max_pixels:
        raise Rejected("too many pixels", f"{width} x {height} px; at most {limits.max_pixels:,} in all")
    if width > limits.max_aspect * height:
        raise Rejected("too wide", f"{width} x {height} px; at most {limits.max_aspect:g} times its height")
    return image


def _png_kept_as_it_is(content: bytes) -> tuple[int, int] | None:
    """(width, height) of a PNG of 8 bits, grey or RGB, without transparency, animation or EXIF; None for anything else.

    Rejected where a PNG ends before its last chunk: Pillow lets that pass, other readers do not.
    """
    if not content.startswith(_PNG_MAGIC) or content[12:16] != b"IHDR":
        return None
    kinds, at = set(), len(_PNG_MAGIC)
    while b"IEND" not in kinds:
        if at + 12 > len(content):
            raise Rejected("damaged image", f"a PNG of {len(content):,} bytes that ends before its last chunk")
        size, kind = struct.unpack_from(">I4s", content, at)
        kinds.add(kind)
        at += 12 + size
    plain = content[24:26] in (b"\x08\x00", b"\x08\x02") and kinds.isdisjoint((b"tRNS", b"acTL", b"eXIf"))
    return struct.unpack_from(">II", content, 16) if plain else None


def _checked(image: Image.Image, content: bytes, png_kept: bool, decode: bool) -> CheckedImage:
    jpeg = image.format in ("JPEG", "MPO")  # MPO: a JPEG that some cameras append a preview to
    if getattr(image, "n_frames", 1) > 1 and not jpeg:
        raise Rejected("several pictures", f"{image.n_frames} in one {image.format}")
    upright = image.getexif().get(_ORIENTATION, 1) not in range(2, 9)
    kept = upright and (png_kept or (jpeg and image.mode in ("L", "RGB")))
    if decode or not kept:
        image.load()
    if kept:
        return CheckedImage(content, *image.size, int(jpeg))
    plain = _as_grey_or_rgb(ImageOps.exif_transpose(image))
    buffer = io.BytesIO()
    plain.save(buffer, "PNG", compress_level=6)  # said, not left to a default: the same bytes everywhere
    return CheckedImage(buffer.getvalue(), *plain.size, 0)


def _as_grey_or_rgb(image: Image.Image) -> Image.Image:
    """Any mode as "L" or "RGB" of 8 bits."""
    if image.mode.startswith("I"):  # 16-bit grey, however the decoder calls it
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise Rejected("unsupported pixels", f"32-bit numbers up to {values.max():,}")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if image.mode == "F":
        raise Rejected("unsupported pixels", "floating-point numbers")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    if image.mode in ("1", "L"):
        return image.convert("L")
    image = image.convert("RGB")
    red, green, blue = (np.asarray(band) for band in image.split())
    return image.getchannel(0) if np.array_equal(red, green) and np.array_equal(green, blue) else image
