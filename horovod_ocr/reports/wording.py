"""Numbers and phrases that several reports share."""

from collections.abc import Mapping, Sequence

AGES = ((86400, "d"), (3600, "h"), (60, "min"))
FEW_SUBSETS, ENTRIES_A_SUBSET = 10, 5
MOST_CLASSES = 10  # in one sentence


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
    rule = f"by {by}" + (f" (what {group_from!r} finds in the path)" if by == "group" and group_from else "")
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


def classes_warnings(classes: Sequence[str], samples: Mapping[str, Sequence[int]]) -> list[str]:
    """Sentences about classes that cannot be learnt, or that nothing can be scored on. samples: of each class, by
    split."""
    train = samples.get("train", [0] * len(classes))
    unseen = [
        sum(of_class) for of_class in zip(*(samples[split] for split in samples if split != "train"), strict=True)
    ]
    warnings = []
    if sum(train) and (missing := [name for name, count in zip(classes, train, strict=True) if not count]):
        warnings.append(f"the train split has no image of {some_names(missing)}, which cannot be learnt")
    if sum(unseen) and (unscored := [name for name, count in zip(classes, unseen, strict=True) if not count]):
        warnings.append(f"val and test have no image of {some_names(unscored)}, which is never scored")
    return warnings


def some_names(names: Sequence[str]) -> str:
    """Names with commas; at most MOST_CLASSES of them."""
    more = len(names) - MOST_CLASSES
    return ", ".join(names[:MOST_CLASSES]) + (f" and {more:,} more" if more > 0 else "")
