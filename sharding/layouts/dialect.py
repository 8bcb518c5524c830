"""The dialect of a label file, from its first lines: what separates its cells, and what each cell is.

A header that names its columns decides. Without one, the cells that end like a picture's name are the paths. What can
be read in two ways is refused with a sentence that says how to write it.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.folders import SOURCE_SUFFIXES, is_image
from sharding.layouts.naming import (
    PATH_COLUMNS,
    SPLIT_COLUMNS,
    SPLIT_OF_NAME,
    SUBSET_COLUMNS,
    TEXT_COLUMNS,
    WEAK_PATH_COLUMNS,
    column_name,
)
from sharding.layouts.text_files import is_utf8, open_label_file

_LOOK_LINES = 2_000
_LOOK_BYTES = 4 << 20
_MOST = 0.8  # share of the cells of a column that must end like a picture's name, to be taken for the paths
_FEW_SUBSETS = 10
_NATIVE = {".csv": b",", ".tsv": b"\t", ".txt": b"\t"}
_SHOWN = {b"\t": "tabs", b",": "commas", b";": "semicolons", b"|": "bars"}
_SUFFIX = b"(?:" + b"|".join(map(re.escape, sorted(SOURCE_SUFFIXES, reverse=True))) + b")"
# a path ends with its suffix, even if there are blanks in it: `my word.png   the text`
SPACED_LINE = re.compile(rb"(.*?" + _SUFFIX + rb")[ \t\xa0]+(.*)", re.IGNORECASE | re.DOTALL)
# ICDAR: `word_1.png, "the \"text\""`
QUOTED_LINE = re.compile(rb"(.*?" + _SUFFIX + rb"),[ \t]+\"(.*)\"", re.IGNORECASE | re.DOTALL)
CUT_LINE = re.compile(rb"[^,;|]*?" + _SUFFIX + rb"\s*[,;|].*", re.IGNORECASE | re.DOTALL)
_EXCEL = re.compile(rb"sep=(.)", re.IGNORECASE)
_COMMENT = re.compile(rb"\s*#")
# PPOCRLabel's and PaddleOCR's labels of detection
BOXES = re.compile(rb'\[\s*\{\s*"(?:transcription|points|label)"')


@dataclass(frozen=True)
class Dialect:
    """How each line of a label file is read. Columns are numbers of cells, counted from 0."""

    separator: bytes
    """b"": a path and a text, found by `pattern`."""
    cells: int
    """Of each row."""
    path: int
    """Column of the paths."""
    label: int
    """Column of the texts."""
    split: int | None = None
    """Column of the splits, if there is one."""
    subset: int | None = None
    """Column of the subsets, if there is one."""
    has_quotes: bool = False
    """Cells are quoted as in CSV."""
    has_header: bool = False
    """The first row names the columns."""
    skipped: int = 0
    """Lines before the first row: the header, and what is above it."""
    pattern: re.Pattern[bytes] | None = None
    """Of a whole line, if cells have no separator."""
    padding: int = 0
    """Empty cells after the others, as spreadsheets write them."""
    notes: tuple[str, ...] = ()
    """What a person should know, such as columns that are not read."""
    paths: tuple[bytes, ...] = ()
    """Those of the first lines, as they are written."""

    @property
    def separator_name(self) -> str:
        """The separator in words."""
        return _SHOWN.get(self.separator, "blanks")


def find_dialect(path: Path) -> Dialect:
    """The dialect of one label file. SourceError if it is not clear, or if there is no column of texts."""
    native = _NATIVE.get(path.suffix.lower(), b"\t")
    first, lines = _first_lines(path)
    if lines and (said := _EXCEL.fullmatch(lines[0])):
        native, first, lines = said[1], first + 1, lines[1:]
    if not lines:
        return Dialect(native, 2, 0, 1)
    for separator in (native, *(other for other in _SHOWN if other != native)):
        header = _cells(lines[0], separator)
        if _is_header(header, lines, separator):
            return _by_header(path, first, header, lines, separator)
    return replace(_without_header(path, lines, native), skipped=first - 1)


def _first_lines(path: Path) -> tuple[int, list[bytes]]:
    """The first lines that hold anything, without their ends, and the number of the first of them. Comments (#) before
    it are skipped."""
    first, size = 1, 0
    lines: list[bytes] = []
    with open_label_file(path) as file:
        for number, line in enumerate(islice(file, _LOOK_LINES), 1):
            size += len(line)
            if size > _LOOK_BYTES and lines:
                break
            if not line.strip() or (not lines and _COMMENT.match(line) and not CUT_LINE.match(line.strip())):
                continue
            first = first if lines else number
            lines.append(line.rstrip(b"\r\n"))
    return first, lines


def _cells(line: bytes, separator: bytes) -> list[bytes]:
    """The cells of one line; quotes are those of CSV, except between tabs, where they are letters."""
    if separator == b"\t" or b'"' not in line:
        return line.split(separator)
    text = io.StringIO(line.decode("utf-8", "surrogateescape"), newline="")
    try:
        row = next(csv.reader(text, delimiter=separator.decode(), skipinitialspace=True), [])
    except csv.Error:
        return line.split(separator)
    return [cell.encode("utf-8", "surrogateescape") for cell in row]


def _unquoted(cell: bytes) -> bytes:
    cell = cell.strip()
    return cell[1:-1] if len(cell) > 1 and cell[:1] == cell[-1:] == b'"' else cell


def _is_header(header: list[bytes], lines: list[bytes], separator: bytes) -> bool:
    """A row is a header if one of its cells is a known name of a column and none of them is a picture's name. A single
    word is a header only above paths."""
    names = [column_name(_unquoted(cell)) for cell in header]
    if any(is_image(_unquoted(cell)) for cell in header):
        return False
    texts = [name for name in names if name in TEXT_COLUMNS]
    has_path = any(name in PATH_COLUMNS for name in names)
    if len(header) == 1:
        return has_path and all(is_image(_unquoted(line)) for line in lines[1:])
    has_weak_path = any(name in WEAK_PATH_COLUMNS for name in names)
    return has_path or len(texts) > 1 or bool(texts) and (has_weak_path or len(texts) == len(list(filter(None, names))))


def _by_header(path: Path, first: int, header: list[bytes], lines: list[bytes], separator: bytes) -> Dialect:
    padding = 0
    while not header[-1].strip():
        header, padding = header[:-1], padding + 1
    names = [column_name(_unquoted(cell)) for cell in header]
    shown = [_unquoted(cell).decode("utf-8", "replace") for cell in header]
    if not any(name in TEXT_COLUMNS for name in names):
        raise SourceError(
            f"{path}, line {first}, names the columns {', '.join(shown)}, and none of them is a text; "
            f"name that column one of: {', '.join(TEXT_COLUMNS)}"
        )
    paths_known = PATH_COLUMNS if any(name in PATH_COLUMNS for name in names) else WEAK_PATH_COLUMNS
    if not any(name in paths_known for name in names):
        raise SourceError(
            f"{path}, line {first}, names the columns {', '.join(shown)}, and none of them holds the paths of "
            f"pictures; name that column one of: {', '.join(PATH_COLUMNS)}"
        )
    wanted = {"path": paths_known, "text": TEXT_COLUMNS, "split": SPLIT_COLUMNS, "subset": SUBSET_COLUMNS}
    path_column, text, split, subset = (_only(path, first, names, shown, what, known) for what, known in wanted.items())
    if path_column is None or text is None:  # cannot happen: both are known by now
        raise SourceError(f"{path}, line {first}, names no columns of paths and texts")
    ignored = [name for column, name in enumerate(shown) if name and column not in (path_column, text, split, subset)]
    notes = (f"{path.name}: the columns {', '.join(ignored)} are not read",) if ignored else ()
    rows = [row for line in lines[1:] if len(row := _cells(line, separator)) >= len(header)]
    quoted = separator != b"\t" or header[0].strip().startswith(b'"') or _are_quoted(rows, path_column)
    paths = tuple(_unquoted(row[path_column]) for row in rows)
    check_texts(path, [row[text] for row in rows])
    return Dialect(
        separator, len(header), path_column, text, split, subset, quoted, True, first, None, padding, notes, paths
    )


def _only(path: Path, first: int, names: list[str], shown: list[str], what: str, known: Sequence[str]) -> int | None:
    """The one column with a known name. SourceError for two: nobody knows which is meant."""
    columns = [column for column, name in enumerate(names) if name in known]
    if len(columns) > 1:
        raise SourceError(
            f"{path}, line {first}: each of the columns {', '.join(shown[column] for column in columns)} may be the "
            f"{what}; rename all of them but one"
        )
    return columns[0] if columns else None


def _without_header(path: Path, lines: list[bytes], native: bytes) -> Dialect:
    # ICDAR's quotes come first; then a separator after the path; then blanks
    if 2 * sum(map(bool, map(QUOTED_LINE.fullmatch, lines))) > len(lines):
        return _by_pattern(path, lines, QUOTED_LINE)
    if path.suffix.lower() != ".csv":
        has_separator = any(_share(lines, each)[0] >= _MOST for each in _SHOWN)
        if not has_separator and sum(map(bool, map(SPACED_LINE.fullmatch, lines))) >= _MOST * len(lines):
            return _by_pattern(path, lines, SPACED_LINE)
    separator = native
    if _share(lines, native)[0] < _MOST:
        separator = max(_SHOWN, key=lambda each: (_share(lines, each), each == native))
        separator = separator if _share(lines, separator)[0] >= _MOST else native
    rows = [_cells(line, separator) for line in lines]
    # a line with nothing but a path is a picture without a text, and says nothing about the others
    cells = (Counter(len(row) for row in rows if len(row) > 1).most_common(1) or [(2, 0)])[0][0]
    rows = [row for row in rows if len(row) == cells]
    width = cells
    while cells > 2 and all(not row[cells - 1].strip() for row in rows):
        cells -= 1
    path_column = _path_column(rows, cells)
    _check_first_line(path, _cells(lines[0], separator), rows, path_column)
    columns = _columns(path, rows, cells, path_column)
    quoted = separator != b"\t" or _are_quoted(rows, path_column)
    paths = tuple(_unquoted(row[path_column]) for row in rows)
    check_texts(path, [row[columns[0]] for row in rows])
    return Dialect(separator, cells, path_column, *columns, quoted, padding=width - cells, paths=paths)


def _by_pattern(path: Path, lines: list[bytes], pattern: re.Pattern[bytes]) -> Dialect:
    found = [match for line in lines if (match := pattern.fullmatch(line))]
    check_texts(path, [match[2] for match in found])
    return Dialect(b"", 2, 0, 1, pattern=pattern, paths=tuple(match[1].strip() for match in found))


def _share(lines: list[bytes], separator: bytes) -> tuple[float, float]:
    """(the share of lines that have at least two cells, one of which is a picture's name; the share that have two
    cells)."""
    rows = [row for line in lines if len(row := _cells(line, separator)) > 1]
    named = sum(any(is_image(_unquoted(cell)) for cell in row) for row in rows)
    return named / len(lines), len(rows) / len(lines)


def _path_column(rows: list[list[bytes]], cells: int) -> int:
    """The first column whose cells end like pictures' names; 0 if there is none: names may have no suffix."""
    for column in range(cells):
        if rows and sum(is_image(_unquoted(row[column])) for row in rows) >= _MOST * len(rows):
            return column
    return 0


def _are_quoted(rows: list[list[bytes]], path_column: int) -> bool:
    quoted = sum(len(cell) > 1 and cell[:1] == cell[-1:] == b'"' for row in rows if (cell := row[path_column].strip()))
    return 2 * quoted > len(rows)


def _check_first_line(path: Path, first: list[bytes], rows: list[list[bytes]], path_column: int) -> None:
    """SourceError if it looks like a header with unknown names: all rows but it name pictures."""
    others = sum(is_image(_unquoted(row[path_column])) for row in rows)
    if len(rows) < 3 or others < len(rows) - 1 or others < _MOST * len(rows):
        return
    if (
        len(first) > path_column
        and not is_image(cell := _unquoted(first[path_column]))
        and b"." not in cell
        and b"/" not in cell
    ):
        raise SourceError(
            f"{path}, line 1, looks like a header whose names are not known "
            f"({', '.join(_unquoted(cell).decode('utf-8', 'replace') for cell in first)}); name the columns path and "
            "label, and if wanted split and subset, or remove the line"
        )


def _columns(path: Path, rows: list[list[bytes]], cells: int, path_column: int) -> tuple[int, None, int | None]:
    """The columns of label, split and subset if no header names them. SourceError if they are not clear."""
    example = "path<TAB>label" if path.suffix.lower() != ".csv" else "path,label"
    if cells == 2:
        label = 1 - path_column
        if len(rows) > 1 and _are_splits(row[label] for row in rows):
            raise SourceError(
                f"{path} holds names of splits where the texts should be; begin it with a header that names its "
                f"columns, such as {example}"
            )
        return label, None, None
    names = "a header that names its columns (path, label, and if wanted split and subset)"
    if cells > 3 or path_column:
        raise SourceError(f"{path} has {cells} cells a line, and nothing says what they are; begin it with {names}")
    labels, subsets = ([row[column].strip() for row in rows] for column in (1, 2))
    if _are_splits(labels) or _are_splits(subsets):
        which = "second" if _are_splits(labels) else "third"
        raise SourceError(f"{path}: its {which} cells are names of splits; begin it with {names}")
    if all(map(bytes.isdigit, subsets)) or 2 * sum(row[2][:1].isspace() for row in rows) > len(rows):
        raise SourceError(
            f"{path}: its third cells ({subsets[0].decode('utf-8', 'replace')}, ...) may be a subset or the rest of a "
            f"text; begin it with {names}, or quote texts that hold the separator (CSV)"
        )
    if len({*subsets}) > max(_FEW_SUBSETS, len(rows) / 4) or len({*subsets}) > len({*labels}):
        raise SourceError(
            f"{path}: its third cells, which name the subset of a picture, hold {len({*subsets}):,} different values "
            f"in {len(rows):,} lines ({subsets[0].decode('utf-8', 'replace')}, ...); if they are the texts, begin it "
            f"with {names}; if a text holds the separator, quote it (CSV)"
        )
    return 1, None, 2


def _are_splits(cells: Iterable[bytes]) -> bool:
    return {cell.strip().lower().decode("utf-8", "replace") for cell in cells} <= SPLIT_OF_NAME.keys()


def check_texts(path: Path, labels: Sequence[bytes]) -> None:
    """SourceError if what should be texts are the boxes of whole pages, or if most texts beyond ASCII are not UTF-8.
    labels: of the first lines."""
    if labels and sum(BOXES.match(label.strip()) is not None for label in labels) >= _MOST * len(labels):
        raise SourceError(
            f"{path} holds boxes on whole pages; export the pictures of words and their texts "
            "(PPOCRLabel: Export Recognition Result, which writes rec_gt.txt and crop_img/)"
        )
    wide = [label for label in labels if not label.isascii()]
    wrong = [label for label in wide if not is_utf8(label)]
    if len(wrong) > 10 and len(wrong) > len(wide) / 2:
        raise SourceError(
            f"{path} is not UTF-8: {len(wrong):,} of its first {len(labels):,} texts are not, such as {wrong[0]!r}; "
            "save it as UTF-8, or: iconv -f WINDOWS-1252 -t UTF-8"
        )
