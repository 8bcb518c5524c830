"""The report of an evaluation, as tables."""

from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.data.samples import read_images
from horovod_ocr.data.store import ShardStore
from horovod_ocr.reports.confusion import draw_confusion
from horovod_ocr.reports.sheet import draw_sheet
from horovod_ocr.tasks.figures import FIGURES
from horovod_ocr.tasks.report import ScoreTable


def draw_report(report: dict[str, Any]) -> Group:
    """eval.json as rich tables."""
    task = FIGURES[report["kind"]]
    facts = [report["run"], f"step {report['step']}", f"{report['split']} split", task.title_of(report)]
    title = ", ".join(filter(None, facts))
    if report["unreadable"]:
        title += f"; {report['unreadable']:,} damaged samples left out"
    figures = [figure for figure in task.figures if figure.key in report]
    scores = Table(title=title, title_justify="left")
    for name in ("", "samples", *(figure.title for figure in figures)):
        scores.add_column(name, justify="left" if not name else "right")
    for name, part in task.parts_of(report):
        scores.add_row(Text(name), f"{part['samples']:,}", *(figure.text(part) for figure in figures))
    return Group(scores, *map(draw_table, task.tables_of(report)), *map(Text, task.remarks_on(report)))


def draw_pictures(report: dict[str, Any], store: ShardStore, run: Path) -> list[Path]:
    """Write what the task has pictures of into the run's folder: confusion.png, worst.png. Returns their paths.

    store: of the samples that were read. OSError or ShardError if they cannot be written or read.
    """
    task, pictures = FIGURES[report["kind"]], []
    caption = f"{report['run']}, step {report['step']}, {report['split']} split"
    if task.confusion_of:
        pictures.append(run / "confusion.png")
        draw_confusion(task.confusion_of(report), pictures[-1], f"{caption}: rows are labels, columns what was read")
    (run / "worst.png").unlink(missing_ok=True)  # of an earlier evaluation
    if worst := report.get("worst"):
        pictures.append(run / "worst.png")
        images = read_images(store, [(each["shard"], each["row"]) for each in worst])
        samples = list(zip(images, (each["label"] for each in worst), strict=True))
        remarks = [f"read {each['reading']}, {each['confidence']:.0%}" for each in worst]
        caption = f"{caption}: the mistakes of the highest confidence, each with its label"
        draw_sheet(samples, pictures[-1], caption=caption, remarks=remarks)
    return pictures


def draw_table(table: ScoreTable) -> Table:
    drawn = Table(title=table.title, title_justify="left")
    for name in table.head:
        drawn.add_column(name)
    for row in table.rows:
        drawn.add_row(*map(Text, row))  # Text: rich would take [brackets] in a label for its markup
    return drawn
