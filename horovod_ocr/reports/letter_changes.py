"""Sentences about letters that did not stay as they were written: changed by folds of the profile, or refused by it."""

from collections.abc import Mapping

from horovod_ocr.reports.stats import visible
from sharding.check import remedy

MOST_TOLD = 10  # letters


def folds_told(folded: Mapping[str, int], most: int = MOST_TOLD) -> list[str]:
    """folded: "ي → ی" -> how often -> "ي U+064A became ی U+06CC 123 times", the most frequent first."""
    lines = []
    for change, count in list(folded.items())[:most]:
        before, _, after = change.partition(" → ")
        what = f"became {coded(after)}" if after else "was dropped"
        lines.append(f"{coded(before)} {what} {count:,} {'time' if count == 1 else 'times'}")
    return [*lines, *_more(folded, most)]


def refused_told(letters: Mapping[str, int], most: int = MOST_TOLD) -> list[str]:
    """letters: refused ones -> how often -> "é U+00E9 12 (profile latin has it; --profile plain takes any)"."""
    return [
        *(f"{coded(letter)} {count:,}{remedy([letter])}" for letter, count in list(letters.items())[:most]),
        *_more(letters, most),
    ]


def coded(text: str) -> str:
    """What there is to see of some letters, and their code points."""
    seen = [visible(text)] if text.isprintable() and text else []
    return " ".join([*seen, *(f"U+{ord(letter):04X}" for letter in text)])


def _more(letters: Mapping[str, int], most: int) -> list[str]:
    return [f"and {len(letters) - most:,} more letters"] if len(letters) > most else []
