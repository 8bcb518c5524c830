"""What a task says of an evaluation, ready to be drawn. No torch."""

from typing import NamedTuple

Row = tuple[str, ...]


class ScoreTable(NamedTuple):
    """A table below the scores."""

    title: str
    """Above it."""
    head: Row
    """The names of its columns; "" for none."""
    rows: list[Row]
    """Cells as they are shown."""


class Confusion(NamedTuple):
    """Which class is taken for which."""

    classes: list[str]
    """Names."""
    counts: list[list[int]]
    """Samples by class of the label, then by class read."""
