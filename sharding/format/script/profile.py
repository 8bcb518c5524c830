"""Script profiles: how a label is normalised, which letters it may hold, and in which direction it is read.

One policy, one place: sharding, training, evaluation and prediction all ask the profile, and it is stored in the index
and the checkpoint as plain JSON values. Built in are `urdu`, `arabic` and `persian` (right to left), `thai`, `latin`,
and `plain` (any text); profile_file.py reads a profile that a person wrote.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from sharding.errors import ConfigError
from sharding.format.script.folds import (
    SILENT,
    SPELLED,
    CodeTable,
    Rewriting,
    Rule,
    fold_tables,
    folds_of,
    spellings,
    visible_joiners,
)
from sharding.format.script.letters import DIRECTIONS, PROFILES, ZWNJ, is_refused, letters_of
from sharding.format.script.order import is_bound, is_unambiguous, logical_order, reading_order

DIRECTION_NAMES = ("ltr", "rtl", "visual")


@dataclass(frozen=True)
class ScriptProfile:
    """The policy for the labels of one script. Make one with `build_profile`."""

    name: str
    """One of `PROFILES`, or the name in a profile file."""
    direction: str
    """"rtl" or "ltr", of the line; "visual": labels are written as their letters are in the image. "" in a profile file
    whose direction the labels decide."""
    letters: str
    """The characters allowed after normalising; empty: any."""
    folds: tuple[tuple[str, bool], ...] = ()
    """(name, is it on) of each fold of `base`."""
    base: str = "plain"
    """A built-in profile."""
    own_folds: tuple[tuple[str, str], ...] = ()
    """(letters, what they become) of a profile file."""

    def normalise(self, label: str) -> str:
        """The label as it is stored, trained on and scored: NFC, folded, white space runs as one space, ends stripped.

        Normalising twice changes nothing more. Letters outside the profile stay; `unknown` names them.
        """
        has_joiners = ZWNJ in label and self._keeps_visible_joiners
        label = self._normalise_once(label)
        if self.own_folds or has_joiners:  # what one of them makes, another fold may change
            for _ in range(len(label) + 2):
                if (again := self._normalise_once(label)) == label:
                    break
                label = again
        return label

    def unknown(self, label: str) -> tuple[str, ...]:
        """The characters of a normalised label that the profile does not allow, each once, in their order."""
        if self.letters:
            if self._allowed.issuperset(label):
                return ()
            return tuple(dict.fromkeys(letter for letter in label if letter not in self._allowed))
        if label.isprintable() and "\ufffd" not in label:
            return ()
        return tuple(dict.fromkeys(filter(is_refused, label)))

    def folded(self, label: str) -> Counter[str]:
        """The letters of a label that folds write as others, "ي → ی" -> how often; "ـ → " if one is dropped.

        Only changes of letters are counted, each alone; not what is invisible (the fold `invisible`), white space, NFC,
        and marks in another order.
        """
        told: Counter[str] = Counter()
        text = unicodedata.normalize("NFC", label)
        for letter in text:
            if letter in self._told:
                told[f"{letter} → {self._told[letter]}"] += 1
        before, after = self._tables
        text = unicodedata.normalize("NFC", text.translate(before)).translate(after)
        for rewriting in self._rewritings:
            text = rewriting.rewrite(text, lambda change, times: told.update({change: times}))
        return told

    @cached_property
    def simple_letters(self) -> frozenset[str]:
        """Letters that are complete alone: a label of nothing else is normalised, and allowed. Most words are made of
        them. Empty if the profile lists no letters."""
        excluded = {letter for source, _ in self.own_folds for letter in source}.union(SPELLED)
        return frozenset(letter for letter in self.letters if letter not in excluded and _is_simple(self, letter))

    def reading_order(self, label: str) -> str:
        """The label in the order in which its letters are in the image from left to right (order.py).

        Holds for labels that do not start with a mark (reading/labels.py refuses those).
        """
        return reading_order(label, self.direction)

    def logical_order(self, text: str) -> str:
        """The inverse of `reading_order`: letters from left to right -> the label.

        If several labels look the same in an image, it is always the same one of them (`as_read`).
        """
        return logical_order(text, self.direction)

    def as_read(self, label: str) -> str:
        """The label as it is read back from its image: itself, or the one that represents all that look the same."""
        if is_unambiguous(label, self.direction):
            return label
        read = self.logical_order(self.reading_order(label))
        return label if read == label else self.normalise(read)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for the index and the checkpoint."""
        return {
            "name": self.name,
            "direction": self.direction,
            "letters": self.letters,
            "folds": dict(self.folds),
            "base": self.base,
            "own_folds": dict(self.own_folds),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ScriptProfile":
        """The profile that `to_dict` wrote, with the letters of that time. ConfigError if it is not a profile."""
        try:
            base = build_profile(values["base"], direction=values["direction"], **values["folds"])
            own = tuple((str(source), str(target)) for source, target in values["own_folds"].items())
            return cls(str(values["name"]), base.direction, str(values["letters"]), base.folds, base.name, own)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"not a script profile: {repr(values)[:200]} ({error}); make the shards again") from error

    @cached_property
    def _allowed(self) -> frozenset[str]:
        return frozenset(self.letters)

    @cached_property
    def _switched_on(self) -> tuple[str, ...]:
        return tuple(name for name, on in self.folds if on)

    @cached_property
    def _tables(self) -> tuple[CodeTable, CodeTable]:
        return fold_tables(self.base, self._switched_on)

    @cached_property
    def _rewritings(self) -> tuple[Rewriting, ...]:
        found = [spellings()] if "spellings" in self._switched_on else []
        found += [visible_joiners()] if self._keeps_visible_joiners else []
        return (*found, *([own_rewriting(self.own_folds)] if self.own_folds else []))

    @cached_property
    def _keeps_visible_joiners(self) -> bool:
        """Does the fold `joiners` depend on the neighbours of a ZWNJ?"""
        return "joiners" in self._switched_on and ZWNJ not in folds_of(self.base)["joiners"]

    @cached_property
    def _told(self) -> dict[str, str]:
        known = folds_of(self.base)
        sources = [letter for name in self._switched_on if name not in SILENT for letter in known[name]]
        return {letter: folded for letter in sources if (folded := self.normalise(letter)) != letter}

    def _normalise_once(self, label: str) -> str:
        before, after = self._tables
        if before:
            label = label.translate(before)
        label = unicodedata.normalize("NFC", label)
        if after:
            composed = label
            label = composed.translate(after)
            if len(label) > len(composed):  # a letter has become two: a mark after it may belong before the second
                label = unicodedata.normalize("NFC", label)
        for rewriting in self._rewritings:
            label = rewriting.rewrite(label)
        return " ".join(label.split())


