"""Is a label usable, and does it fit its image? If not, why not."""

from collections import Counter
from typing import NamedTuple

from sharding.format.frames import frames_needed
from sharding.format.script.letters import name_letters, profile_advice
from sharding.format.script.order import is_mark
from sharding.format.script.profile import ScriptProfile
from sharding.images.limits import Limits
from sharding.reasons import Rejected

_VERTICAL = 1.5  # height / width from which a text of several letters must run from top to bottom


class LabelCounts(NamedTuple):
    """What became of letters while labels were read."""

    folded: Counter[str]
    """Of accepted labels: "ي → ی" -> how often a letter became another."""
    refused: Counter[str]
    """Of refused labels: the letters that the profile does not allow."""


def check_label(label: str | None, profile: ScriptProfile, limits: Limits) -> str:
    """The normalised label; Rejected if it is not usable."""
    if label is None:
        raise Rejected("no label")
    text = profile.normalise(label)
    if not text:
        raise Rejected("empty label", f"nothing is left of {label!r}" if label else "")
    if unknown := profile.unknown(text):
        if any("\ud800" <= letter <= "\udfff" for letter in unknown):
            raise Rejected("label is not UTF-8", repr(text))
        letters = {letter: text.count(letter) for letter in unknown}
        raise Rejected("unknown letters", f"{name_letters(unknown)} in {text!r}{profile_advice(unknown)}", letters)
    if (lines := len(label.strip().splitlines())) > 1:
        raise Rejected("several lines", f"{lines} in {label!r}")
    if is_mark(text[0]):
        raise Rejected("starts with a mark", f"U+{ord(text[0]):04X} in {text!r}")
    if limits.max_label and len(text) > limits.max_label:
        raise Rejected("too many letters", f"{len(text)} of at most {limits.max_label}: {text!r}")
    return text


def check_fits(text: str, profile: ScriptProfile, width: int, height: int, limits: Limits) -> None:
    """Rejected if an image of this size (px) gives fewer frames than CTC needs for this normalised label."""
    frames = limits.frames.count(width, height)
    needed = frames_needed(profile.reading_order(text))
    if frames < needed:
        vertical = height > _VERTICAL * width and len(text) > 1
        hint = "; text that runs from top to bottom is turned on its side before" if vertical else ""
        raise Rejected(
            "label too long",
            f"{len(text)} letters need {needed} frames, {width} x {height} px gives {frames}: {text!r}{hint}",
        )
