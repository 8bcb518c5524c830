"""What an audit has found."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharding.audit.confusables import Confusable
from sharding.audit.scan import MOST_REJECTED_PICTURES, SourceScan, Specimen
from sharding.format.script.profile import ScriptProfile
from sharding.format.splits import SPLITS


class Twin(NamedTuple):
    """Two samples with the same image."""

    path: str
    """As `Catalogue.shown` gives it; in `AuditCopies.examples` that of the further copy."""
    label: str
    """Normalised, or the name of a class."""
    split: str
    """One of SPLITS."""
    other_path: str
    """As `path`; in `AuditCopies.examples` that of the copy that stays."""
    other_label: str
    """As `label`; only in `AuditCopies.conflicts` the two differ."""
    other_split: str
    """One of SPLITS; it may be the same."""


class AuditCopies(NamedTuple):
    """Images that occur more than once."""

    counts: dict[str, int]
    """Further copies in the "same split", "across splits", and how many of them a build would have "left out"."""
    examples: list[Twin]
    """Some further copies, each with the copy that stays; those across splits first."""
    conflicts: list[Twin]
    """Examples of the same image with two labels."""


class AuditLabels(NamedTuple):
    """What the labels are like, counted over all of them."""

    changed_letters: list[tuple[str, str, int]]
    """(letter, what normalising makes of it, how often it occurs in raw labels), the most frequent first."""
    confusables: list[Confusable]
    """Look-alikes among the letters of raw labels; empty for classes."""
    distinct: int
    """Number of different labels."""
    single: int
    """Labels that occur once."""
    often: list[tuple[str, int]]
    """The labels that occur most often."""


@dataclass(frozen=True)
class Audit:
    """What a build with the same options would do, and what it would find."""

    sources: tuple[tuple[Path, str], ...]
    """(root, layout) of each."""
    profile: ScriptProfile
    """The one that was asked for, or chosen by the labels."""
    notes: tuple[str, ...]
    """As in `ShardReport`."""
    options: dict[str, Any]
    """As a build would write them into its index."""
    given_splits: tuple[int, int]
    """As in `ShardReport`."""
    entries: int
    """Entries that were listed."""
    looked_at: int
    """Entries that were read: all, unless a sample was asked for."""
    found: SourceScan
    """What was counted entry by entry, conflicts and copies included."""
    bucket_edges: tuple[float, ...]
    """Upper width / height of each bucket, ascending; empty if there is no sample."""
    buckets: NDArray[np.int64]
    """[splits, buckets] samples."""
    subsets: tuple[str, ...]
    """Names, "" first, then sorted."""
    classes: tuple[str, ...]
    """Sorted names; empty for words."""
    class_samples: dict[str, tuple[int, ...]]
    """As in `SetCounts`: of the samples that would be packed."""
    copies: AuditCopies
    """Among the samples that were read."""
    labels: AuditLabels
    """Letters of all labels that were read, and how often the labels of samples repeat."""

    @property
    def kind(self) -> str:
        return "classes" if self.classes else "words"

    @property
    def samples(self) -> dict[str, int]:
        """Samples of each split that would be packed."""
        return dict(zip(SPLITS, self.buckets.sum(axis=1).tolist(), strict=True))

    @property
    def profile_why(self) -> str:
        """Why it is this profile."""
        return str(self.options["profile_why"])

    @property
    def packed(self) -> int:
        """How many of `looked_at` would go into shards."""
        return sum(self.samples.values())

    @property
    def pictures(self) -> list[Specimen]:
        """The first samples in the order of the set."""
        return self.found.pictures

    @property
    def rejected_pictures(self) -> list[Specimen]:
        """Some rejected images: one of each reason, then a second one of each, and so on."""
        found = self.found.rejected_pictures
        rows = zip_longest(*(found[reason] for reason in sorted(found)))
        return [picture for row in rows for picture in row if picture][:MOST_REJECTED_PICTURES]
