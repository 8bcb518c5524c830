"""The report of an evaluation, as tables."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.tasks.figures import FIGURES, TaskFigures


def draw_report(report: dict[str, Any]) -> Group:
    """eval.json as rich tables."""
    task = FIGURES[report["kind"]]
    facts = [report["run"], f"step {report['step']}", f"{report['split']} split", task.title_of(report)]
    title = ", ".join(filter(None, facts))
    if report["unreadable"]:
        title += f"; {report['unreadable']:,} damaged samples left out"
    scores = Table(title=title, title_justify="left")
    for name in ("", "samples", *(figure.title for figure in task.figures)):
        scores.add_column(name, justify="left" if not name else "right")
    for name, part in task.parts_of(report):
        shown = (f"{part[figure.key]:.2%}" for figure in task.figures)
        scores.add_row(name, f"{part['samples']:,}", *shown)
    examples = [examples_table(task, report)] if task.example_columns else []
    return Group(scores, *examples, *map(Text, task.remarks_on(report)))


def examples_table(task: TaskFigures, report: dict[str, Any]) -> Table:
    table = Table(title="the first samples", title_justify="left")
    for name in task.example_columns:
        table.add_column(name)
    for row in task.examples_of(report):
        table.add_row(*map(Text, row))  # Text: rich would take [brackets] in a label for its markup
    return table
