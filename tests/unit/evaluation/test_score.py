"""eval.json, written and drawn."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from horovod_ocr.checkpoint.file import write_checkpoint
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.errors import CheckpointError
from horovod_ocr.evaluation.score import score_run, warn_of_seen, write_report
from horovod_ocr.models.build import build_model
from horovod_ocr.reports.score import draw_report
from horovod_ocr.run.folder import EVAL, Ownership
from horovod_ocr.tasks.figures import FIGURES, WORDS
from horovod_ocr.tasks.words import WordScores, WordTask
from horovod_ocr.text.charset import Charset
from horovod_ocr.text.decode import Reading
from sharding.format.script.profile import build_profile
from tests.unit.checkpoint.payload import tiny_payload
from tests.unit.shard_sets import write_set
from tests.unit.tasks.batches import batch_of


@pytest.fixture
def report() -> dict:
    facts = {"run": "r", "step": 7, "split": "test", "profile": "urdu", "kind": "words", "unreadable": 0}
    scores = WordScores(build_profile("urdu"), ("", "lexicon", "random"))
    rows = [(1, "کتاب", "کتاب"), (1, "[sic]", "[/b]"), (2, "زخڑ", "زحڑ"), (2, "زخ", "زخ")]
    subsets, labels, read = zip(*rows, strict=True)
    scores.add([Reading(text, 1.0) for text in read], batch_of(labels, subsets))
    return facts | scores.report("test")


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


def test_of_words_the_report_says_the_profile_and_shows_the_first_readings(report):
    lines = drawn_lines(report)
    assert lines[0] == "r, step 7, test split, normalised as urdu"
    assert lines[lines.index("the first samples") + 2].split() == ["┃", "label", "┃", "reading", "┃", "┃"]


def test_a_task_that_names_no_profile_and_no_examples_shows_neither(report, monkeypatch):
    other = WORDS._replace(title_of=lambda report: "", tables_of=lambda report: [])
    monkeypatch.setitem(FIGURES, "others", other)
    lines = drawn_lines({**report, "kind": "others"})
    assert lines[0] == "r, step 7, test split"
    assert not [line for line in lines if "normalised" in line or "first samples" in line or "WRONG" in line]
    assert any("word accuracy" in line for line in lines)


def drawn_lines(report: dict) -> list[str]:
    console = Console(width=100, file=io.StringIO())
    console.print(draw_report(report))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.fixture
def runs(tmp_path) -> Path:
    """A run that has learnt nothing, of plain words of a and b; one of its settings is not known any more."""
    task, options = WordTask(Charset.build({"a": 1, "b": 1}, build_profile("plain"))), {"width": 0.25, "hidden": 8}
    payload = {
        **tiny_payload(),
        "model": build_model("crnn", task.outputs, 64, **options).state_dict(),
        "model_options": options,
        "task": task.to_dict(),
    }
    payload["config"] = {**TrainConfig().to_dict(), "gone": 1}
    write_checkpoint(Ownership(tmp_path / "runs" / "it"), 1, payload, is_best=False)
    return tmp_path / "runs"


def test_a_run_of_another_version_is_scored_without_the_settings_that_are_gone(runs, tmp_path, capsys):
    write_set(tmp_path / "shards", {"test": ["ab", "ba"]})
    run, report, _ = score_run(AloneWorld(), runs, shards=str(tmp_path / "shards"), device="cpu")
    assert json.loads((run / EVAL).read_text())["samples"] == report["samples"] == 2
    assert "was begun by another version; not known: gone" in capsys.readouterr().err


def test_a_set_of_another_kind_is_refused(runs, tmp_path):
    write_set(tmp_path / "shards", {"test": ["0", "1"]}, kind="classes", classes=("cat", "dog"))
    with pytest.raises(CheckpointError, match="shards holds classes, and the checkpoint was trained on words"):
        score_run(AloneWorld(), runs, shards=str(tmp_path / "shards"), device="cpu")
    assert not (runs / "it" / EVAL).exists()


@pytest.mark.parametrize(
    ("split", "trained_on", "warning"),
    [
        ("val", "a digest", ""),
        ("train", "a digest", "warning: the run was trained on these samples"),
        ("val", "another", "warning: it is not the set that the run was trained on: images of its val split may have"),
    ],
)
def test_samples_that_the_run_may_have_seen_are_told(split, trained_on, warning, capsys):
    warn_of_seen(split, SimpleNamespace(digest="a digest", root="it"), trained_on)
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(warning) if warning else not said
