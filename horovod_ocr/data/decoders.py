"""Encoded images to levels of a wanted size, grey or RGB. No torch.

There are two kinds of decoders: Pillow, and faster ones if they are installed: kornia-rs (grey PNG), opencv (other PNG,
enlarging) and simplejpeg (JPEG). Both kinds decode what a shard may hold (sharding/images): PNG or JPEG of 8 bits, grey
or RGB, upright; EXIF is ignored. Their levels differ by at most 2. If a fast one refuses an image, Pillow decides,
so both kinds find the same images damaged.

Time for a rendered grey word on one core, in us: decoded, resized to 64 px and placed in a batch. The rows are options
of `horovod-ocr shard`. Minima, each column in its own processes (Pillow 13.0, opencv 5.0, simplejpeg 1.9, kornia-rs
0.2):
                                 Pillow, by Image.open   Pillow, as here   fast, no kornia-rs   fast
    PNG as synth wrote it                         112                96                   72     42
    PNG, --image png --height 64                   89                75                   54     28
    JPEG at its own height                         96                93                   34     34
    JPEG, --image jpeg --height 64                 81                75                   23     23

Shapes: H height, W width; levels are uint8, 255 white. A grey image is (H, W), one in colour (H, W, 3).
"""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from horovod_ocr.data.resample import resample
from horovod_ocr.errors import ConfigError
from sharding.images.jpeg import JPEG_MAGIC
from sharding.images.png import PNG_MAGIC, plain_size, read_png
from sharding.reasons import Rejected

CHOICES = ("auto", "pillow", "fast")

Picture = Image.Image | np.ndarray  # Pillow's is converted after it is resized, because the copy takes 6 us

_CRC = struct.Struct(">I").unpack_from
# what Pillow's decoders raise for damaged files
_DAMAGE = (Rejected, OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


class DamagedImageError(ValueError):
    """Bytes that are not a whole PNG or JPEG. The sentence says what is wrong, but not in which file."""


class Decoder(NamedTuple):
    """Bytes to levels. Built by `build_decoder`. It can be pickled: each process imports the packages it needs."""

    png: Callable[[bytes, int], Picture]
    """Takes the bytes of a PNG, and 1 for grey or 3 for RGB; raises one of _DAMAGE if they are damaged."""
    jpeg: Callable[[bytes, int], Picture]
    """The same for a JPEG."""
    resize: Callable[[Picture, int, int], np.ndarray]
    """Takes a picture, width and height."""

    def __call__(
        self,
        encoded: bytes | memoryview,
        size_of: Callable[[int, int], tuple[int, int]] | None = None,
        channels: int = 1,
    ) -> np.ndarray:
        """Grey levels (H, W), or RGB (H, W, 3); possibly read-only.

        size_of: maps the size of the file to the wanted size, both (width, height) in pixels. None: keep the size.
        channels: 1 for grey, 3 for RGB, whatever the file has.

        Raises:
            DamagedImageError: the bytes do not decode to the end.
        """
        content = bytes(encoded)  # bytes are not copied
        if content.startswith(PNG_MAGIC):
            decode = self.png
        elif content.startswith(JPEG_MAGIC):
            decode = self.jpeg
        else:
            raise DamagedImageError(f"{len(content):,} bytes that are neither PNG nor JPEG")
        try:
            picture = decode(content, channels)
        except _DAMAGE as error:
            raise DamagedImageError(getattr(error, "detail", "") or str(error)) from error
        if size_of is None:
            return np.asarray(picture)
        height, width = picture.shape[:2] if isinstance(picture, np.ndarray) else picture.size[::-1]
        return self.resize(picture, *size_of(width, height))

    @property
    def names(self) -> str:
        """The decoders, as a line of the log shows them."""
        return f"PNG by {self.png.__name__.split('_')[-1]}, JPEG by {self.jpeg.__name__.split('_')[-1]}"


def build_decoder(wanted: str = "auto") -> Decoder:
    """The decoder of a choice.

    wanted: one of CHOICES. "auto" uses each fast decoder that is installed; "fast" requires all of them.

    Raises:
        ConfigError: there is no such choice, or a fast decoder is missing.
    """
    if wanted not in CHOICES:
        raise ConfigError(f"there is no decoder {wanted!r}; choose one of: {', '.join(CHOICES)}")
    if wanted == "pillow":
        return PILLOW
    fast = {"opencv": _opencv(), "simplejpeg": _simplejpeg(), "kornia-rs": _kornia()}
    missing = [name for name, module in fast.items() if module is None]
    if wanted == "fast" and missing:
        raise ConfigError(f"fast decoders: {' and '.join(missing)} not installed; run: pip install 'horovod-ocr[fast]'")
    decoder = PILLOW
    if "opencv" not in missing:
        decoder = decoder._replace(png=png_by_opencv, resize=resize_by_opencv)
    if "simplejpeg" not in missing:
        decoder = decoder._replace(jpeg=jpeg_by_simplejpeg)
    if "kornia-rs" not in missing:
        decoder = decoder._replace(png=png_by_kornia)
    return decoder


def png_by_pillow(content: bytes, channels: int) -> Image.Image:
    size = _check_png(content)
    if not size:
        return _with_channels(PngImageFile(io.BytesIO(content)), channels)
    mode = "RGB" if content[25] == 2 else "L"
    # PngImageFile looks for many kinds of chunks, which takes 12 us more
    return _with_channels(Image.frombytes(mode, size, content[41:-16], "zip", mode, 0), channels)


def jpeg_by_pillow(content: bytes, channels: int) -> Image.Image:
    # Image.open would try other formats, which takes 4 us more
    return _with_channels(JpegImageFile(io.BytesIO(content)), channels)


def png_by_opencv(content: bytes, channels: int) -> Picture:
    _check_png(content)  # before opencv, which prints damage to stderr
    cv2 = _opencv()
    # decode the colours unchanged: for grey, libpng would apply gamma, which Pillow does not
    levels: np.ndarray | None = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None:
        return png_by_pillow(content, channels)
    if levels.ndim == 2:
        return levels if channels == 1 else cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB)
    converted: np.ndarray = cv2.cvtColor(levels, cv2.COLOR_BGR2GRAY if channels == 1 else cv2.COLOR_BGR2RGB)
    return converted


