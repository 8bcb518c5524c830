"""The runs of a folder as a table."""

import time

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.console import size_text
from horovod_ocr.evaluation.runs import RunRow
from horovod_ocr.reports.wording import age_text
from horovod_ocr.tasks.figures import FIGURES, Figure

STYLES = {"training": "green", "silent": "yellow", "failed": "red"}


def draw_runs(rows: list[RunRow]) -> Group:
    """The table for a terminal, and below it why runs ended or have gone silent."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("run", "state"):
        table.add_column(name, no_wrap=True)
    figures = figures_of(rows)
    for name in ("step", "epoch", *(figure.title for figure in figures), "seen", "disk", "checkpoints"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        cells = (
            row.name,
            row.state,
            " / ".join(f"{number:,}" for number in (row.step, row.total_steps) if number is not None),
            "" if row.epoch is None else f"{row.epoch:.2f}",
            *(figure.text(row.scores) for figure in figures),
            age_text(time.time() - row.time),
            size_text(row.bytes),
            f"{row.checkpoints}",
        )
        # Text: rich would take [brackets] in a name for its markup
        table.add_row(*(Text(cell) for cell in cells), style=STYLES.get(row.state, ""))
    return Group(table, *(Text(sentence) for row in rows if (sentence := remark_on(row))))


def figures_of(rows: list[RunRow]) -> list[Figure]:
    """The scores that at least one of the runs has, in the order of their tasks."""
    return [
        figure
        for task in FIGURES.values()
        for figure in task.listed.values()
        if any(figure.key in row.scores for row in rows)
    ]


def remark_on(row: RunRow) -> str | None:
    """Why the run stopped or failed, or since when it is silent."""
    if row.state == "silent":
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.time))
        return f"{row.name}: silent since {since}; if no process of it is left, go on with --resume"
    return f"{row.name}: {row.state}: {row.reason}" if row.reason else None
