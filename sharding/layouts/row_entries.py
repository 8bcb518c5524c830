"""One row of a label file, as cells, becomes entries.

A row that does not have the cells of the others is not an entry with half a label: it is an entry that cannot be used,
and says its file and line.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.dialect import Dialect
from sharding.layouts.entry import Entry, make_unchecked
from sharding.layouts.folders import is_image
from sharding.layouts.naming import split_of_folder
from sharding.layouts.paths import PathRule

_MOST_QUOTED_LINES = 20  # that a text in quotes may go over
_MOST_NEW_SUBSETS = 30  # that no header and no first line has named
_MOST_SUBSETS = 1_000  # whose names are kept; more than 255 are refused later
Cell = bytes | None


class RowEntries:
    """Makes entries of the rows of one label file.

    split: of all its rows, "" if they may say their own. shown: its name for people. split_of_path: gives the split of
    a path if the folders of the source do. has_lists: may a cell hold a list of paths?
    """

    def __init__(
        self,
        path: Path,
        dialect: Dialect,
        rule: PathRule,
        split: str,
        split_of_path: Callable[[bytes], str] | None,
        has_lists: bool,
        shown: str,
    ) -> None:
        self._path, self._dialect, self._rule, self._shown = path, dialect, rule, shown
        self._split, self._split_of_path, self._has_lists = split, split_of_path, has_lists
        self.contradictions = 0  # rows whose column of splits says another split than the folder of their picture
        self.subsets: dict[bytes, str] = {}
        self._splits: dict[bytes, str] = {}
        self._has_suffixes = any(map(is_image, dialect.paths))
        self._quotes = _QuoteWatch(path)

    def of_row(self, number: int, row: Sequence[Cell]) -> Iterator[Entry]:
        """The entries of the row in this line: mostly one, none of a header or an empty row, several of a list of
        paths."""
        dialect = self._dialect
        if number <= dialect.skipped:
            return
        if not any(row):
            self._watch_quotes(number, row, is_irregular=True)
            return
        if len(row) == dialect.cells + dialect.padding and not any(
            (cell or b"").strip() for cell in row[dialect.cells :]
        ):
            row = row[: dialect.cells]
        name = self._name_in(row)
        has_path = is_image(name) or not self._has_suffixes
        self._watch_quotes(number, row, is_irregular=len(row) != dialect.cells or not has_path)
        if len(row) == 1 and name and has_path and dialect.path == 0:
            row = [name, *[None] * (dialect.cells - 1)]  # a picture without a text
        if len(row) != dialect.cells:
            most = "the header has" if dialect.has_header else "most lines have"
            count = f"{len(row)} cell{'s' * (len(row) > 1)} (between {dialect.separator_name})"
            yield self._unusable(number, name, f"{count}, {most} {dialect.cells}; {self._hint(row)}")
            return
        label = row[dialect.label]
        if label and self._may_be_quoted(label):
            why = "the text has doubled quotes: to a spreadsheet they are one, between tabs they are letters"
            yield self._unusable(number, name, why)
            return
        yield from self._entries_of(number, row, name, label)

    def of_irregular_line(self, number: int, line: bytes) -> Entry:
        """The entry of a line that is not a path and a text."""
        self._watch_quotes(number, [line], is_irregular=True)
        why = f"the line is not a path and a text with {self._dialect.separator_name} between"
        return self._unusable(number, self._name_in([line]), why)

    def subset_of(self, cell: bytes) -> str:
        """The name of a subset. SourceError if there are so many that the cells may be something else."""
        if (subset := self.subsets.get(cell)) is None:
            if len(self.subsets) > _MOST_NEW_SUBSETS and not self._dialect.has_header:
                raise SourceError(
                    f"{self._path}: its third cells hold more than {_MOST_NEW_SUBSETS} different values "
                    f"({cell.decode('utf-8', 'replace')}, ...), and nothing says that they are subsets; begin it with "
                    "a header that names its columns (path, label, subset), or quote texts that hold the separator"
                )
            subset = cell.strip().decode("utf-8", "replace")
            if len(self.subsets) < _MOST_SUBSETS:
                self.subsets[cell] = subset
        return subset

    def _entries_of(self, number: int, row: Sequence[Cell], name: bytes, label: Cell) -> Iterator[Entry]:
        dialect = self._dialect
        split = self._split_of_row(number, row)
        subset = "" if dialect.subset is None else self.subset_of(row[dialect.subset] or b"")
        if not name:
            yield Entry(self._line(number), label, subset, split, "no path")
            return
        for path in map(self._rule, _paths_in_list(name) if self._has_lists and name[:1] == b"[" else [name]):
            folder_split = split_of_folder(path.partition(b"/")[0]) if split and dialect.split is not None else ""
            if folder_split not in ("", split):
                self.contradictions += 1
            by_path = split or (self._split_of_path(path) if self._split_of_path else "")
            yield make_unchecked(Entry, (path, label, subset, by_path, "", 0, 0))

    def _name_in(self, row: Sequence[Cell]) -> bytes:
        return (row[self._dialect.path] or b"").strip() if len(row) > self._dialect.path else b""

    def _may_be_quoted(self, label: bytes) -> bool:
        """Between tabs quotes are letters; but may a spreadsheet have put these around a text with quotes?"""
        is_plain = self._dialect.has_quotes or len(label) < 3 or not label[:1] == label[-1:] == b'"'
        return not is_plain and b'""' in label[1:-1]

    def _watch_quotes(self, number: int, row: Sequence[Cell], is_irregular: bool) -> None:
        if not self._dialect.has_quotes:
            self._quotes.check(number, row, is_irregular)

    def _unusable(self, number: int, name: bytes, why: str) -> Entry:
        """The entry of a row that cannot be used."""
        shown = self._rule(name) if is_image(name) else self._line(number)
        return Entry(shown, f"{self._shown}, line {number:,}: {why}".encode(), "", self._split, "odd row")

    def _hint(self, row: Sequence[Cell]) -> str:
        if not self._dialect.has_quotes:
            return "a text cannot hold the separator; write the file as CSV, with quotes"
        if len(row) > self._dialect.cells and not any(row[self._dialect.cells :]):
            return "put quotes around a text that ends with the separator, or remove it"
        easyocr = " (or call the columns filename,words, as EasyOCR does: then it ends with the line)"
        is_pair = self._dialect.separator == b"," and self._dialect.cells == 2
        return f"put quotes around a text that holds the separator{easyocr * is_pair}"

    def _line(self, number: int) -> bytes:
        return f"(line {number} of {self._shown})".encode()

    def _split_of_row(self, number: int, row: Sequence[Cell]) -> str:
        if self._dialect.split is None:
            return self._split
        cell = (row[self._dialect.split] or b"").strip()
        if (split := self._splits.get(cell)) is None:
            split = split_of_folder(cell)
            if cell and not split:
                raise SourceError(
                    f"{self._path}, line {number:,}: {cell.decode('utf-8', 'replace')!r} in the column of splits is "
                    "none; write train, val or test, or rename the column"
                )
            self._splits[cell] = split
        if split and self._split and split != self._split:
            raise SourceError(
                f"{self._path}, line {number:,}, says {cell.decode()}, and the file's name says {self._split}; "
                "remove the column, or rename the file"
            )
        return split or self._split


class _QuoteWatch:
    """Finds texts in quotes that go on over several lines, in a file whose quotes are letters."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened_in = -1  # the last line with a cell that begins with a quote and does not end it
        self._is_broken = False  # is there something else than rows since then?

    def check(self, number: int, row: Sequence[Cell], is_irregular: bool) -> None:
        """SourceError if a cell begins with a quote that it does not end, a cell some lines below ends with one, and
        not all lines between them are rows."""
        lone = [cell for cell in row if cell and cell.count(b'"') % 2 and cell != b'"']
        is_open = 0 <= number - self._opened_in <= _MOST_QUOTED_LINES and self._opened_in > 0
        self._is_broken = self._is_broken or is_irregular
        if is_open and self._is_broken and any(cell.endswith(b'"') for cell in lone):
            raise SourceError(
                f"{self._path}, line {self._opened_in:,}: a quote opens there, and a text goes on from line to line "
                f"to the quote in line {number:,}; write each text in one line, or save the file as CSV"
            )
        if any(cell.startswith(b'"') for cell in lone):
            self._opened_in, self._is_broken = number, is_irregular


def _paths_in_list(name: bytes) -> list[bytes]:
    """PaddleOCR's JSON list of several pictures with one text; anything else is a plain name."""
    try:
        paths = json.loads(name)
    except ValueError:
        return [name]
    if not isinstance(paths, list) or not paths:
        return [name]
    return [str(path).encode("utf-8", "surrogatepass") for path in paths]
