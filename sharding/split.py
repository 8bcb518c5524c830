"""train / val / test by hash: stable when data grows, the same on any machine."""

import hashlib

SPLITS = ("train", "val", "test")
_WHOLE = 1 << 64


def choose_split(seed: int, unit: str, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)) -> str:
    """The split of one unit: the normalised label of a word (so that no test word was ever trained on), the path of a
    classified image. Depends on nothing but the seed, the unit and the fractions (of train, val, test; they add to 1).
    """
    place = hash_of(f"split {seed}", unit)
    if place < fractions[0] * _WHOLE:
        return "train"
    return "val" if place < (fractions[0] + fractions[1]) * _WHOLE else "test"


def hash_of(purpose: str, text: str) -> int:
    """A 64-bit number from a text; another purpose gives unrelated numbers."""
    content = f"{purpose}\0{text}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
