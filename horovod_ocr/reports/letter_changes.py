"""Sentences about letters that did not stay as they were written: changed by folds of the profile, or refused by it."""

from collections.abc import Mapping

from horovod_ocr.reports.stats import name_of, visible
from horovod_ocr.reports.wording import counted
from sharding.format.script.folds import folds_of
from sharding.format.script.letters import PROFILES, profile_advice

MOST_TOLD = 10  # letters
JOINERS = ("\u200c", "\u200d")


def folds_told(folded: Mapping[str, int], profile: str, most: int = MOST_TOLD) -> list[str]:
    """folded: "ي → ی" -> how often -> "ي U+064A became ی U+06CC 123 times", the most frequent first. Of a joiner that
    the built-in `profile` has dropped: how it is kept."""
    shown = list(folded)[:most]
    shown += [change for change in folded if change[0] in JOINERS and change not in shown]  # a loss that may be seen
    lines = []
    for change in shown:
        before, _, after = change.partition(" → ")
        what = f"became {coded(after)}" if after else "was dropped"
        keeps = "" if after else how_kept(before, profile)
        lines.append(f"{coded(before)} {what} {counted(folded[change], 'time')}{keeps}")
    return [*lines, *_more(folded, len(shown))]


def refused_told(letters: Mapping[str, int], most: int = MOST_TOLD) -> list[str]:
    """letters: refused ones -> how often -> "é U+00E9 12 times (profile latin has it; --profile plain takes any)"."""
    return [
        *(
            f"{coded(letter)} {counted(count, 'time')}{profile_advice([letter])}"
            for letter, count in list(letters.items())[:most]
        ),
        *_more(letters, most),
    ]


def how_kept(letter: str, profile: str) -> str:
    """The end of a sentence about a letter that was dropped: empty unless it is a joiner, which a person may need."""
    if profile not in PROFILES or letter not in folds_of(profile).get("joiners", ()):
        return ""
    return f'; a profile file with extends = "{profile}" and joiners = false below [folds] keeps it'


def coded(text: str) -> str:
    """What there is to see of some letters, and their code points; the name of a joiner, which nobody sees."""
    seen = [visible(text)] if text.isprintable() and text else []
    name = f" ({name_of(text)})" if text in JOINERS else ""
    return " ".join([*seen, *(f"U+{ord(letter):04X}" for letter in text)]) + name


def _more(letters: Mapping[str, int], most: int) -> list[str]:
    return [f"and {counted(len(letters) - most, 'more letter')}"] if len(letters) > most else []
