"""Is this image readable; if not, why; and what a shard will hold of it.

    byte for byte   PNG of 8 bits, grey or RGB, interlaced or not, unless it has transparency, an animation, a colour
                    profile or compressed text (readers inflate those, whatever their size); JPEG of 8 bits, grey or
                    colour, baseline or progressive (of MPO the file as it is: readers take its first picture). EXIF
                    may be there as long as it does not turn the image.
    as a new PNG    everything else: palettes, 1, 2, 4 and 16 bits (the upper 8 stay), alpha (laid on white), CMYK (as
                    Adobe writes it), images that EXIF turns, WebP, BMP, TIFF. Grey if no pixel has a colour, else
                    RGB; without metadata, colour profiles too, which were never applied.
    never           several pictures in one file (animation, pages); pixels of 32 bits, floating-point or Lab; PNG of
                    16 bits with one transparent colour; JPEG of 12 bits, lossless, arithmetic; other formats; more
                    pixels than the limits allow or than its bytes can hold, which the header shows before anything is
                    decoded

How closely the bytes that are kept are checked (what is converted is decoded to its end in any case):

    full        everything that "structure" finds but check_data of png.py, and Pillow decodes every image to its end.
                Missed: changed bytes of a JPEG's compressed pixels that still decode.
    structure   PNG: every checksum, and the length of what inflates. JPEG: the markers to its end. Pillow decodes
                nothing. Missed besides: changed bytes of a JPEG's compressed pixels that do not decode.
    header      the size; PNG: that its chunks reach to its end. JPEG: the segments before the first pixels. Missed:
                all changed bytes after that, and JPEGs cut off there.
"""

import io
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from sharding.images.convert import as_grey_or_rgb, encode, orientation_of, shrunk, upright
from sharding.images.jpeg import JPEG_MAGIC, read_jpeg
from sharding.images.limits import Limits, check_aspect, check_pixels
from sharding.images.png import PNG_MAGIC, Png, check_data, plain_size, read_png, without_metadata
from sharding.reasons import Rejected

CHECKS = ("full", "structure", "header")
FORMS = ("keep", "png", "jpeg")

_DEFLATE_RATIO = 1032  # the most that a byte of PNG data can inflate to
_JPEG_PIXELS_A_BYTE = 512  # a block of 8 x 8 pixels takes at least one bit


@dataclass(frozen=True)
class ImageRule:
    """How an image is checked, and what becomes of it."""

    check: str = "full"
    """One of CHECKS."""
    form: str = "keep"
    """"keep", or the format in which every image is encoded again (convert.py), except JPEGs that are kept and keep
    their height: "jpeg" leaves those alone."""
    height_px: int = 0
    """Higher images are shrunk to it; 0: none are."""

    def __post_init__(self) -> None:
        if self.form == "keep" and self.height_px:
            raise ValueError("images that are kept as they are cannot be shrunk")


