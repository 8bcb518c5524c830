"""Script profiles: how a label is normalised, which letters it may hold, and in which direction it is read.

One policy, one place: sharding, training, evaluation and serving all ask the profile, and it travels inside the index
and the checkpoint as plain JSON values. There are four: `urdu` (right to left), `thai`, `latin`, and `plain` (any
printable text).
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property

from sharding.errors import ConfigError

PROFILES = ("urdu", "thai", "latin", "plain")

_ASCII_PUNCTUATION = "!\"#%&'()*+,-./:;=?@[]_"
_TYPOGRAPHIC = "‘’“”«»–—…"
_DIGITS = "0123456789"

_URDU_ALPHABET = "اآبپتٹثجچحخدڈذرڑزژسشصضطظعغفقکگلمنںوؤہۂۃھءیئےۓأ"
# zabar, zer, pesh, their doubles, tashdid, jazm, madda, hamza above, small alefs, inverted pesh, and the honorific
# signs
_URDU_MARKS = (
    "\u064b\u064c\u064d\u064e\u064f\u0650\u0651\u0652\u0653\u0654\u0656\u0657\u0670\u0610\u0611\u0612\u0613\u0614"
)
_URDU_DIGITS = "۰۱۲۳۴۵۶۷۸۹"
# U+0674 (high hamza) stands in real lines for the hamza of an izafat; ﷺ and ﷻ are phrases that are drawn as one sign.
_URDU_SIGNS = "۔،؛؟٪٫٬٭؎؏\u0674ﷺﷻ"

# What each fold of urdu maps; None drops the character. A fold that is switched off makes its sources letters of
# their own. Arabic-Indic digits become Urdu ones, because one number is written in either by the same hand; ASCII
# digits look different in the image, so they stay.
_URDU_FOLDS: dict[str, dict[str, str | None]] = {
    "yeh": {"\u064a": "\u06cc", "\u0649": "\u06cc"},
    "kaf": {"\u0643": "\u06a9"},
    "heh": {"\u0647": "\u06c1"},
    "heh_hamza": {"\u06c0": "\u06c2"},
    "teh_marbuta": {"\u0629": "\u06c3"},
    "digits": {chr(0x660 + n): chr(0x6F0 + n) for n in range(10)},
    "tatweel": {"\u0640": None},
    "joiners": dict.fromkeys("\u200c\u200d"),
}
# Nobody sees these in an image: direction marks and isolates, zero-width space, word joiner, byte order mark.
_INVISIBLE = dict.fromkeys("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u061c\ufeff")


@dataclass(frozen=True)
class ScriptProfile:
    """The policy for the labels of one script. Make one with `build_profile`.

    name: one of `PROFILES`. direction: "rtl" or "ltr". letters: the characters allowed after normalising; empty: any
    printable one. folds: (name, is it on) of each fold.
    """

    name: str
    direction: str
    letters: str
    folds: tuple[tuple[str, bool], ...] = ()

    def normalise(self, label: str) -> str:
        """The label as it is stored, trained on and scored: NFC, folded, white space runs as one space, ends stripped.

        Normalising twice changes nothing more. Letters outside the profile stay; `unknown` names them.
        """
        before, after = self._tables
        if before:
            label = label.translate(before)
        label = unicodedata.normalize("NFC", label)
        if after:
            label = label.translate(after)
        return " ".join(label.split())

    def unknown(self, label: str) -> tuple[str, ...]:
        """The characters of a normalised label that the profile does not allow, each once, in their order."""
        if self.letters:
            if self._allowed.issuperset(label):
                return ()
            return tuple(dict.fromkeys(letter for letter in label if letter not in self._allowed))
        return tuple(dict.fromkeys(letter for letter in label if not letter.isprintable()))

    @cached_property
    def simple_letters(self) -> frozenset[str]:
        """Letters that stand alone: a label of nothing else is normalised, allowed, and turned by turning its letters.
        Most words are made of them. Empty where the profile lists no letters."""
        bound = _clusters()[0]
        return frozenset(
            letter
            for letter in self.letters
            if not letter.isspace() and letter not in bound and self.normalise(letter) == letter
        )

    def reading_order(self, label: str) -> str:
        """The label in the order in which its letters stand in the image from left to right, and back: its own inverse.

        ltr: the label itself. rtl: its grapheme clusters (a base and the marks on it) reversed; a run of digits keeps
        its order, with a single separator between two digits counted as part of the run, as the Unicode bidi
        algorithm does. Holds for labels that do not start with a mark (check.py refuses those).
        """
        if self.direction == "ltr":
            return label
        bound, cluster = _clusters()
        return label[::-1] if bound.isdisjoint(label) else "".join(reversed(cluster(label)))

    def to_dict(self) -> dict:
        """Plain JSON values, for the index and the checkpoint."""
        return {"name": self.name, "direction": self.direction, "letters": self.letters, "folds": dict(self.folds)}

    @classmethod
    def from_dict(cls, values: dict) -> "ScriptProfile":
        """The profile that `to_dict` wrote, with the letters of that time. ConfigError where it is not one."""
        try:
            profile = build_profile(values["name"], direction=values["direction"], **values["folds"])
            return cls(profile.name, profile.direction, str(values["letters"]), profile.folds)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not a script profile: {values!r} ({error}); make the shards again") from error

    @cached_property
    def _allowed(self) -> frozenset[str]:
        return frozenset(self.letters)

    @cached_property
    def _tables(self) -> tuple[dict, dict]:
        return _fold_tables(self.name, tuple(name for name, on in self.folds if on))


def build_profile(name: str, *, direction: str | None = None, **folds: bool) -> ScriptProfile:
    """The script profile of that name; every fold is on unless told otherwise, as in `build_profile("urdu",
    joiners=False)`.

    direction: only for texts of another direction than the profile's own ("plain" with "rtl" for Hebrew).
    Raises ConfigError for an unknown name, fold or direction.
    """
    if name not in PROFILES:
        raise ConfigError(f"unknown script profile {name!r}; there are: {', '.join(PROFILES)}")
    known = _folds_of(name)
    for fold in folds:
        if fold not in known:
            raise ConfigError(f"the script profile {name} has no fold {fold!r}; it has: {', '.join(known) or 'none'}")
    if direction not in (None, "ltr", "rtl"):
        raise ConfigError(f"reading direction {direction!r}; it is ltr or rtl")
    switched = tuple((fold, bool(folds.get(fold, True))) for fold in known)
    letters = _letters_of(name)
    for fold, on in switched:
        if not on and letters:
            letters += "".join(source for source in known[fold] if source not in letters)
    return ScriptProfile(name, direction or ("rtl" if name == "urdu" else "ltr"), letters, switched)


def guess_profile(labels: Iterable[str]) -> str:
    """The name of the profile that more than half of all letters in these labels belong to, else `plain`."""
    seen: Counter[str] = Counter()
    for label in labels:
        seen.update(label)
    scripts: Counter[str] = Counter()
    for letter, count in seen.items():
        if letter.isalpha():
            scripts[_script_of(letter)] += count
    best, count = scripts.most_common(1)[0] if scripts else ("plain", 0)
    return best if 2 * count > scripts.total() else "plain"


def is_mark(letter: str) -> bool:
    """Does this character sit on the one before it (Unicode category M)?"""
    return unicodedata.category(letter)[0] == "M"


def _script_of(letter: str) -> str:
    code = ord(letter)
    if 0x600 <= code <= 0x6FF or 0x750 <= code <= 0x77F or 0xFB50 <= code <= 0xFDFF or 0xFE70 <= code <= 0xFEFF:
        return "urdu"
    if 0xE00 <= code <= 0xE7F:
        return "thai"
    if code < 0x250 or 0x1E00 <= code <= 0x1EFF:
        return "latin"
    return "plain"


@cache
def _letters_of(name: str) -> str:
    """The allowed characters of a profile; empty for plain."""
    if name == "urdu":
        return (
            " "
            + _DIGITS
            + _ASCII_PUNCTUATION
            + _TYPOGRAPHIC
            + _URDU_ALPHABET
            + _URDU_MARKS
            + _URDU_DIGITS
            + _URDU_SIGNS
        )
    if (
        name == "thai"
    ):  # the whole block: consonants, vowels, tone marks, Thai digits, baht sign; U+0E33 (sara am) is one letter
        block = "".join(chr(code) for code in (*range(0xE01, 0xE3B), *range(0xE3F, 0xE5C)))
        return " " + _DIGITS + _ASCII_PUNCTUATION + _TYPOGRAPHIC + block
    if name == "latin":
        letters = (chr(code) for code in (*range(0x41, 0x250), *range(0x1E00, 0x1F00)))
        accented = "".join(letter for letter in letters if letter.isalpha())
        punctuation = "".join(chr(code) for code in range(0x21, 0x7F) if not chr(code).isalnum())
        return " " + _DIGITS + punctuation + _TYPOGRAPHIC + "€£§°" + accented
    return ""


@cache
def _folds_of(name: str) -> dict[str, dict[str, str | None]]:
    if name == "urdu":
        return {**_URDU_FOLDS, "presentation_forms": _presentation_forms(), "invisible": _INVISIBLE}
    if name == "plain":
        return {}
    return {"invisible": _INVISIBLE}


@cache
def _presentation_forms() -> dict[str, str | None]:
    """Each Arabic presentation form (U+FB50..FDFF, U+FE70..FEFC) as the letters it stands for.

    No blanket NFKC: it also rewrites signs that are drawn as one, U+FDFA (ﷺ) as 18 characters. So a ligature of
    several words stays one letter, and of a mark shown by itself (written as a space and the mark) only the mark is
    kept.
    """
    forms: dict[str, str | None] = {}
    for code in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD)):
        kind, *letters = unicodedata.decomposition(chr(code)).split() or [""]
        if not kind.startswith("<"):
            continue
        text = "".join(chr(int(letter, 16)) for letter in letters)
        if " " not in text.lstrip(" "):
            forms[chr(code)] = text.lstrip(" ")
    return forms


@cache
def _fold_tables(name: str, switched_on: tuple[str, ...]) -> tuple[dict, dict]:
    """Two tables for str.translate, one before NFC and one after it.

    NFC must come before the fold of yeh, because only U+064A composes with a hamza above (to U+0626). So the first
    table drops what is dropped, opens presentation forms, and writes every yeh as U+064A; the second one folds. The
    fold of heh stands in the first, so that NFC composes U+06C1 and a hamza to U+06C2.
    """
    known = _folds_of(name)
    after = {ord(source): target for fold in switched_on for source, target in known[fold].items()}
    before = {code: target for code, target in after.items() if target is None}
    if "heh" in switched_on:
        before.update({0x647: "\u06c1"})
    if "yeh" in switched_on:
        before.update({0x649: "\u064a", 0x6CC: "\u064a"})
    if "presentation_forms" in switched_on:
        opened = {source: target.translate(before) for source, target in known["presentation_forms"].items()}
        before.update(str.maketrans(opened))
    return before, {code: target for code, target in after.items() if code not in before}


@cache
def _clusters() -> tuple[frozenset[str], Callable[[str], list[str]]]:
    """The letters that do not stand alone (marks and digits: most words have none), and what cuts a label into the
    units that keep their inner order when a right-to-left label is turned: a number, or a base with its marks."""
    marks = "".join(filter(is_mark, map(chr, (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)))))
    digits = "0123456789٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹"
    digit = f"[{digits}][{marks}]*"
    cluster = re.compile(f"{digit}(?:[.,/:٫٬]?{digit})*|.[{marks}]*", re.DOTALL)
    return frozenset(marks + digits), cluster.findall
