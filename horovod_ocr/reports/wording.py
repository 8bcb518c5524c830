"""Numbers and phrases that several reports share."""

from collections.abc import Mapping, Sequence

from sharding.format.splits import SPLITS
from sharding.wording import some_names

AGES = ((86400, "d"), (3600, "h"), (60, "min"))
FEW_SUBSETS, ENTRIES_A_SUBSET = 10, 5
MOST_CLASSES = 10  # in one sentence
_IF_LACKING = {
    "train": "no model learns to read such images",
    "val": "the best checkpoint is chosen without such images",
    "test": "the test score says nothing of such images",
}


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun: "1 shard", "2 shards". many: the plural, unless it is `one` and an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def range_text(least: int, most: int) -> str:
    """ "3 to 5", or "3" if both are 3."""
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def age_text(age_s: float) -> str:
    """Whole days, hours or minutes: "3 h ago". "now" also for a negative age: the clocks of two hosts may differ."""
    for unit_s, name in AGES:
        if age_s >= unit_s:
            return f"{int(age_s // unit_s)} {name} ago"
    return "now"


def splits_source(by: str, given: int, entries: int, group_from: str | None = None) -> str:
    """Where the splits of samples come from.

    by: the rule, one of `sharding.reading.split.RULES`. given: entries that the source gave a split.
    """
    rule = f"by {by}" + (f" (what '{group_from}' finds in the path)" if by == "group" and group_from else "")
    if by == "lists":
        return rule
    if given == entries and given:
        return "as the source gives them"
    if given:
        return f"given by the source for {given:,} of {entries:,}, the others {rule}"
    return f"{rule} (no word of val or test is in train)" if by == "label" else rule


def subsets_warning(subsets: int, entries: int) -> str | None:
    """A sentence if there are more than a few subsets of a few entries each: the column then holds something else."""
    if subsets <= FEW_SUBSETS or entries >= subsets * ENTRIES_A_SUBSET:
        return None
    return (
        "so many names of subsets look like texts; name the columns of the label file in its first line "
        "(path, label, subset)"
    )


def empty_splits(samples: Mapping[str, int], fractions: Sequence[float], given: int) -> list[str]:
    """The splits that hold no sample, without those that were asked to be empty. given: as in `splits_source`."""
    shares = zip(SPLITS, fractions, strict=True)
    return [split for split, share in shares if not samples.get(split) and (share or given)]


def groups_warning(by: str, samples: Mapping[str, int], fractions: Sequence[float]) -> str | None:
    """A sentence if the share of a split differs by more than half from the fraction that was asked for, as happens if
    there are only a few groups. by: as in `splits_source`."""
    total = sum(samples.values())
    shares = [samples.get(split, 0) / total if total else 0.0 for split in SPLITS]
    pairs = list(zip(shares, fractions, strict=True))
    if by != "group" or not total or all(abs(share - fraction) <= fraction / 2 for share, fraction in pairs):
        return None
    shown = ", ".join(
        f"{split} {share:.1%} ({fraction:.1%} asked for)"
        for split, (share, fraction) in zip(SPLITS, pairs, strict=True)
    )
    return (
        f"the shares are far from --fractions: {shown}; there are few groups, or some are large: give more, or divide "
        "them otherwise with another --seed and another --out"
    )


def classes_warnings(classes: Sequence[str], samples: Mapping[str, Sequence[int]]) -> list[str]:
    """Sentences about classes without images, and about those that a split lacks, with what follows; not about a split
    that is empty. samples: of each class, by split; empty if they are not known."""
    in_all = [sum(of_class) for of_class in zip(*samples.values(), strict=True)]
    of_classes = f"of {counted(len(classes), 'class', 'classes')}"
    warnings = []
    if unused := [name for name, total in zip(classes, in_all, strict=False) if not total]:
        warnings.append(f"no image of {len(unused):,} {of_classes} can be used: {some_names(unused, MOST_CLASSES)}")
    for split, counts in samples.items():
        rows = zip(classes, counts, in_all, strict=True)
        lacking = [f"{name} {total:,}" for name, count, total in rows if total and not count]
        if lacking and any(counts):
            have = "has" if len(lacking) == 1 else "have"
            where = f"no image in {split} (elsewhere: {some_names(lacking, MOST_CLASSES)})"
            warnings.append(f"{len(lacking):,} {of_classes} {have} {where}; {_IF_LACKING[split]}")
    return warnings
