"""How a report of word scores reads. No torch."""

from typing import Any

from horovod_ocr.tasks.report import Row, ScoreTable


def parts_of(report: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """The rows of the table of scores: the whole split, its subsets, each length."""
    rows = [("all", report), *report["subsets"].items()]
    lengths = report["by_length"].items()
    return [*rows, *((f"{name} letter{'' if name == '1' else 's'}", part) for name, part in lengths)]


def title_of(report: dict[str, Any]) -> str:
    """By which script profile labels and readings are compared."""
    return f"normalised as {report['profile']}"


def tables_of(report: dict[str, Any]) -> list[ScoreTable]:
    """The first samples: label, reading, and whether they are the same."""
    rows: list[Row] = [
        (label, reading or "-", "right" if label == reading else "WRONG")
        for label, reading in ((example["label"], example["reading"]) for example in report["examples"])
    ]
    return [ScoreTable("the first samples", ("label", "reading", ""), rows)]


def remarks_on(report: dict[str, Any]) -> list[str]:
    """What the table of scores does not say."""
    if not report["confusions"]:
        return []
    shown = (f"{wanted or '-'} read {read or '-'}: {times}" for wanted, read, times in report["confusions"][:10])
    return ["most confused letters (- is none): " + ", ".join(shown)]
