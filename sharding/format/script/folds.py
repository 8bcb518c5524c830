"""The folds of the built-in profiles: letters that become others, and one spelling for spellings that look the same.

A fold makes one label of everything that may be typed for one image. A fold that is switched off leaves its letters as
they are, and allows them.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from sharding.format.script.letters import ARABIC_DIGITS, INVISIBLE, PERSIAN_DIGITS, ZWNJ, joining_letters

Table = dict[str, str | None]  # None drops the character
CodeTable = dict[int, str | None]  # for str.translate

_YEH: Table = {"\u064a": "\u06cc", "\u0649": "\u06cc"}
_KAF: Table = {"\u0643": "\u06a9"}
_TATWEEL: Table = {"\u0640": None}
_JOINERS: Table = dict.fromkeys("\u200c\u200d")
_INVISIBLE: Table = dict.fromkeys(INVISIBLE)
# Urdu's digits become one set, because the same hand writes one number in either; ASCII digits look
# different in the image, so they stay. Arabic and Persian keep both sets: 4, 5 and 6 look different.
_FOLDS: dict[str, dict[str, Table]] = {
    "urdu": {
        "yeh": _YEH,
        "kaf": _KAF,
        "heh": {"\u0647": "\u06c1"},
        "heh_hamza": {"\u06c0": "\u06c2"},
        "teh_marbuta": {"\u0629": "\u06c3"},
        "digits": dict(zip(ARABIC_DIGITS, PERSIAN_DIGITS, strict=True)),
        "tatweel": _TATWEEL,
        "joiners": _JOINERS,
    },
    "arabic": {"tatweel": _TATWEEL, "joiners": _JOINERS},
    # U+06C0 looks like a heh and a hamza above it, which NFC does not compose.
    # ZWNJ is part of its spelling and may be seen: see `visible_joiners`.
    "persian": {
        "yeh": _YEH,
        "kaf": _KAF,
        "heh_hamza": {"\u06c0": "\u0647\u0654"},
        "tatweel": _TATWEEL,
        "joiners": {"\u200d": None},
    },
    "thai": {"spellings": {}, "invisible": _INVISIBLE},
    "latin": {"invisible": _INVISIBLE},
    "plain": {"spellings": {}, "invisible": _INVISIBLE},
}
SILENT = frozenset(("invisible",))  # folds whose changes are not reported: what they drop is invisible


@cache
def folds_of(base: str) -> dict[str, Table]:
    """The folds of a built-in profile by their names. `spellings` has no letters of its own: see `spellings`."""
    folds = _FOLDS[base]
    if base in ("urdu", "arabic", "persian"):
        return {**folds, "presentation_forms": _presentation_forms(), "invisible": _INVISIBLE}
    return folds


@cache
def fold_tables(base: str, switched_on: tuple[str, ...]) -> tuple[CodeTable, CodeTable]:
    """Two tables for str.translate, one before NFC and one after it.

    NFC must come before the fold of yeh, because only U+064A composes with a hamza above (to U+0626). So the first
    table drops what is dropped, opens presentation forms, and writes every yeh as U+064A; the second one folds. The
    fold of heh is in the first, so that NFC composes U+06C1 and a hamza to U+06C2.
    """
    known = folds_of(base)
    after: CodeTable = {ord(source): target for fold in switched_on for source, target in known[fold].items()}
    before: CodeTable = {code: target for code, target in after.items() if target is None}
    if "heh" in switched_on:
        before.update({0x647: "\u06c1"})
    if "yeh" in switched_on:
        before.update({0x649: "\u064a", 0x6CC: "\u064a"})
    if "presentation_forms" in switched_on:
        opened = {
            ord(source): (target or "").translate(before) for source, target in known["presentation_forms"].items()
        }
        before.update(opened)
    return before, {code: target for code, target in after.items() if code not in before}


@cache
def _presentation_forms() -> Table:
    """Each Arabic presentation form (U+FB50..FDFF, U+FE70..FEFC) as the letters it represents.

    Not by NFKC for everything: it also rewrites signs that are drawn as one, U+FDFA (ﷺ) as 18 characters. So a ligature
    of several words stays one letter, and of a mark shown by itself (written as a space and the mark) only the mark is
    kept.
    """
    forms: Table = {}
    for code in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFEFD)):
        kind, *letters = unicodedata.decomposition(chr(code)).split() or [""]
        if not kind.startswith("<"):
            continue
        text = "".join(chr(int(letter, 16)) for letter in letters)
        if " " not in text.lstrip(" "):
            forms[chr(code)] = text.lstrip(" ")
    return forms


Rule = tuple[str, str, str | None]


class Rewriting:
    """Sequences of letters that are written as others, again and again until nothing changes.

    groups: (signs, rules). signs: a pattern of what the rules of the group are for; most labels have none of it. A
    rule: a pattern, what replaces it, and how the change is reported; None if the same letters stay, in another order.
    """

    def __init__(self, groups: list[tuple[str, list[Rule]]]) -> None:
        self.groups = groups  # for programs in other languages
        self._groups = [
            (re.compile(signs), [(re.compile(pattern), becomes, told) for pattern, becomes, told in rules])
            for signs, rules in groups
        ]

    def rewrite(self, text: str, tell: Callable[[str, int], None] | None = None) -> str:
        """NFC in, NFC out. tell: called with each kind of change and how often it was made."""
        for signs, rules in self._groups:
            while signs.search(text):
                before = text
                for pattern, becomes, told in rules:
                    text, changes = pattern.subn(becomes, text)
                    if changes and told and tell:
                        tell(told, changes)
                if text == before:
                    break
                text = unicodedata.normalize("NFC", text)
        return text


@cache
def spellings() -> Rewriting:
    """The fold `spellings`: of all scripts whose order of marks is certain. If Unicode's combining classes give an
    order (Hebrew, Arabic, Latin, ...), NFC has kept it already; Myanmar and Khmer stay as they are written."""
    thai = _thai_or_lao(0xE00, "[\u0e31\u0e34-\u0e3a]")
    lao = _thai_or_lao(0xE80, "[\u0eb1\u0eb4-\u0ebb]")
    indic = [rule for block in range(0x900, 0xD80, 0x80) for rule in _indic(block)]
    sinhala: Rule = ("([\u0d81-\u0d83]+)([\u0dcf-\u0ddf\u0df2\u0df3]+)", r"\2\1", None)
    return Rewriting([(_any_of(rules), rules) for rules in (thai, lao, [*indic, sinhala])])


SPELLED = "\u0e40\u0ec0"  # letters that are not marks, but part of a spelling: two e are written as one ae


@cache
def visible_joiners() -> Rewriting:
    """The fold `joiners` of Persian: a ZWNJ stays if it separates two letters that would join (می‌خواهم), behind the
    marks of the first; it is dropped if it shows nothing: at the ends, beside spaces, after another one, after a letter
    that joins no other on its left."""
    both, right = joining_letters()
    marks = "".join(chr(code) for code in range(0x600, 0x900) if unicodedata.category(chr(code)) == "Mn")
    rules: list[Rule] = [
        (f"({ZWNJ}+)([{marks}]+)", r"\2\1", None),
        (f"{ZWNJ}+(?={ZWNJ}|[^{both}{right}]|$)", "", None),
        (f"(^|[^{both}{marks}{ZWNJ}])([{marks}]*){ZWNJ}", r"\1\2", None),
    ]
    return Rewriting([(ZWNJ, rules)])


def _any_of(rules: list[Rule]) -> str:
    return "|".join(f"(?:{pattern})" for pattern, _, _ in rules)


def _thai_or_lao(block: int, vowel: str) -> list[Rule]:
    """The two blocks are laid out alike: the parts of sara am become one letter, a tone goes before it, two e become
    one ae, and a tone or a silencer goes behind the vowel above or below its consonant (WTT 2.0 and TIS 620). vowel: a
    pattern for those above and below."""
    aa, am, e, ae, tone, last_tone, silencer, nikhahit = (
        chr(block + offset) for offset in (0x32, 0x33, 0x40, 0x41, 0x48, 0x4B, 0x4C, 0x4D)
    )
    tones = f"[{tone}-{last_tone}]"
    return [
        (f"{nikhahit}({tones}*){aa}", rf"\1{am}", f"{nikhahit}{aa} → {am}"),
        (f"{am}({tones}+)", rf"\1{am}", None),
        (f"{e}{e}", ae, f"{e}{e} → {ae}"),
        (f"([{tone}-{silencer}]+)({vowel}+)", r"\2\1", None),
    ]


def _indic(block: int) -> list[Rule]:
    """A script laid out like ISCII: consonant, nukta, vowel sign, then candrabindu, anusvara or visarga (The Unicode
    Standard, chapter 12)."""

    def marks(offsets: list[int]) -> str:
        found = [chr(block + offset) for offset in offsets]
        return "".join(each for each in found if unicodedata.category(each)[0] == "M")

    above = marks([0, 1, 2, 3])
    every = marks([0x3A, 0x3B, *range(0x3E, 0x4D), 0x4E, 0x4F, 0x55, 0x56, 0x57, 0x62, 0x63])
    vowels = "".join(mark for mark in every if not unicodedata.combining(mark))
    rules: list[Rule] = [(f"([{above}]+)([{vowels}]+)", r"\2\1", None)]
    nukta = chr(block + 0x3C)
    if unicodedata.combining(nukta) == 7:
        rules.append((f"([{above}{vowels}]+)({nukta})", r"\2\1", None))
    return rules
