"""Small raw folders, made on the spot, and what was built of them."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from xxhash import xxh3_64_intdigest

from sharding.build import ShardOptions, ShardReport, build_shards
from sharding.format.idx import read_idx
from sharding.format.index import read_index
from sharding.reading.labels import LabelCounts
from sharding.reading.sample_reader import Sample
from sharding.reading.spool import SpoolWriter

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


def hash_of(purpose: str, path: str) -> int:
    """What `hash_paths` gives for one path."""
    return xxh3_64_intdigest(f"{purpose}\0{path}".encode("utf-8", "surrogateescape"))


def shard_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a shard set; not the folder build/, which speaks of this machine."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


class PackedSample(NamedTuple):
    """A sample as it lies in a shard, read by the offsets of the .idx."""

    split: str
    image: bytes
    label: str


def packed_samples(out: Path) -> list[PackedSample]:
    """Every sample of a set, in its order."""
    index, samples = read_index(out), []
    for shard in index.shards:
        tar = index.tar_path(shard).read_bytes()
        for record in read_idx(index.idx_path(shard)):
            image, label = (
                tar[int(record[f"{part}_offset"]) :][: int(record[f"{part}_size"])] for part in ("image", "label")
            )
            samples.append(PackedSample(shard.split, image, label.decode()))
    return samples


def tsv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="session")
def build() -> Callable[..., ShardReport]:
    """build(src, out, report=None, **options), by one worker unless told otherwise."""
    return lambda src, out, report=None, **options: build_shards(
        ShardOptions.of(**{"src": src, "out": out, "workers": 1, **options}), report
    )


@pytest.fixture(scope="session")
def read_packed() -> Callable[[Path], list[PackedSample]]:
    return packed_samples


@pytest.fixture(scope="session")
def read_list() -> Callable[[Path], list[dict[str, str]]]:
    """The lines of rejects.tsv or duplicates.tsv, by column."""
    return tsv_rows


@pytest.fixture(scope="session")
def make_image() -> Callable[..., bytes]:
    return image_bytes


@pytest.fixture
def make_words(tmp_path: Path) -> Callable[..., Path]:
    return lambda count, name="raw", **options: write_words(tmp_path / name, count, **options)


@pytest.fixture(scope="session")
def read_set() -> Callable[[Path], dict[str, bytes]]:
    return shard_bytes


def spool_of(path: Path, samples: list[dict], order: np.ndarray, first: int = 0) -> Path:
    """A spool file of samples, of which only what is said matters. order: of the entries from `first` on."""
    plain = {"image": b"picture", "label": b"text", "subset": 0, "split": 0, "length": 4, "label_hash": 0}
    plain |= {"width": 64, "height": 64, "image_format": 0, "digest": 0, "read_bytes": 7}
    with path.open("wb") as file:
        writer = SpoolWriter(file, order, first)
        for sample in samples:
            writer.add(Sample(**{**plain, **sample}))
        writer.finish(len(order), LabelCounts(Counter(), Counter()))
    return path


@pytest.fixture(scope="session")
def write_spool() -> Callable[..., Path]:
    return spool_of