def png_by_kornia(content: bytes, channels: int) -> Picture:
    """Takes less than half of opencv's time, but only for plain grey PNGs; the others are left to opencv or Pillow."""
    size = _check_png(content)
    if size and content[25] == 0 and channels == 1:
        try:
            levels: np.ndarray = _kornia().decode_image_png_u8(content, size[::-1], "mono")[:, :, 0]
            return levels
        except Exception:  # it raises no other kind
            return png_by_pillow(content, channels)
    return png_by_opencv(content, channels) if _opencv() else png_by_pillow(content, channels)


def jpeg_by_simplejpeg(content: bytes, channels: int) -> Picture:
    simplejpeg, cv2 = _simplejpeg(), _opencv()
    levels: np.ndarray
    try:
        if channels == 1 and (_is_plain_grey(content) or simplejpeg.decode_jpeg_header(content)[2] == "Gray"):
            levels = simplejpeg.decode_jpeg(content, "GRAY")[:, :, 0]
            return levels
        # its own conversion to grey differs from Pillow's by up to 18 if colours are strong
        levels = simplejpeg.decode_jpeg(content, "RGB")
    except ValueError:
        return jpeg_by_pillow(content, channels)
    if channels == 3:
        return levels
    if cv2 is None:
        return _with_channels(Image.fromarray(levels), channels)
    levels = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
    return levels


def resize_by_pillow(picture: Picture, width: int, height: int) -> np.ndarray:
    """Bilinear; when shrinking, over all pixels that an output pixel covers."""
    if isinstance(picture, np.ndarray):
        if picture.shape[:2] == (height, width):
            return picture
        picture = Image.fromarray(picture)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def resize_by_opencv(picture: Picture, width: int, height: int) -> np.ndarray:
    """Within 1 level of Pillow's. opencv is used only if neither axis shrinks, because it would skip pixels."""
    resized: np.ndarray | None = None
    if isinstance(picture, np.ndarray):
        rows, columns = picture.shape[:2]
        if rows == height and columns == width:
            return picture
        if rows <= height and columns <= width:
            cv2 = _opencv()
            enlarged: np.ndarray = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
            return enlarged
        resized = resample(picture, width, height) if picture.ndim == 2 else None
    return resize_by_pillow(picture, width, height) if resized is None else resized


PILLOW = Decoder(png_by_pillow, jpeg_by_pillow, resize_by_pillow)


def _with_channels(image: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        return image.convert(mode)
    image.load()  # raises for damage here, not later in resize
    return image


def _is_plain_grey(content: bytes) -> bool:
    """Is it a grey JPEG as most encoders write it: the segments JFIF, one table, a baseline frame of one component?"""
    jfif, table, frame = content[2:6], content[20:24], content[89:93]
    return jfif == b"\xff\xe0\0\x10" and table == b"\xff\xdb\0\x43" and frame == b"\xff\xc0\0\x0b"


def _check_png(content: bytes) -> tuple[int, int] | None:
    """Check all checksums.

    Returns the (width, height) of a plain PNG, which consists of IHDR, one IDAT and IEND; None for any other.

    Raises:
        Rejected, DamagedImageError: a checksum is wrong.
    """
    width, height = plain_size(content)
    if not width:
        read_png(content, checksums=True)
        return None
    if zlib.crc32(content[12:29]) != _CRC(content, 29)[0]:
        raise DamagedImageError("PNG: wrong checksum of IHDR")
    if zlib.crc32(content[37:-16]) != _CRC(content, len(content) - 16)[0]:
        raise DamagedImageError("PNG: wrong checksum of IDAT")
    return width, height


@cache
def _opencv() -> Any:
    """The module; None if it is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(0)  # a loader worker has one core
    return cv2


@cache
def _kornia() -> Any:
    """The module; None if it is not installed."""
    try:
        from kornia_rs import io
    except ImportError:
        return None
    return io


@cache
def _simplejpeg() -> Any:
    """The module; None if it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
