"""The parts of a page as rich tables and small bars, for a terminal or a pipe."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from horovod_ocr.reports.page import (
    BarChart,
    Cell,
    Drawing,
    Figures,
    Paragraph,
    Part,
    Picture,
    Section,
    TableOf,
    bar_share,
    bar_shares,
    is_number,
    shown,
)

BAR_CELLS = 20
EIGHTHS = " ▏▎▍▌▋▊▉"
MOST_ROWS = 60


def draw_sections(sections: Sequence[Section]) -> Group:
    """The sections of a page, one after the other, without pictures and without rows after the 60th."""
    drawn: list[RenderableType] = []
    for section in sections:
        parts = [part for part in section.parts if not isinstance(part, Picture | Drawing)]
        if parts:
            drawn += [Text(f"\n{section.heading}", style="bold"), *map(draw_part, parts)]
    return Group(*drawn)


def draw_part(part: Part) -> RenderableType:
    match part:
        case Paragraph():
            return Text(part.text)
        case Figures():
            grid = Table.grid(padding=(0, 2))
            for what, much in part.figures:
                grid.add_row(Text(what), Text(much))
            return grid
        case TableOf():
            return draw_table(part)
        case BarChart():
            table = TableOf(("", "samples"), list(zip(part.labels, part.counts, strict=True)))
            top = max(part.counts, default=0) or 1
            shares = [bar_share(count, top, part.log) for count in part.counts]
            return Group(Text(part.caption, style="italic"), with_bars(table, shares))
        case Picture() | Drawing():
            return Text(part.caption)


def draw_table(table: TableOf) -> RenderableType:
    return with_bars(table, bar_shares(table))


def with_bars(table: TableOf, shares: Sequence[float]) -> RenderableType:
    """shares: the length of each row's bar, 0 to 1; empty: no bars."""
    drawn = Table(show_edge=False, pad_edge=False)
    columns: list[tuple[Cell, ...]] = list(zip(*table.rows, strict=True)) or [()] * len(table.head)
    for name, cells in zip(table.head, columns, strict=True):
        # fold: of names that are cut, two may be the same
        drawn.add_column(name, justify="right" if cells and all(map(is_number, cells)) else "left", overflow="fold")
    if shares:
        drawn.add_column("", min_width=BAR_CELLS, no_wrap=True)
    for position, row in enumerate(table.rows[:MOST_ROWS]):
        # Text: rich would take [brackets] in a label for its markup
        texts = [Text(shown(cell)) for cell in row] + ([Text(bar_of(shares[position]))] if shares else [])
        drawn.add_row(*texts, style="yellow" if position in table.marked else "")
    left_out = len(table.rows) - MOST_ROWS
    return Group(drawn, Text(f"... and {left_out:,} more, on the page")) if left_out > 0 else drawn


def bar_of(share: float) -> str:
    """A bar of up to BAR_CELLS cells, in steps of an eighth; it is empty only if share is 0."""
    eighths = max(round(share * BAR_CELLS * 8), 1 if share > 0 else 0)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).rstrip()
