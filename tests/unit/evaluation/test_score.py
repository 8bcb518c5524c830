"""eval.json, written and drawn."""

import json

import numpy as np
import pytest
from rich.console import Console

from horovod_ocr.evaluation.score import write_report
from horovod_ocr.reports.score import draw_report
from horovod_ocr.tasks.words import WordScores
from horovod_ocr.text.decode import Reading
from sharding.format.script.profile import build_profile


@pytest.fixture
def report() -> dict:
    facts = {"run": "r", "step": 7, "split": "test", "profile": "urdu", "kind": "words", "unreadable": 0}
    scores = WordScores(build_profile("urdu"), 3)
    rows = [(1, "کتاب", "کتاب"), (1, "[sic]", "[/b]"), (2, "زخڑ", "زحڑ"), (2, "زخ", "زخ")]
    subsets, labels, read = zip(*rows, strict=True)
    scores.add([Reading(text, 1.0) for text in read], labels, np.array(subsets))
    return facts | scores.report(("", "lexicon", "random"))


def test_written_as_json_and_drawn(report, tmp_path):
    write_report(tmp_path / "eval.json", report)
    assert json.loads((tmp_path / "eval.json").read_text("utf-8")) == json.loads(json.dumps(report))
    console = Console(width=100, record=True, file=open("/dev/null", "w"))
    with console.file:
        console.print(draw_report(report))
        drawn = console.export_text()
    assert (
        "50.00%" in drawn
        and "lexicon" in drawn
        and "WRONG" in drawn
        and "[sic]" in drawn
        and "[/b]" in drawn
        and "خ read ح" in drawn
    )
