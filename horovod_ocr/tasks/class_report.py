"""How a report of class scores reads. No torch."""

from typing import Any

from horovod_ocr.tasks.report import Confusion, Row, ScoreTable
from sharding.wording import one_line

MOST_ROWS = 10


def parts_of(report: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """The rows of the table of scores: the whole split, its subsets."""
    return [("all", report), *report["subsets"].items()]


def title_of(report: dict[str, Any]) -> str:
    """How many classes there are."""
    return f"{len(report['classes'])} classes"


def tables_of(report: dict[str, Any]) -> list[ScoreTable]:
    """Each class; which classes are taken for which; and the mistakes of the highest confidence."""
    by_class: list[Row] = [
        (name, f"{part['samples']:,}", *(share_text(part, key) for key in ("precision", "recall", "f1")))
        for name, part in report["by_class"].items()
    ]
    tables = [ScoreTable("each class", ("", "samples", "precision", "recall", "F1"), by_class)]
    confused: list[Row] = [(label, read, f"{times:,}") for label, read, times in report["confused"][:MOST_ROWS]]
    if confused:
        tables.append(ScoreTable("most confused", ("class", "read as", "times"), confused))
    worst: list[Row] = [
        (
            one_line(each.get("source") or f"{each['shard']}, {each['row']}"),
            each["label"],
            each["reading"],
            f"{each['confidence']:.1%}",
        )
        for each in report["worst"][:MOST_ROWS]
    ]
    if worst:
        tables.append(ScoreTable("the first of worst.png", ("image", "class", "read as", "confidence"), worst))
    return tables


def share_text(part: dict[str, Any], key: str) -> str:
    """A score of one class; "-" if there is nothing to divide by: the precision of a class that was never read, recall
    and F1 of one without samples."""
    return f"{part[key]:.1%}" if part["read" if key == "precision" else "samples"] else "-"


def remarks_on(report: dict[str, Any]) -> list[str]:
    """The interval of the area under the curve."""
    if "auc" not in report:
        return []
    return [
        f"AUC of {report['classes'][1]}: {report['auc']:.3f}, 95 % interval {report['auc_low']:.3f} to "
        f"{report['auc_high']:.3f}"
    ]


def confusion_of(report: dict[str, Any]) -> Confusion:
    """For a picture."""
    return Confusion(report["classes"], report["confusion"])
