"""A source of any number of names without files, for benchmarks of the work for each entry."""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sharding.format.script.profile import build_profile
from sharding.layouts.entry import Entry, Mark, Reader, Source

_LABELS = 200_000
_IMAGES_A_PAGE, _PAGES_A_WRITER = 200, 500
_START = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_REST = b"\x08\0\0\0\0" + bytes(4) + b"\0\0\0\x08IDAT"  # grey of 8 bits; check="header" reads no checksum
_END = bytes(4) + b"\0\0\0\0IEND" + bytes(4)


@dataclass(frozen=True)
class NamesSource(Source):
    """`names` entries, all with a path and a label of 2 to 5 Urdu letters.

    The last of each thousand repeats the image before it, alternately under its label and under another one; the last
    of each million repeats the line before it.
    """

    names: int
    root = Path("/")
    layout = "names"

    def entries(self) -> Iterator[Entry]:
        labels = _labels()
        for number in range(self.names):
            if number % 1_000_000 == 999_999:
                number -= 1
            page, image = divmod(number, _IMAGES_A_PAGE)
            path = b"writer-%04d/page-%03d/%08d-%03d.png" % (*divmod(page, _PAGES_A_WRITER), number, image)
            yield Entry(path, labels[_shown(number) if number % 2000 == 999 else number])

    def listing(self) -> list[Mark]:
        return []

    def is_as_listed(self, marks: list[Mark]) -> bool:
        return True

    def open(self) -> "NamesReader":
        return NamesReader()


class NamesReader(Reader):
    def read_image(self, path: bytes, at: int, size: int) -> bytes:
        """A PNG of the size of a word, of nothing but chunks: its one IDAT holds its number."""
        shown = _shown(int(path[-16:-8]))
        return _START + struct.pack(">II", 40 + shown * 31 % 280, 64) + _REST + struct.pack(">Q", shown) + _END


def _shown(number: int) -> int:
    return number - (number % 1000 == 999)


class _Labels(list):
    def __getitem__(self, number: int) -> bytes:
        return super().__getitem__(number % _LABELS)


@cache
def _labels() -> _Labels:
    letters = [letter for letter in build_profile("urdu").letters if letter.isalpha()]
    drawn = random.Random(0)
    return _Labels("".join(drawn.choices(letters, k=drawn.randint(2, 5))).encode() for _ in range(_LABELS))
