"""The scores of each task as people read them: names, order, which one decides. No torch: reports import it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from horovod_ocr.tasks import class_report, word_report
from horovod_ocr.tasks.report import Confusion, ScoreTable


class Figure(NamedTuple):
    """One score."""

    key: str
    """Its name in eval.json and metrics.jsonl; a fraction."""
    title: str
    """Its name for people."""
    form: str = ".2%"
    """How its value is printed, in all tables and lines: a format."""

    def text(self, scores: Mapping[str, float]) -> str:
        """Its value among these scores; empty if they lack it."""
        return format(scores[self.key], self.form) if self.key in scores else ""


class TaskFigures(NamedTuple):
    """The scores of one task."""

    figures: tuple[Figure, ...]
    """In the order in which they are shown; a report may lack some."""
    best: str
    """The key of the score that decides which checkpoint is the best: the lowest."""
    listed: dict[str, Figure]
    """What a list of runs shows, in this order: its key in JSON -> the score."""
    parts_of: Callable[[dict[str, Any]], list[tuple[str, dict[str, float]]]]
    """The content of eval.json -> the rows of its table: a name, and the scores of a part of the split."""
    title_of: Callable[[dict[str, Any]], str]
    """The content of eval.json -> what the title of the table says of the task; empty for nothing."""
    tables_of: Callable[[dict[str, Any]], list[ScoreTable]]
    """The content of eval.json -> tables for below that one."""
    remarks_on: Callable[[dict[str, Any]], list[str]]
    """The content of eval.json -> sentences for below the tables."""
    confusion_of: Callable[[dict[str, Any]], Confusion] | None = None
    """The content of eval.json -> what is taken for what, for a picture; None: there is no such picture."""


_ACCURACY, _CER = Figure("word_accuracy", "word accuracy"), Figure("cer", "CER")
WORDS = TaskFigures(
    figures=(_ACCURACY, _CER, Figure("one_minus_ned", "1-NED")),
    best="cer",
    listed={"word_accuracy": _ACCURACY, "best_cer": _CER},
    parts_of=word_report.parts_of,
    title_of=word_report.title_of,
    tables_of=word_report.tables_of,
    remarks_on=word_report.remarks_on,
)
_CLASS_ACCURACY = Figure("accuracy", "accuracy")
CLASSES = TaskFigures(
    figures=(_CLASS_ACCURACY, Figure("macro_f1", "macro F1"), Figure("auc", "AUC", ".3f")),
    best="error_rate",
    listed={"accuracy": _CLASS_ACCURACY},
    parts_of=class_report.parts_of,
    title_of=class_report.title_of,
    tables_of=class_report.tables_of,
    remarks_on=class_report.remarks_on,
    confusion_of=class_report.confusion_of,
)
FIGURES = {"words": WORDS, "classes": CLASSES}


def figures_in(values: Mapping[str, Any]) -> TaskFigures | None:
    """The task whose scores these values are; None if they are scores of no task."""
    return next((figures for figures in FIGURES.values() if figures.best in values), None)


def score_text(figures: TaskFigures, values: Mapping[str, float]) -> str:
    """`word accuracy 98.50%  CER 0.60%`, for a log line."""
    return "  ".join(f"{figure.title} {figure.text(values)}" for figure in figures.figures if figure.key in values)
