"""The first pass: every entry of a source is checked; what is fine becomes facts in an array, what is not a reject."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.check import Limits, check_fits, check_label
from sharding.images import ImageRule, digest_of, read_bytes, read_image
from sharding.reasons import Rejected
from sharding.script import ScriptProfile
from sharding.sources import Entry

FACTS = np.dtype(
    [
        ("length", "<u4"),  # letters of a word's label; 0 for classes
        ("width", "<u4"),  # px, as the shard will hold it
        ("height", "<u4"),
        ("subset", "u1"),
        ("image_format", "u1"),
        ("converted", "?"),
        ("source_digest", "<u8"),
    ]
)


class Reject(NamedTuple):
    path: str
    reason: str
    detail: str


@dataclass(frozen=True)
class CheckTask:
    """A run of entries for one worker. first: place of the first in the source. class_numbers: None for words."""

    root: Path
    first: int
    entries: list[Entry]
    profile: ScriptProfile
    class_numbers: dict[str, int] | None
    subsets: tuple[str, ...]
    limits: Limits
    rule: ImageRule


@dataclass(frozen=True)
class Inspected:
    """places: int64 [good], where each good sample stands in the source; facts: [good] of FACTS; labels: what its
    label member holds. rejects: one for each entry that is not good, in the order of the source."""

    places: np.ndarray
    facts: np.ndarray
    labels: list[str]
    rejects: list[Reject]

    @classmethod
    def joined(cls, parts: list["Inspected"]) -> "Inspected":
        return cls(
            np.concatenate([part.places for part in parts]),
            np.concatenate([part.facts for part in parts]),
            [label for part in parts for label in part.labels],
            [reject for part in parts for reject in part.rejects],
        )


def inspect_entries(task: CheckTask) -> Inspected:
    """Check a run of entries."""
    facts = np.zeros(len(task.entries), FACTS)
    places, labels, rejects = [], [], []
    for place, entry in enumerate(task.entries, task.first):
        try:
            label, fact = _inspect_entry(task, entry)
        except Rejected as why:
            rejects.append(Reject(entry.path, why.reason, why.detail))
            continue
        facts[len(places)] = fact
        places.append(place)
        labels.append(label)
    return Inspected(np.array(places, np.int64), facts[: len(places)].copy(), labels, rejects)


def _inspect_entry(task: CheckTask, entry: Entry) -> tuple[str, tuple]:
    """(label, facts) of one entry; Rejected where it cannot be used. The label first: that costs the least."""
    if entry.problem:
        raise Rejected(entry.problem)
    words = task.class_numbers is None
    if words:
        label = check_label(entry.label, task.profile, task.limits)
    elif entry.label is None:
        raise Rejected("no label", "it lies in no class folder")
    else:
        label = str(task.class_numbers[entry.label])
    content = read_bytes(task.root / entry.path)
    image = read_image(content, task.limits, task.rule)
    if words:
        check_fits(label, task.profile, image.width, image.height, task.limits)
    length = len(label) if words else 0
    subset = task.subsets.index(entry.subset)
    converted = image.content is not content
    return label, (length, image.width, image.height, subset, image.image_format, converted, digest_of(content))
