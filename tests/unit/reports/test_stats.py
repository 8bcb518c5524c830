"""What stats prints is what the set holds, and what is on its page."""

import os

import pytest
from rich.console import Console
from typer.testing import CliRunner

from horovod_ocr.cli.main import app
from horovod_ocr.reports.page import TableOf
from horovod_ocr.reports.stats import stats_sections, write_stats_page
from horovod_ocr.reports.terminal import draw_sections
from sharding.audit.set_stats import count_set
from sharding.format.index import ShardIndex

WORDS = {"train": ["اب", "جہان"] * 20 + ["x"], "val": ["ابج"], "test": ["اب", "ب"]}


def tables_of(index: ShardIndex) -> dict[str, list]:
    sections = stats_sections(index, count_set(index))
    return {
        s.heading: [list(row) for part in s.parts if isinstance(part, TableOf) for row in part.rows] for s in sections
    }


def test_every_split_and_letter_is_named_and_rare_ones_are_marked(make_set):
    tables = tables_of(make_set(WORDS, rejects={"empty label": 3}, duplicates={"same split": 2}))
    assert [row[:2] for row in tables["Splits"]] == [["train", 41], ["val", 1], ["test", 2]]
    letters = {row[0]: row for row in tables["Letters"]}
    assert letters["ا"][1:] == ["U+0627", "arabic letter alef", "", 40]
    assert letters["x"][3:] == ["rare", 1] and letters["ب"][3] == ""
    assert tables["Left out and repeated"][0][:2] == ["empty label", 3]
    assert tables["Left out and repeated"][1] == ["same split", 2]
    assert [row[:2] for row in tables["Subsets"]] == [["without", 22], ["odd", 22]]


def test_a_letter_that_is_not_in_train_is_marked(make_set):
    tables = tables_of(make_set({"train": ["a"] * 20, "val": ["b"]}))
    assert [(row[0], row[3]) for row in tables["Letters"]] == [("a", ""), ("b", "not in train")]


def test_classes_are_shown_by_split_and_rare_ones_are_marked(make_set):
    names = tuple(f"class {n}" for n in range(12))
    train = [str(n) for n in range(12) for _ in range(n)]
    index = make_set({"train": train, "val": ["0", "11"]}, kind="classes", classes=names)
    rows = tables_of(index)["Classes"]
    assert [row[:4] for row in rows] == [
        [name, n + (n in (0, 11)), n, int(n in (0, 11))] for n, name in enumerate(names)
    ]
    assert rows[0][4] == "not in train" and rows[11][4] == "rare"


@pytest.mark.slow
def test_the_page_has_what_the_terminal_shows(make_set, tmp_path):
    index = make_set(WORDS)
    sections = stats_sections(index, count_set(index))
    write_stats_page(index, sections, tmp_path / "stats.html")
    page = (tmp_path / "stats.html").read_text("utf-8")
    console = Console(width=200, record=True, file=open(os.devnull, "w"))
    with console.file:
        console.print(draw_sections(sections))
    printed = console.export_text()
    for text in ("arabic letter jeem", "rare", "width, px", "Buckets", "none rejected"):
        assert text in page and text in printed
    assert page.count("<svg") == printed.count("samples by") == 4 and page.count("data:image/png") == 1


def test_an_empty_set_has_a_report_too(make_set, tmp_path):
    index = make_set({}, bucket_edges=(), bucket_samples=())
    sections = stats_sections(index, count_set(index))
    write_stats_page(index, sections, tmp_path / "stats.html")
    assert (tmp_path / "stats.html").exists()


@pytest.mark.slow
def test_the_command_prints_and_writes(make_set, tmp_path):
    index = make_set(WORDS)
    done = CliRunner().invoke(app, ["stats", "--shards", str(index.root)])
    assert done.exit_code == 0 and "jeem" in done.stdout
    assert done.stdout.endswith(f"written: {index.root / 'stats.html'}\n") and (index.root / "stats.html").exists()
    done = CliRunner().invoke(app, ["stats", "--shards", str(tmp_path / "none")])
    assert done.exit_code == 3 and done.stderr.startswith("horovod-ocr: no shards")
