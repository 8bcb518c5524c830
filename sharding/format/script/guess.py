"""Which script profile, and which direction, the labels of a source call for; and why, in a sentence."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from sharding.format.script.letters import FOREIGN
from sharding.format.script.profile import ScriptProfile, build_profile

# by the script that most letters belong to; of equally good ones the first
_CANDIDATES = {"ARABIC": ("urdu", "arabic", "persian"), "THAI": ("thai",), "LATIN": ("latin",)}
_FEW, _FEW_SHARE = 2, 0.01  # labels that a guessed profile may refuse: this number, or this share of them
_NAMED = 6  # letters in a sentence


class Guess(NamedTuple):
    """A profile, and why it is this one."""

    name: str
    """One of PROFILES."""
    why: str
    """Part of a sentence, such as "urdu takes all of 300 labels"."""


class _Trial(NamedTuple):
    """What a profile would do to the labels."""

    name: str
    """One of PROFILES."""
    refused: int
    """Number of labels that it refuses."""
    refused_letters: Counter[str]
    """The letters that it refuses -> how often."""
    changed_letters: Counter[str]
    """The letters that it changes, or that are foreign to its language -> how often."""


def guess_profile(labels: Iterable[str]) -> Guess:
    """The profile of the script that most letters belong to; among the languages of a script the one that refuses the
    fewest labels, then changes the fewest letters. `plain` if that would refuse more than a few."""
    distinct = Counter(labels)
    total = distinct.total()
    scripts: Counter[str] = Counter()
    for letter, count in _letters_in(distinct).items():
        if letter.isalpha():
            scripts[_script_of(letter)] += count
    script, count = scripts.most_common(1)[0] if scripts else ("", 0)
    if not total:
        return Guess("plain", "there is no label to tell by")
    if not scripts:
        return Guess("plain", f"there is no letter in {_labels(total)}")
    if 2 * count <= scripts.total():
        return Guess("plain", f"no script has more than half of the letters of {_labels(total)}")
    if script not in _CANDIDATES:
        return Guess("plain", f"most letters are {_name(script)}, which has no profile of its own")
    trials = [_try(build_profile(name), distinct) for name in _CANDIDATES[script]]
    best, *others = sorted(trials, key=lambda trial: (trial.refused, trial.changed_letters.total()))
    if best.refused > max(_FEW, _FEW_SHARE * total):
        return Guess(
            "plain",
            f"{best.name} would refuse {best.refused:,} of {_labels(total)} ({_some(best.refused_letters)})",
        )
    return Guess(best.name, _why(best, others, total))


def guess_direction(labels: Iterable[str]) -> str:
    """The direction of most letters that have one: "rtl", else "ltr"."""
    return guess_direction_and_why(labels)[0]


def guess_direction_and_why(labels: Iterable[str]) -> tuple[str, str]:
    """As `guess_direction`, with the end of a sentence that says so; "" if no letter has a direction."""
    found: Counter[str] = Counter()
    for letter, count in _letters_in(Counter(labels)).items():
        found[unicodedata.bidirectional(letter)] += count
    rtl, ltr = found["R"] + found["AL"], found["L"]
    if rtl > ltr:
        return "rtl", "; read from right to left, as most of the letters are"
    return "ltr", "; read from left to right, as most of the letters are" if ltr else ""


def _letters_in(labels: Counter[str]) -> Counter[str]:
    letters: Counter[str] = Counter()
    for label, count in labels.items():
        for letter in label:
            letters[letter] += count
    return letters


def _try(profile: ScriptProfile, labels: Counter[str]) -> _Trial:
    refused = 0
    refused_letters: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    foreign = frozenset(FOREIGN.get(profile.name, ""))
    simple = profile.simple_letters - foreign
    for label, count in labels.items():
        if simple.issuperset(label):
            continue
        normal = profile.normalise(label)
        if unknown := profile.unknown(normal):
            refused += count
            refused_letters.update(dict.fromkeys(unknown, count))
        for change, times in profile.folded(label).items():
            changed[change.partition(" → ")[0]] += times * count
        for letter in normal:
            if letter in foreign:
                changed[letter] += count
    return _Trial(profile.name, refused, refused_letters, changed)


def _why(best: _Trial, others: list[_Trial], total: int) -> str:
    parts = [f"{best.name} takes all of {_labels(total)}"]
    if best.refused:
        parts = [f"{best.name} refuses {best.refused:,} of {_labels(total)} ({_some(best.refused_letters)})"]
    for other in others:
        foreign = other.changed_letters - best.changed_letters
        if other.refused > best.refused:
            parts.append(f"{other.name} would refuse {other.refused:,} ({_some(other.refused_letters)})")
        elif foreign:
            count = foreign.total()
            letters = "1 letter is" if count == 1 else f"{count:,} letters are"
            parts.append(f"{letters} not used in {other.name.capitalize()} ({_some(foreign)})")
    return "; ".join(parts)


def _labels(count: int) -> str:
    return f"{count:,} label{'s' * (count != 1)}"


def _name(script: str) -> str:
    """As a sentence writes it: "CJK", "Hebrew"."""
    return script if len(script) <= 3 else script.capitalize()


def _some(letters: Counter[str]) -> str:
    """The most frequent ones."""
    named = [letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter, _ in letters.most_common(_NAMED)]
    return " ".join(named) + (" ..." if len(letters) > _NAMED else "")


@cache
def _script_of(letter: str) -> str:
    """The first word of a letter's name, which is its script's for most."""
    return unicodedata.name(letter, "?").split()[0]
