"""Sentences about letters of labels that the profile has changed or refused."""

from collections.abc import Mapping

from horovod_ocr.reports.letter_names import code_point, letter_name, visible
from horovod_ocr.reports.wording import counted
from sharding.format.script.folds import folds_of
from sharding.format.script.letters import PROFILES, profile_advice

MOST_LINES = 10
JOINERS = ("\u200c", "\u200d")


def fold_lines(folded: Mapping[str, int], profile: str, most: int = MOST_LINES) -> list[str]:
    """Lines such as "ي U+064A became ی U+06CC 123 times".

    folded: "ي → ی" -> how often, the most frequent first. Joiners are always named: what loses them may look wrong.
    """
    shown = list(folded)[:most]
    shown += [change for change in folded if change[0] in JOINERS and change not in shown]
    lines = []
    for change in shown:
        before, _, after = change.partition(" → ")
        what = f"became {with_code_points(after)}" if after else "was dropped"
        advice = "" if after else joiner_advice(before, profile)
        lines.append(f"{with_code_points(before)} {what} {counted(folded[change], 'time')}{advice}")
    return [*lines, *_more(folded, len(shown))]


def refusal_lines(letters: Mapping[str, int], most: int = MOST_LINES) -> list[str]:
    """Lines such as "é U+00E9 12 times (profile latin has it; --profile plain takes any)".

    letters: refused ones -> how often, the most frequent first.
    """
    return [
        *(
            f"{with_code_points(letter)} {counted(count, 'time')}{profile_advice([letter])}"
            for letter, count in list(letters.items())[:most]
        ),
        *_more(letters, most),
    ]


def joiner_advice(letter: str, profile: str) -> str:
    """The end of a sentence about a dropped letter: how a joiner is kept; empty for other letters and own profiles."""
    if profile not in PROFILES or letter not in folds_of(profile).get("joiners", ()):
        return ""
    return f'; a profile file with extends = "{profile}" and joiners = false below [folds] keeps it'


def with_code_points(text: str) -> str:
    """A few letters as far as they can be seen, and their code points; the name of a joiner, which cannot be seen."""
    seen = [visible(text)] if text.isprintable() and text else []
    name = f" ({letter_name(text)})" if text in JOINERS else ""
    return " ".join([*seen, *map(code_point, text)]) + name


def _more(letters: Mapping[str, int], most: int) -> list[str]:
    return [f"and {counted(len(letters) - most, 'more letter')}"] if len(letters) > most else []
