"""The letters that a label of each built-in profile may hold, by rules over Unicode rather than by lists of signs.

Each profile has the letters, marks and digits of its script, ASCII digits, and `signs`: punctuation, symbols and
fractions as books of any script have them. Letters of another script are what a profile refuses.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

PROFILES = ("urdu", "arabic", "persian", "thai", "latin", "plain")
DIRECTIONS = {"urdu": "rtl", "arabic": "rtl", "persian": "rtl", "thai": "ltr", "latin": "ltr", "plain": "ltr"}

# Invisible in an image: zero-width space, direction marks, embeddings and isolates, word joiner, byte order
# mark.
INVISIBLE = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u061c\ufeff"
ZWNJ = "\u200c"
ARABIC_DIGITS = "٠١٢٣٤٥٦٧٨٩"
PERSIAN_DIGITS = "۰۱۲۳۴۵۶۷۸۹"

_DIGITS = "0123456789"
# Latin-1, general punctuation, super- and subscripts, currencies, letterlike signs and fractions, arrows and
# mathematics, circled numbers, shapes and dingbats, supplemental punctuation
_SIGNS = (
    (0x21, 0xFF),
    (0x2010, 0x205E),
    (0x2070, 0x209F),
    (0x20A0, 0x20CF),
    (0x2100, 0x218F),
    (0x2190, 0x22FF),
    (0x2460, 0x24FF),
    (0x25A0, 0x27BF),
    (0x2E00, 0x2E7F),
)
# Basic Latin to modifier letters, phonetics, Additional, superscripts, letterlike, Extended-C to -G, ligatures
_LATIN = (
    (0x41, 0x2FF),
    (0x1D00, 0x1DBF),
    (0x1E00, 0x1EFF),
    (0x2071, 0x209C),
    (0x2100, 0x214F),
    (0x2C60, 0x2C7F),
    (0xA720, 0xA7FF),
    (0xAB30, 0xAB6F),
    (0xFB00, 0xFB06),
    (0x10780, 0x107BF),
    (0x1DF00, 0x1DFFF),
)
_LATIN_MARKS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0xFE20, 0xFE2F))
_OTHER_SCRIPTS = {"GREEK", "CYRILLIC", "HEBREW", "ALEF", "BET", "GIMEL", "DALET"}  # in names of letters in these blocks

# Harakat, Quranic marks, honorifics; signs and punctuation of the Arabic block, and phrases that are drawn as one sign
_ARABIC_MARKS = ((0x610, 0x61A), (0x64B, 0x65F), (0x670, 0x670), (0x6D6, 0x6ED), (0x8CA, 0x8FF))
_ARABIC_SIGNS = ((0x600, 0x60F), (0x61B, 0x61B), (0x61D, 0x61F), (0x66A, 0x66D), (0x6D4, 0x6E9), (0xFD3E, 0xFDFF))
_PHRASES = "\ufdfa\ufdfb"
_URDU = "اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوؤہۂۃھءیئےۓأإٱ"
_URDU_SIGNS = "\u0674"  # high hamza: real lines use it for the hamza of an izafat
_ARABIC = "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىيٱ"
# of names and words from elsewhere, as CLDR's auxiliary letters of Arabic
_ARABIC_FOREIGN = "پچژڜڢڤڥٯڧڨگکی"
_PERSIAN = "ءآأؤئابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهةی"
_PERSIAN_FOREIGN = "إٱ"
# letters that a profile takes although they belong to texts of another language
FOREIGN = {"urdu": "إٱ", "arabic": _ARABIC_FOREIGN, "persian": _PERSIAN_FOREIGN}

# Joining types of Unicode, U+0620..077F: letters that join none, and those that join the letter on their right only.
_JOINS_NONE = "\u0621\u0674"
_JOINS_RIGHT = (
    (0x622, 0x625),
    (0x627, 0x627),
    (0x629, 0x629),
    (0x62F, 0x632),
    (0x648, 0x648),
    (0x671, 0x673),
    (0x675, 0x677),
    (0x688, 0x699),
    (0x6C0, 0x6C0),
    (0x6C3, 0x6CB),
    (0x6CD, 0x6CD),
    (0x6CF, 0x6CF),
    (0x6D2, 0x6D3),
    (0x6D5, 0x6D5),
    (0x6EE, 0x6EF),
    (0x759, 0x75B),
    (0x76B, 0x76C),
    (0x771, 0x771),
    (0x773, 0x774),
    (0x778, 0x779),
)

_THAI = ((0xE01, 0xE3A), (0xE3F, 0xE5B))  # consonants, vowels, tone marks, Thai digits, baht; U+0E33 is one letter


@cache
def letters_of(name: str) -> str:
    """The characters that a built-in profile allows, the space first; empty for `plain`, which only `is_refused`
    limits."""
    if name == "plain":
        return ""
    if name == "thai":
        own = _thai_letters()
    elif name == "latin":
        own = "".join(letter for letter in _all_of(_LATIN, "L") if _OTHER_SCRIPTS.isdisjoint(_words_of(letter)))
        own += _all_of(_LATIN_MARKS, "M")
    else:
        alphabet = {
            "urdu": _URDU + PERSIAN_DIGITS + _URDU_SIGNS,
            "arabic": _ARABIC + _ARABIC_FOREIGN + ARABIC_DIGITS + PERSIAN_DIGITS,
            "persian": _PERSIAN + _PERSIAN_FOREIGN + PERSIAN_DIGITS + ARABIC_DIGITS + ZWNJ,
        }[name]
        own = alphabet + _all_of(_ARABIC_MARKS, "M") + _all_of(_ARABIC_SIGNS, "PS", ("Cf",)) + _PHRASES
    found = dict.fromkeys(" " + _DIGITS + signs() + own)
    return "".join(letter for letter in found if letter not in INVISIBLE)


@cache
def signs() -> str:
    """Punctuation, symbols, fractions, superscript and Roman numbers, as texts of any script hold them."""
    return _all_of(_SIGNS, "PS", ("No", "Nl")) + "\u00b5"  # the micro sign, a letter for Unicode


def profile_with(letters: Iterable[str]) -> str | None:
    """The name of a built-in profile that allows all of these letters, `plain` last; None if none does."""
    wanted = set(letters)
    found = (name for name in PROFILES if name != "plain" and wanted.issubset(_set_of(name)))
    return next(found, None if any(map(is_refused, wanted)) else "plain")


def name_letters(letters: Iterable[str]) -> str:
    """Letters with their code points, for a sentence."""
    return " ".join(f"{letter if letter.isprintable() else ''} U+{ord(letter):04X}".strip() for letter in letters)


def profile_advice(letters: Sequence[str]) -> str:
    """Which profile takes these refused letters, for the end of a sentence; "" if none does."""
    name = profile_with(letters)
    has = "" if name in (None, "plain") else f"profile {name} has {'it' if len(letters) == 1 else 'them'}; "
    return "" if name is None else f" ({has}--profile plain takes any)"


@cache
def joining_letters() -> tuple[str, str]:
    """The Arabic letters that join on both sides (as tatweel does), and those that join on their right only."""
    right = "".join(chr(code) for first, last in _JOINS_RIGHT for code in range(first, last + 1))
    every = filter(_is_letter, map(chr, (*range(0x620, 0x700), *range(0x750, 0x780))))
    return "".join(letter for letter in every if letter not in right + _JOINS_NONE) + "\u0640", right


def _is_letter(letter: str) -> bool:
    return unicodedata.category(letter) == "Lo"


@cache
def _set_of(name: str) -> frozenset[str]:
    return frozenset(letters_of(name))


def is_refused(letter: str) -> bool:
    """Is this a character that no label can hold, whatever its script: a control character, half of a pair of
    surrogates, an unassigned code point, or the sign for bytes that could not be decoded (U+FFFD)?"""
    if letter.isprintable():
        return letter == "\ufffd"
    category = unicodedata.category(letter)
    if category == "Cn":  # ideographs that are newer than this Python's table are taken
        code = ord(letter)
        return not (0x20000 <= code < 0x3FFFE and code & 0xFFFF < 0xFFFE)
    return category in ("Cc", "Cs")


def _thai_letters() -> str:
    return "".join(chr(code) for first, last in _THAI for code in range(first, last + 1))


def _words_of(letter: str) -> list[str]:
    return unicodedata.name(letter, "").split()


def _all_of(ranges: Iterable[tuple[int, int]], kinds: str, categories: tuple[str, ...] = ()) -> str:
    """The characters of these ranges whose category begins with one of `kinds` or is one of `categories`, without those
    that NFC writes as others."""
    found = []
    for first, last in ranges:
        for letter in map(chr, range(first, last + 1)):
            category = unicodedata.category(letter)
            if (category[0] in kinds or category in categories) and unicodedata.is_normalized("NFC", letter):
                found.append(letter)
    return "".join(found)
