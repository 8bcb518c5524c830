"""Is this label usable, and does it fit its image; why not. The images themselves: images.py."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import eq

from sharding.format.script.letters import profile_with
from sharding.format.script.profile import ScriptProfile, is_mark
from sharding.reasons import Rejected

_VERTICAL = 1.5  # height / width from which a text of several letters must run from top to bottom


@dataclass(frozen=True)
class Limits:
    """What an image and a label must keep to. The frames of a model: ceil(height_px * width / height / frame_px)."""

    height_px: int = 64
    frame_px: int = 4
    max_pixels: int = 16_000_000  # 4,000 x 4,000; to convert one takes up to 200 MB
    max_aspect: float = 64.0  # width / height: 4,096 px at a height of 64
    max_label: int = 0  # letters of a normalised label; 0: no limit


def check_label(label: str | None, profile: ScriptProfile, limits: Limits) -> str:
    """The normalised label; Rejected where it cannot be one."""
    if label is None:
        raise Rejected("no label")
    text = profile.normalise(label)
    if not text:
        raise Rejected("empty label", f"nothing is left of {label!r}" if label else "")
    if unknown := profile.unknown(text):
        if any("\ud800" <= letter <= "\udfff" for letter in unknown):
            raise Rejected("label is not UTF-8", repr(text))
        letters = {letter: text.count(letter) for letter in unknown}
        raise Rejected("unknown letters", f"{named(unknown)} in {text!r}{remedy(unknown)}", letters)
    if (lines := len(label.strip().splitlines())) > 1:
        raise Rejected("several lines", f"{lines} in {label!r}")
    if is_mark(text[0]):
        raise Rejected("starts with a mark", f"U+{ord(text[0]):04X} in {text!r}")
    if limits.max_label and len(text) > limits.max_label:
        raise Rejected("too many letters", f"{len(text)} of at most {limits.max_label}: {text!r}")
    return text


def named(letters: Iterable[str]) -> str:
    """Letters with their code points."""
    return " ".join(f"{letter if letter.isprintable() else ''} U+{ord(letter):04X}".strip() for letter in letters)


def remedy(letters: Sequence[str]) -> str:
    """The profile that has these refused letters, and the one that takes any."""
    name = profile_with(letters)
    has = "" if name in (None, "plain") else f"profile {name} has {'it' if len(letters) == 1 else 'them'}; "
    return "" if name is None else f" ({has}--profile plain takes any)"


def check_fits(text: str, profile: ScriptProfile, width: int, height: int, limits: Limits) -> None:
    """Rejected where an image of this size (px) gives fewer frames than CTC needs for this normalised label."""
    frames = frames_of(width, height, limits)
    needed = frames_needed(profile.reading_order(text))
    if frames < needed:
        vertical = height > _VERTICAL * width and len(text) > 1
        hint = "; text that runs from top to bottom is turned on its side before" if vertical else ""
        raise Rejected(
            "label too long",
            f"{len(text)} letters need {needed} frames, {width} x {height} px gives {frames}: {text!r}{hint}",
        )


def frames_of(width: int, height: int, limits: Limits) -> int:
    """How many frames a model sees of an image of this size (px), scaled to the limits' height."""
    return math.ceil(limits.height_px * width / height / limits.frame_px)


def frames_needed(text: str) -> int:
    """The fewest frames CTC can spell this text (in reading order) in: its length, and a blank between equal
    neighbours."""
    return len(text) + sum(map(eq, text, text[1:]))
