"""Phrases that sentences of any module share."""

import unicodedata
from collections.abc import Sequence

_CONTROL = ("Cc", "Zl", "Zp")  # categories: control characters, and the other two that end a line


def some_names(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first `most` names, and how many more there are: "a, b and 3 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{separator.join(names[:most])}{more}"


def one_line(text: str) -> str:
    """White space and line ends become single spaces."""
    return " ".join(text.split())


def breaks_lines(text: str) -> bool:
    """Whether a line of a table would break, or be cut, where this text is one of its fields."""
    return any(unicodedata.category(letter) in _CONTROL for letter in text)
