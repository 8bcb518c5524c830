"""What stats counts is what stands in the set; what it prints is what it writes."""

import os
from collections import Counter

import pytest
from rich.console import Console
from typer.testing import CliRunner

from horovod_ocr.cli.main import app
from horovod_ocr.reports.page import TableOf
from horovod_ocr.reports.stats import count_set, stats_sections, visible, write_page
from horovod_ocr.reports.terminal import draw_sections
from sharding.errors import ShardError
from sharding.format.index import ShardIndex

WORDS = {"train": ["اب", "جہان"] * 20 + ["x"], "val": ["ابج"], "test": ["اب", "ب"]}


def tables_of(index: ShardIndex) -> dict[str, list]:
    sections = stats_sections(index, count_set(index))
    return {
        s.heading: [list(row) for part in s.parts if isinstance(part, TableOf) for row in part.rows] for s in sections
    }


def test_counts_are_those_of_the_samples(make_set):
    index = make_set(WORDS)
    stats = count_set(index)
    lengths = Counter(len(word) for words in WORDS.values() for word in words)
    numbers, counts = stats.tallies["label_length"].counts()
    assert dict(zip(numbers.tolist(), counts.tolist(), strict=True)) == dict(lengths)
    numbers, counts = stats.tallies["width"].counts()
    assert numbers.tolist() == [48, 96, 144] and counts.tolist() == [15, 15, 14]
    assert stats.splits == ("train", "val", "test")
    assert stats.buckets.tolist() == [[41], [1], [2]] and stats.subsets.sum(axis=1).tolist() == [41, 1, 2]


def test_every_split_and_letter_is_named_and_rare_ones_are_marked(make_set):
    tables = tables_of(make_set(WORDS, rejects={"empty label": 3}, duplicates={"same split": 2}))
    assert [row[:2] for row in tables["Splits"]] == [["train", 41], ["val", 1], ["test", 2]]
    letters = {row[0]: row for row in tables["Letters"]}
    assert letters["ا"][1:] == ["U+0627", "arabic letter alef", "", 40]
    assert letters["x"][3:] == ["rare", 1] and letters["ب"][3] == ""
    assert tables["Left out and repeated"][0][:2] == ["empty label", 3]
    assert tables["Left out and repeated"][1] == ["same split", 2]
    assert [row[:2] for row in tables["Subsets"]] == [["without", 22], ["odd", 22]]


def test_a_letter_that_train_has_not_is_said_to_be_so(make_set):
    tables = tables_of(make_set({"train": ["a"] * 20, "val": ["b"]}))
    assert [(row[0], row[3]) for row in tables["Letters"]] == [("a", ""), ("b", "not in train")]


def test_classes_are_counted_from_their_labels(make_set):
    names = tuple(f"class {n}" for n in range(12))
    train = [str(n) for n in range(12) for _ in range(n)]
    index = make_set({"train": train, "val": ["0", "11"]}, kind="classes", classes=names)
    rows = tables_of(index)["Classes"]
    assert [row[:4] for row in rows] == [
        [name, n + (n in (0, 11)), n, int(n in (0, 11))] for n, name in enumerate(names)
    ]
    assert rows[0][4] == "not in train" and rows[11][4] == "rare"


@pytest.mark.parametrize("label", ["x", "7", "0123456789", "-1"])
def test_a_label_that_is_no_class_is_an_error(make_set, label):
    index = make_set({"train": ["0", label]}, kind="classes", classes=("only",))
    with pytest.raises(ShardError, match=r"train-000000\.tar .*; run: horovod-ocr verify"):
        count_set(index)


def test_a_tar_that_ends_before_its_labels_is_an_error(make_set):
    index = make_set({"train": ["0"] * 4}, kind="classes", classes=("only",))
    os.truncate(index.root / "train-000000.tar", 2000)
    with pytest.raises(ShardError, match="does not hold"):
        count_set(index)


def test_progress_reaches_the_end(make_set):
    records = []
    count_set(make_set(WORDS), records.append)
    assert [record.done for record in records] == [*range(0, 41, 4), 41, 42, 44]
    assert {record.total for record in records} == {44}


def test_the_page_holds_what_the_terminal_shows(make_set, tmp_path):
    index = make_set(WORDS)
    sections = stats_sections(index, count_set(index))
    write_page(index, sections, tmp_path / "stats.html")
    page = (tmp_path / "stats.html").read_text("utf-8")
    console = Console(width=200, record=True, file=open(os.devnull, "w"))
    with console.file:
        console.print(draw_sections(sections))
    said = console.export_text()
    for text in ("arabic letter jeem", "rare", "width, px", "Buckets", "none rejected"):
        assert text in page and text in said
    assert page.count("<svg") == said.count("samples by") == 4 and page.count("data:image/png") == 1


def test_an_empty_set_has_a_report_too(make_set, tmp_path):
    index = make_set({}, bucket_edges=(), bucket_samples=())
    sections = stats_sections(index, count_set(index))
    write_page(index, sections, tmp_path / "stats.html")
    assert (tmp_path / "stats.html").exists()


def test_marks_and_spaces_can_be_seen():
    assert (visible("\u064e"), visible(" "), visible("a")) == ("◌\u064e", "␣", "a")


def test_the_command_prints_and_writes(make_set, tmp_path):
    index = make_set(WORDS)
    said = CliRunner().invoke(app, ["stats", "--shards", str(index.root)])
    assert said.exit_code == 0 and "jeem" in said.stdout
    assert said.stdout.endswith(f"written: {index.root / 'stats.html'}\n") and (index.root / "stats.html").exists()
    said = CliRunner().invoke(app, ["stats", "--shards", str(tmp_path / "none")])
    assert said.exit_code == 3 and said.stderr.startswith("horovod-ocr: no shards")
