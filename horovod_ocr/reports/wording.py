"""Phrases that several reports share."""


def counted(count: int, one: str, many: str = "") -> str:
    """A number and its noun: "1 shard", "2 shards". many: where it is not `one` and an s."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def splits_told(by: str, given: int, entries: int, group_from: str | None = None) -> str:
    """Where the splits come from. by: the rule, one of `RULES`; given: entries that the source gave a split."""
    rule = f"by {by}" + (f" (what {group_from!r} finds in the path)" if by == "group" and group_from else "")
    if by == "lists":
        return rule
    if given:
        some = f"given by the source for {given:,} of {entries:,}, the others {rule}"
        return "as the source gives them" if given == entries else some
    return f"{rule} (no word of val or test is in train)" if by == "label" else rule