class CheckedImage(NamedTuple):
    """What a shard will hold."""

    content: bytes
    """The bytes, unchanged (the same object) or encoded again."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    image_format: int
    """Position in STORED_SUFFIXES: 0 PNG, 1 JPEG."""


def read_image(content: bytes, limits: Limits, rule: ImageRule = ImageRule()) -> CheckedImage:
    """Check the bytes of one image file; Rejected if it cannot be used."""
    if content.startswith(PNG_MAGIC):
        return _from_png(content, limits, rule)
    if content.startswith(JPEG_MAGIC):
        return _from_jpeg(content, limits, rule)
    with _opened(content, ("WEBP", "BMP", "TIFF")) as image:
        if (pictures := getattr(image, "n_frames", 1)) > 1:
            raise Rejected("several pictures", f"{pictures} in one {image.format}")
        check_pixels(*image.size, limits)
        image.load()
        return _converted(image, orientation_of(image.info.get("exif", b"")), limits, rule)


def build_reader(limits: Limits, rule: ImageRule) -> Callable[[bytes], tuple[bytes, int, int, int]]:
    """`read_image` under one rule for many images; if only headers are read, faster for the most common file."""
    if rule.check != "header" or rule.form != "keep":
        return lambda content: read_image(content, limits, rule)
    most_pixels, most_aspect = limits.max_pixels, limits.max_aspect

    def read(content: bytes) -> tuple[bytes, int, int, int]:
        width, height = plain_size(content)
        if 0 < width <= most_aspect * height and width * height <= most_pixels:
            return content, width, height, 0
        return read_image(content, limits, rule)

    return read


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


def _from_png(content: bytes, limits: Limits, rule: ImageRule) -> CheckedImage:
    png = read_png(content, checksums=rule.check != "header")
    check_pixels(png.width, png.height, limits)
    most = len(content) * _DEFLATE_RATIO
    if most < 9 * png.width * png.height and most < png.raw_bytes:  # the first is a cheap upper bound of the second
        raise _too_few_bytes(content, png.width, png.height)
    orientation = orientation_of(png.chunk(content, b"eXIf")) if png.others else 1
    kept = png.plain and orientation == 1
    if kept and rule.form == "keep":
        if rule.check == "structure":
            check_data(content, png)
        elif rule.check == "full":
            with _opened(without_metadata(content, png), ("PNG",)) as image:
                image.load()
        check_aspect(png.width, png.height, limits)
        return CheckedImage(content, png.width, png.height, 0)
    with _opened(without_metadata(content, png), ("PNG",)) as image:
        image.load()
        _correct_transparency(image, png)
        return _converted(image, orientation, limits, rule)


def _from_jpeg(content: bytes, limits: Limits, rule: ImageRule) -> CheckedImage:
    jpeg = read_jpeg(content, whole=rule.check != "header")
    check_pixels(jpeg.width, jpeg.height, limits)
    if len(content) * _JPEG_PIXELS_A_BYTE < jpeg.width * jpeg.height:
        raise _too_few_bytes(content, jpeg.width, jpeg.height)
    orientation = orientation_of(jpeg.exif)
    shrinks = rule.height_px and jpeg.height > rule.height_px
    kept = jpeg.colours in (1, 3) and orientation == 1 and rule.form != "png" and not shrinks
    if kept and jpeg.plain and rule.check != "full":
        check_aspect(jpeg.width, jpeg.height, limits)
        return CheckedImage(content, jpeg.width, jpeg.height, 1)
    with _opened(content, ("JPEG",)) as image:  # readers must accept its metadata, whatever is checked
        if rule.check == "full" or not kept:
            image.load()
        if kept:
            check_aspect(jpeg.width, jpeg.height, limits)
            return CheckedImage(content, jpeg.width, jpeg.height, 1)
        return _converted(image, orientation, limits, rule)


@contextmanager
def _opened(content: bytes, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """The image by Pillow; any complaint of Pillow becomes Rejected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on unusual metadata; what matters becomes a reason
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(content), formats=formats) as image:
                yield image
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise Rejected("too many pixels", str(error)) from error
        except UnidentifiedImageError as error:
            raise Rejected("not an image", f"{len(content):,} bytes") from error
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
            # On damaged files decoders raise all of these.
            raise Rejected("damaged image", str(error)) from error


def _converted(image: Image.Image, orientation: int, limits: Limits, rule: ImageRule) -> CheckedImage:
    """A decoded image, encoded again."""
    plain = as_grey_or_rgb(upright(image, orientation))
    check_aspect(*plain.size, limits)
    plain = shrunk(plain, rule.height_px)
    check_aspect(*plain.size, limits)
    return CheckedImage(encode(plain, rule.form), *plain.size, int(rule.form == "jpeg"))


def _correct_transparency(image: Image.Image, png: Png) -> None:
    """Bring the transparent grey or colour of a PNG to the values of Pillow's pixels."""
    if "transparency" not in image.info:
        return
    if png.depth == 16:
        raise Rejected("unsupported pixels", "16 bits, and one transparent colour")
    if png.colour == 0 and png.depth in (2, 4):  # Pillow spreads the pixels over 0 to 255, but not this value
        image.info["transparency"] *= 255 // ((1 << png.depth) - 1)


def _too_few_bytes(content: bytes, width: int, height: int) -> Rejected:
    return Rejected("damaged image", f"{len(content):,} bytes cannot hold {width} x {height} px")
