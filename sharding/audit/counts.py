"""What an audit found, counted by letter, by script and by file format."""

import unicodedata
from collections import Counter
from typing import NamedTuple

from sharding.audit.confusables import Confusable
from sharding.audit.result import Audit
from sharding.audit.scan import FORMATS
from sharding.audit.set_stats import RARE_BELOW

SLIP_RATIO = 100  # the rarer of two look-alikes may be a slip if the other one is this many times as frequent


class LetterCount(NamedTuple):
    """How often a letter occurs in the normalised labels of samples."""

    in_all: int
    """In all splits."""
    in_train: int
    """In the train split alone."""


class FormatCount(NamedTuple):
    """Samples whose images are in one file format."""

    images: int
    """How many there are, converted or not; rejects are not counted."""
    converted: int
    """How many of them a build stores in another format."""


def count_letters(audit: Audit) -> dict[str, LetterCount]:
    """The alphabet after normalising, in the order of code points."""
    letters, in_train = sum(audit.found.letters, Counter[str]()), audit.found.letters[0]
    return {letter: LetterCount(letters[letter], in_train[letter]) for letter in sorted(letters)}


def rare_letters(audit: Audit) -> list[str]:
    """The letters of the alphabet that occur less than RARE_BELOW times in train."""
    return [letter for letter, count in count_letters(audit).items() if count.in_train < RARE_BELOW]


def count_scripts(audit: Audit) -> Counter[str]:
    """Script -> its letters in the labels as they were written; digits and punctuation are not counted."""
    scripts: Counter[str] = Counter()
    for letter, count in audit.found.labels.letters.items():
        if letter.isalpha():
            scripts[unicodedata.name(letter, "?").split()[0].lower()] += count
    return scripts


def count_formats(audit: Audit) -> dict[str, FormatCount]:
    """File format -> images of samples."""
    formats: dict[str, FormatCount] = {}
    for (start, is_converted), count in audit.found.formats.items():
        images, converted = formats.get(FORMATS[start], FormatCount(0, 0))
        formats[FORMATS[start]] = FormatCount(images + count, converted + count * is_converted)
    return formats


def stay_apart(pair: Confusable) -> bool:
    """Do both look-alikes become letters of the alphabet?"""
    return not pair.folded and not pair.refused


def likely_slips(audit: Audit) -> list[Confusable]:
    """Look-alikes that stay apart, one of them so much rarer that it may have been typed by mistake."""
    return [
        pair
        for pair in audit.labels.confusables
        if stay_apart(pair) and SLIP_RATIO * min(pair.count, pair.other_count) <= max(pair.count, pair.other_count)
    ]