def _is_simple(profile: ScriptProfile, letter: str) -> bool:
    """Does normalising change neither this letter nor what is beside it?"""
    is_jamo = "\u1160" <= letter <= "\u11ff"  # NFC composes them with what comes before
    return not (letter.isspace() or is_bound(letter) or is_jamo) and profile.normalise(letter) == letter


def build_profile(name: str, *, direction: str | None = None, **folds: bool) -> ScriptProfile:
    """The built-in script profile of that name; every fold is on unless switched off, as in `build_profile("urdu",
    joiners=False)`.

    direction: only for texts of another direction than the profile's own ("plain" with "rtl" for Hebrew). Raises
    ConfigError for an unknown name, fold or direction.
    """
    if name not in PROFILES:
        raise ConfigError(
            f"unknown script profile {name!r}; there are: {', '.join(PROFILES)}, or give a profile file (.toml)"
        )
    known = folds_of(name)
    for fold in folds:
        if fold not in known:
            raise ConfigError(f"the script profile {name} has no fold {fold!r}; it has: {', '.join(known) or 'none'}")
    check_direction(direction or DIRECTIONS[name])
    switched = tuple((fold, bool(folds.get(fold, True))) for fold in known)
    letters = letters_of(name)
    for fold, on in switched:
        if not on and letters:
            letters += "".join(source for source in known[fold] if source not in letters)
    return ScriptProfile(name, direction or DIRECTIONS[name], letters, switched, name)


def check_direction(direction: str) -> None:
    """ConfigError for a word that is not a reading direction."""
    if direction not in DIRECTION_NAMES:
        raise ConfigError(f"unknown reading direction {direction!r}; there are: {', '.join(DIRECTION_NAMES)}")


@lru_cache
def own_rewriting(folds: tuple[tuple[str, str], ...]) -> Rewriting:
    """The folds of a profile file, the longest first."""
    rules: list[Rule] = [
        (re.escape(source), target.replace("\\", r"\\"), f"{source} → {target}")
        for source, target in sorted(folds, key=lambda fold: (-len(fold[0]), fold))
    ]
    return Rewriting([("|".join(pattern for pattern, _, _ in rules), rules)])
