"""The report of an evaluation, as tables."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.tasks.figures import FIGURES


def draw_report(report: dict[str, Any]) -> Group:
    """eval.json as rich tables."""
    task = FIGURES[report["kind"]]
    title = f"{report['run']}, step {report['step']}, {report['split']} split, normalised as {report['profile']}"
    if report["unreadable"]:
        title += f"; {report['unreadable']:,} damaged samples left out"
    scores = Table(title=title, title_justify="left")
    for name in ("", "samples", *(figure.title for figure in task.figures)):
        scores.add_column(name, justify="left" if not name else "right")
    for name, part in task.parts_of(report):
        shown = (f"{part[figure.key]:.2%}" for figure in task.figures)
        scores.add_row(name, f"{part['samples']:,}", *shown)
    readings = Table(title="the first samples", title_justify="left")
    for name in ("label", "reading", ""):
        readings.add_column(name)
    for example in report["examples"]:
        is_right = example["label"] == example["reading"]
        # Text: rich would take [brackets] in a label for its markup
        readings.add_row(Text(example["label"]), Text(example["reading"] or "-"), "right" if is_right else "WRONG")
    return Group(scores, readings, *map(Text, task.remarks_on(report)))
