"""Small raw folders, made on the spot."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

WORDS = ("کتاب", "پاکستان", "اردو", "دن", "رات", "سال", "شہر", "ندی", "پہاڑ", "آسمان", "بچہ", "گھر", "میز", "کرسی")


def image_bytes(number: int = 0, size: tuple[int, int] = (96, 64), mode: str = "L", suffix: str = "png") -> bytes:
    """A picture that differs from that of any other number below 2 ** 24."""
    image = Image.new("RGB", size, "white")
    image.putpixel((1, 1), (number >> 16 & 255, number >> 8 & 255, number & 255))
    for x in range(min(24, size[0])):
        if number >> x & 1:
            image.putpixel((x, 0), (0, 0, 0))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    return buffer.getvalue()


def write_words(folder: Path, count: int, widths: tuple[int, ...] = (64, 96, 160)) -> Path:
    """`count` word images with a labels.tsv; labels repeat."""
    (folder / "images").mkdir(parents=True)
    lines = ["path\tlabel\tsubset"]
    for number in range(count):
        name = f"images/{number:05d}.png"
        (folder / name).write_bytes(image_bytes(number, (widths[number % len(widths)], 64)))
        label = WORDS[number % len(WORDS)][: 2 + number % 4] + WORDS[number // 14 % len(WORDS)][:2]
        lines.append(f"{name}\t{label}\t{('lexicon', 'random')[number % 2]}")
    (folder / "labels.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def shard_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a shard set; not the folder build/, which speaks of this machine."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.fixture(scope="session")
def make_image() -> Callable[..., bytes]:
    return image_bytes


@pytest.fixture
def make_words(tmp_path: Path) -> Callable[..., Path]:
    return lambda count, name="raw", **options: write_words(tmp_path / name, count, **options)


@pytest.fixture(scope="session")
def read_set() -> Callable[[Path], dict[str, bytes]]:
    return shard_bytes
