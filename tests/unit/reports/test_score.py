"""The report adds up, and names what is most confused."""

import json
from collections import Counter
from types import SimpleNamespace

import pytest
from rich.console import Console

from horovod_ocr.errors import CheckpointError
from horovod_ocr.reports.score import build_report, check_readable, draw_report, write_report
from horovod_ocr.tasks.words import Scores, WordTask
from horovod_ocr.text.charset import Charset
from horovod_ocr.text.metrics import build_counts, count_reading
from sharding.format.script.profile import build_profile

FACTS = {"run": "r", "step": 7, "split": "test", "profile": "urdu"}


@pytest.fixture
def report() -> dict:
    scores = Scores(build_counts(3), Counter(), [("کتاب", "کتاب"), ("[sic]", "[/b]")])
    for subset, label, reading in [(1, "کتاب", "کتاب"), (1, "بات", ""), (2, "زخڑ", "زحڑ"), (2, "زخ", "زخ")]:
        count_reading(scores.counts, scores.confusions, subset, reading, label)
    return build_report(scores, ("", "lexicon", "random"), FACTS)


def test_all_and_its_parts(report):
    assert report["word_accuracy"] == 0.5 and report["samples"] == 4
    assert report["subsets"]["lexicon"]["word_accuracy"] == 0.5 and report["subsets"]["random"]["samples"] == 2
    assert report["cer"] == pytest.approx(4 / 12)
    assert {length: row["samples"] for length, row in report["by_length"].items()} == {"2": 1, "3": 2, "4": 1}
    assert ["خ", "ح", 1] in report["confusions"]


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


def test_labels_of_another_direction_are_not_compared():
    hebrew = build_profile("plain", direction="rtl")
    task = WordTask(Charset.build("אב", hebrew))
    index = SimpleNamespace(root="shards", kind="words", alphabet={"א": 1}, profile=build_profile("plain"))
    with pytest.raises(CheckpointError, match="normalised as plain \\(ltr\\), .* --profile plain --direction rtl"):
        check_readable(task, index)
    index.profile = hebrew
    check_readable(task, index)
