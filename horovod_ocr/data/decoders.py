"""Encoded images to grey levels of a wanted size: by Pillow, or where they are installed by kornia-rs (grey PNG),
opencv (other PNG, growing) and simplejpeg (JPEG). No torch.

Both take what a shard may hold (sharding/images): PNG or JPEG of 8 bits, grey or RGB, upright; EXIF is not looked at.
Their grey levels differ by at most 2. What the fast ones refuse, Pillow decides, so that the same images are damaged
under both.

What a rendered grey word costs on one core, in us, resized to 64 px and placed in a batch; shards made with the
options of `horovod-ocr shard` that are named. Minima, each side in processes of its own (Pillow 13.0, opencv 5.0,
simplejpeg 1.9, kornia-rs 0.2):
                                 Pillow, by Image.open   Pillow, as here   fast, no kornia-rs   fast
    PNG as synth wrote it                         112                96                   72     42
    PNG, --image png --height 64                   89                75                   54     28
    JPEG at its own height                         96                93                   34     34
    JPEG, --image jpeg --height 64                 81                75                   23     23

Shapes: H height, W width; grey levels are uint8, 255 white.
"""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import NamedTuple

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

Picture = Image.Image | np.ndarray  # grey; Pillow's stays Pillow's until it has its size: to copy it out costs 6 us

_CRC = struct.Struct(">I").unpack_from
# What Pillow raises for damaged files: whatever its decoders trip over.
_DAMAGE = (Rejected, OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


class DamagedImageError(ValueError):
    """Bytes that are no whole PNG or JPEG. The sentence says what is wrong with them, but not where they stand."""


class Decoder(NamedTuple):
    """Bytes to grey levels. Build it with `build_decoder`; it may be pickled (each process imports for itself)."""

    png: Callable[[bytes], Picture]
    jpeg: Callable[[bytes], Picture]
    resize: Callable[[Picture, int, int], np.ndarray]

    def __call__(
        self, encoded: bytes | memoryview, size_of: Callable[[int, int], tuple[int, int]] | None = None
    ) -> np.ndarray:
        """Grey levels (H, W), perhaps read-only. size_of: the size of the file -> the size wanted, (width, height) px.

        Raises:
            DamagedImageError: they do not decode to the end.
        """
        content = bytes(encoded)  # costs nothing where they are bytes
        if content.startswith(PNG_MAGIC):
            decode = self.png
        elif content.startswith(JPEG_MAGIC):
            decode = self.jpeg
        else:
            raise DamagedImageError(f"{len(content):,} bytes that are neither PNG nor JPEG")
        try:
            picture = decode(content)
        except _DAMAGE as error:
            raise DamagedImageError(getattr(error, "detail", "") or str(error)) from error
        if size_of is None:
            return np.asarray(picture)
        height, width = picture.shape if isinstance(picture, np.ndarray) else picture.size[::-1]
        return self.resize(picture, *size_of(width, height))

    @property
    def names(self) -> str:
        """For a line of the log."""
        return f"PNG by {self.png.__name__.split('_')[-1]}, JPEG by {self.jpeg.__name__.split('_')[-1]}"


def build_decoder(wanted: str = "auto") -> Decoder:
    """wanted: one of CHOICES; "auto" takes each fast one that is installed.

    Raises:
        ConfigError: no such choice, or "fast" where one is missing.
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


def png_by_pillow(content: bytes) -> Image.Image:
    size = _check_png(content)
    if not size:
        return _grey(PngImageFile(io.BytesIO(content)))
    mode = "RGB" if content[25] == 2 else "L"
    # PngImageFile looks for many chunks: 12 us more
    return _grey(Image.frombytes(mode, size, content[41:-16], "zip", mode, 0))


def jpeg_by_pillow(content: bytes) -> Image.Image:
    return _grey(JpegImageFile(io.BytesIO(content)))  # Image.open would try other formats: 4 us more


def png_by_opencv(content: bytes) -> Picture:
    _check_png(content)  # opencv would write of damage to stderr
    cv2 = _opencv()
    # the colours as they are: asked for grey, libpng applies gamma, which Pillow does not
    levels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None:
        return png_by_pillow(content)
    return levels if levels.ndim == 2 else cv2.cvtColor(levels, cv2.COLOR_BGR2GRAY)


def png_by_kornia(content: bytes) -> Picture:
    """Its inflate and its filters take less than half of opencv's time; of colours and other forms it knows little."""
    size = _check_png(content)
    if size and content[25] == 0:
        try:
            return _kornia().decode_image_png_u8(content, size[::-1], "mono")[:, :, 0]
        except Exception:  # its only kind
            return png_by_pillow(content)
    return png_by_opencv(content) if _opencv() else png_by_pillow(content)


def jpeg_by_simplejpeg(content: bytes) -> Picture:
    simplejpeg, cv2 = _simplejpeg(), _opencv()
    try:
        if _is_plain_grey(content) or simplejpeg.decode_jpeg_header(content)[2] == "Gray":
            return simplejpeg.decode_jpeg(content, "GRAY")[:, :, 0]
        # not its own grey: where colours are strong it differs from Pillow's by up to 18
        levels = simplejpeg.decode_jpeg(content, "RGB")
    except ValueError:
        return jpeg_by_pillow(content)
    return _grey(Image.fromarray(levels)) if cv2 is None else cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)


def resize_by_pillow(picture: Picture, width: int, height: int) -> np.ndarray:
    """Bilinear, over all pixels that an output pixel covers where it shrinks."""
    if isinstance(picture, np.ndarray):
        if picture.shape == (height, width):
            return picture
        picture = Image.fromarray(picture)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def resize_by_opencv(picture: Picture, width: int, height: int) -> np.ndarray:
    """As Pillow within 1 grey level; opencv where both axes grow: where one shrinks, it would skip pixels."""
    resized = None
    if isinstance(picture, np.ndarray):
        rows, columns = picture.shape
        if rows == height and columns == width:
            return picture
        if rows <= height and columns <= width:
            cv2 = _opencv()
            return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        resized = resample(picture, width, height)
    return resize_by_pillow(picture, width, height) if resized is None else resized


PILLOW = Decoder(png_by_pillow, jpeg_by_pillow, resize_by_pillow)


def _grey(image: Image.Image) -> Image.Image:
    if image.mode != "L":
        return image.convert("L")
    image.load()  # damage shows here, not at the resize
    return image


def _is_plain_grey(content: bytes) -> bool:
    """Is it laid out as most encoders do grey: the segments JFIF, one table, a baseline frame of one component?"""
    jfif, table, frame = content[2:6], content[20:24], content[89:93]
    return jfif == b"\xff\xe0\0\x10" and table == b"\xff\xdb\0\x43" and frame == b"\xff\xc0\0\x0b"


def _check_png(content: bytes) -> tuple[int, int] | None:
    """All checksums; Rejected where one is wrong. Returns the size where IDAT, one and whole, is all there is."""
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
def _opencv() -> ModuleType | None:
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(0)  # a loader worker is one core
    return cv2


@cache
def _kornia() -> ModuleType | None:
    try:
        from kornia_rs import io
    except ImportError:
        return None
    return io


@cache
def _simplejpeg() -> ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
