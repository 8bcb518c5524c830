"""Phrases that sentences of any module share."""

from collections.abc import Sequence


def some_names(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first `most` names, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{separator.join(names[:most])}{more}"
