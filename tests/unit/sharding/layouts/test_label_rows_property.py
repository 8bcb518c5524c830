"""Each row of a label file and each picture ends in one place: with the label that was meant, as an entry that says why
it cannot be used, or in a refusal that names the file. In any dialect, with any damage."""

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.errors import SourceError
from sharding.layouts.entry import Source
from sharding.layouts.find import find_source
from sharding.reading.catalogue import Listed
from sharding.reading.listing import write_catalogue

LETTERS = st.sampled_from([*'abاب,;|\'""', " ", "دن", "é", "."])
TEXTS = st.lists(LETTERS, min_size=1, max_size=8).map("".join).map(str.strip).filter(bool)
NAMES = st.sampled_from(["a.png", "b 1.PNG", "c,d.jpg", "é.png", "sub/e.png", "f.g.tiff"])
BAD = ("missing", "bare", "separator", "open quote", "close quote", "twice", "empty")
DAMAGE = st.sampled_from([*[""] * 4, *BAD])


class Row(NamedTuple):
    name: str
    text: str
    damage: str


class Dialect(NamedTuple):
    separator: str
    columns: tuple[str, ...]
    has_header: bool
    quotes_all: bool
    end: str
    encoding: str


ROWS = st.lists(st.builds(Row, NAMES, TEXTS, DAMAGE), min_size=1, max_size=6, unique_by=lambda row: row.name)
DIALECTS = st.builds(
    Dialect,
    st.sampled_from([",", ";", "\t"]),
    st.permutations(["path", "label", "lang"]).map(tuple) | st.just(("path", "label")),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
)


def cells_of(row: Row, dialect: Dialect) -> list[str]:
    known = {"path": row.name, "label": row.text, "lang": "ur"}
    return [known[column] for column in dialect.columns]


def line_of(row: Row, dialect: Dialect) -> str:
    """A row as a careful program writes it, or damaged."""
    cells = cells_of(row, dialect)
    if row.damage == "bare":  # the separators and quotes of its cells as they are
        return dialect.separator.join(cells)
    if row.damage == "separator":
        return dialect.separator.join([*cells, "more"])
    if row.damage in ("open quote", "close quote"):
        position = dialect.columns.index("label")
        cells[position] = f'"{row.text}' if row.damage == "open quote" else f'{row.text}"'
        return dialect.separator.join(cells)
    if row.damage == "empty":
        return ""
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if dialect.quotes_all else csv.QUOTE_MINIMAL
    if dialect.separator == "\t" and not dialect.quotes_all:
        return "\t".join(cells)
    csv.writer(out, delimiter=dialect.separator, quoting=quoting, lineterminator="").writerow(cells)
    return out.getvalue()


def write_pictures(root: Path, rows: list[Row]) -> set[str]:
    there = {row.name for row in rows if row.damage != "missing"} | {"unnamed.png"}
    for name in there:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b".")
    return there


def listed(source: Source) -> list[Listed]:
    with tempfile.TemporaryDirectory() as folder:
        catalogue = write_catalogue(Path(folder), [source], 0, lambda progress: None)
        return catalogue.read(0, catalogue.entries)


def check_entries(entries: list[Listed], rows: list[Row], pictures: set[str]) -> None:
    """Every row and picture is there; a label that goes on is the one that was meant."""
    meant = {row.name.encode(): row for row in rows}
    for entry in entries:
        if entry.problem:
            continue
        if entry.path not in meant:  # a path in quotes between tabs: a missing image
            assert entry.path.decode() not in pictures
            continue
        row = meant[entry.path]
        label, text = (entry.label or b"").decode().strip(), row.text
        if row.damage in ("open quote", "close quote", "bare"):  # quotes may be letters or not
            label, text = (each.replace('"', "").strip() for each in (label, text))
        assert label in ("", text), (entry, row)
        assert row.damage != "separator", entry
    paths = [entry.path.decode() for entry in entries]
    assert pictures <= {*paths}
    assert len([path for path in paths if path not in pictures]) <= sum(row.damage != "" for row in rows)


@pytest.mark.slow
@given(rows=ROWS, dialect=DIALECTS)
@settings(max_examples=150)
def test_each_row_ends_in_one_place_in_any_dialect(rows, dialect):
    # without a header three cells are path, label and subset, and rows are told from damaged ones by most of them
    has_header = dialect.has_header or len(dialect.columns) > 2 or any(row.damage for row in rows)
    lines = [dialect.separator.join(dialect.columns)] if has_header else []
    for row in rows:
        lines += [line_of(row, dialect)] * (1 + (row.damage == "twice"))
    content = dialect.end.join(lines) + dialect.end
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures = write_pictures(root, rows)
        name = "labels.tsv" if dialect.separator == "\t" else "labels.csv"
        (root / name).write_bytes(content.encode(dialect.encoding))
        try:
            entries = listed(find_source(root))
        except SourceError as error:
            assert str(root) in str(error)
            careful = has_header and all(row.damage in ("", "missing", "twice") for row in rows)
            assert not careful, error
            return
        check_entries(entries, rows, pictures)


@pytest.mark.slow
@given(rows=ROWS, layout=st.sampled_from(["easyocr", "paddleocr", "splits", "huggingface", "jsonl", "doctr"]))
@settings(max_examples=100)
def test_each_row_ends_in_one_place_in_every_layout_of_label_files(rows, layout):
    rows = [row._replace(damage=row.damage if row.damage == "missing" else "") for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        pictures = write_pictures(root, rows)
        write_layout(root, layout, rows)
        try:
            entries = listed(find_source(root))
        except SourceError as error:
            assert root.name in str(error) or "labels" in str(error), error
            return
        if layout == "doctr":
            entries = [entry._replace(path=entry.path.removeprefix(b"images/")) for entry in entries]
        check_entries(entries, rows, pictures)


def write_layout(root: Path, layout: str, rows: list[Row]) -> None:
    lines = [f"{row.name}\t{row.text}" for row in rows]
    if layout == "easyocr":
        lines = [f"{row.name},{row.text}" for row in rows if "," not in row.name]
        (root / "labels.csv").write_text("\n".join(["filename,words", *lines]), "utf-8")
    elif layout == "paddleocr":
        (root / "train_list.txt").write_text("\n".join(lines), "utf-8")
    elif layout == "splits":
        (root / "train.tsv").write_text("\n".join(lines[1:]), "utf-8")
        (root / "valid.tsv").write_text(lines[0], "utf-8")
    elif layout == "huggingface":
        dialect = Dialect(",", ("label", "path"), False, False, "\n", "utf-8")
        lines = ["text,file_name", *(line_of(row._replace(damage=""), dialect) for row in rows)]
        (root / "metadata.csv").write_text("\n".join(lines), "utf-8")
    elif layout == "jsonl":
        values = [{"file_name": row.name, "text": row.text} for row in rows]
        (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, values)), "utf-8")
    else:
        (root / "images").mkdir(exist_ok=True)
        for row in rows:
            path = root / row.name
            if path.exists():
                (root / "images" / row.name).parent.mkdir(parents=True, exist_ok=True)
                path.rename(root / "images" / row.name)
        (root / "unnamed.png").rename(root / "images/unnamed.png")
        (root / "labels.json").write_text(json.dumps({row.name: row.text for row in rows}), "utf-8")


@pytest.mark.parametrize("content", ["path\tlabel\n", "", "\n\n"])
def test_a_file_without_rows_is_a_sentence(write, content):
    with pytest.raises(SourceError, match="name no image"):
        list(find_source(write({"labels.tsv": content, "a.png": b"."})).entries())
