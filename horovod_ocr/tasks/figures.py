"""The scores of each task as people read them: names, order, which one decides. No torch: reports import it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from horovod_ocr.tasks import word_report


class Figure(NamedTuple):
    """One score."""

    key: str
    """Its name in eval.json and metrics.jsonl; a fraction."""
    title: str
    """Its name for people."""


class TaskFigures(NamedTuple):
    """The scores of one task."""

    figures: tuple[Figure, ...]
    """In the order in which they are shown."""
    best: str
    """The key of the score that decides which checkpoint is the best: the lowest."""
    listed: dict[str, Figure]
    """What a list of runs shows, in this order: its key in JSON -> the score."""
    parts_of: Callable[[dict[str, Any]], list[tuple[str, dict[str, float]]]]
    """The content of eval.json -> the rows of its table: a name, and the scores of a part of the split."""
    title_of: Callable[[dict[str, Any]], str]
    """The content of eval.json -> what the title of the table says of the task; empty for nothing."""
    example_columns: tuple[str, ...]
    """The columns of the table of examples; empty: the task shows no examples."""
    examples_of: Callable[[dict[str, Any]], list[tuple[str, ...]]]
    """The content of eval.json -> the rows of that table."""
    remarks_on: Callable[[dict[str, Any]], list[str]]
    """The content of eval.json -> sentences for below the tables."""


_ACCURACY, _CER = Figure("word_accuracy", "word accuracy"), Figure("cer", "CER")
WORDS = TaskFigures(
    figures=(_ACCURACY, _CER, Figure("one_minus_ned", "1-NED")),
    best="cer",
    listed={"word_accuracy": _ACCURACY, "best_cer": _CER},
    parts_of=word_report.parts_of,
    title_of=word_report.title_of,
    example_columns=("label", "reading", ""),
    examples_of=word_report.examples_of,
    remarks_on=word_report.remarks_on,
)
FIGURES = {"words": WORDS}


def figures_in(values: Mapping[str, Any]) -> TaskFigures | None:
    """The task whose scores these values are; None if they are scores of no task."""
    return next((figures for figures in FIGURES.values() if figures.best in values), None)


def score_text(figures: TaskFigures, values: Mapping[str, float]) -> str:
    """`word accuracy 98.50%  CER 0.60%`, for a log line."""
    return "  ".join(f"{figure.title} {values[figure.key]:.2%}" for figure in figures.figures)
