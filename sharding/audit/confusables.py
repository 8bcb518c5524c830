"""Letters that look alike in an image: if a source writes one word with either, a model learns two truths."""

import unicodedata
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from sharding.format.script.profile import ScriptProfile

# Each string holds letters that a reader of the image alone cannot tell apart, or often does not: in the fonts of one
# script, or across scripts. Escapes are used for letters that would look the same here, too.
_LOOK_ALIKES = (
    # Arabic and Urdu keyboards
    "\u064a\u06cc\u0649",  # yeh
    "\u0643\u06a9\u06aa",  # kaf
    "\u0647\u06c1\u06d5",  # heh
    "\u0647\u06be",  # heh, and the one with two eyes
    "\u06c0\u06c2",
    "\u0629\u06c3",
    "\u0627\u0671",  # alef
    "\u0621\u0674",  # hamza
    *(f"{chr(0x660 + digit)}{chr(0x6F0 + digit)}" for digit in range(10)),
    "\u0627\u06f1\u0661",  # alef and 1
    "\u06d4\u06f0\u0660",  # full stop and 0
    "\u066a%",
    "\u066b,\u060c",
    "\u0640_",
    # Latin, Cyrillic, Greek
    "1lI|\u0406\u04c0\u0399",
    "0Oo\u041e\u043e\u039f\u03bf",
    *(
        "A\u0410\u0391 B\u0412\u0392 C\u0421 E\u0415\u0395 H\u041d\u0397 J\u0408 K\u041a\u039a M\u041c\u039c "
        "N\u039d P\u0420\u03a1 S\u0405 T\u0422\u03a4 X\u0425\u03a7 Y\u04ae\u03a5 Z\u0396 a\u0430 c\u0441 "
        "d\u0501 e\u0435 h\u04bb i\u0456 j\u0458 p\u0440\u03c1 q\u051b s\u0455 v\u03bd w\u051d x\u0445\u03c7 y\u0443 "
        "\u00b5\u03bc \u00df\u03b2 \u0110\u00d0 \u01dd\u0259"
    ).split(),
    # Thai: sara am, and its circle alone
    "\u0e33\u0e4d",
    # punctuation
    "'\u2018\u2019\u02bc\u2032`\u00b4",
    '"\u201c\u201d\u2033\u201e',
    "-\u2010\u2011\u2012\u2013\u2014\u2212\u00ad",
    ",\u201a",
    ":\ua789\u2236",
    "\u00b7\u2022\u2219",
    "~\u223c",
    " \u00a0\u2002\u2003\u2009\u200a\u202f\u3000",
)


class Confusable(NamedTuple):
    """Two letters that look alike and both occur. If the profile neither folds nor refuses them, both stay letters of
    the alphabet."""

    letter: str
    """The one with the lower code point."""
    other: str
    """The one with the higher code point."""
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    """How often `letter` occurs in raw labels."""
    other_count: int
    """How often `other` occurs there."""
    folded: bool
    """The profile makes one letter of them."""
    refused: bool
    """The profile refuses at least one of them."""


def find_confusables(letters: Mapping[str, int], profile: ScriptProfile) -> list[Confusable]:
    """The pairs among these letters of raw labels (letter -> how often): those of the table above, and those that
    Unicode calls one letter in two shapes (NFKC). Pairs that stay two letters come first, then by the rarer letter."""
    pairs = {pair for group in _LOOK_ALIKES for pair in combinations(sorted(letters.keys() & set(group)), 2)}
    by_form: dict[str, list[str]] = {}
    for letter in sorted(letters):
        by_form.setdefault(unicodedata.normalize("NFKC", letter), []).append(letter)
    pairs.update(pair for same in by_form.values() for pair in combinations(same, 2))
    found = []
    for letter, other in pairs:
        forms = profile.normalise(letter), profile.normalise(other)
        refused = any(map(profile.unknown, forms))
        found.append(Confusable(letter, other, letters[letter], letters[other], forms[0] == forms[1], refused))
    return sorted(found, key=lambda pair: (pair.folded or pair.refused, -min(pair[2:4]), pair.letter, pair.other))
