"""The rows of a label file as entries, in the dialect that was found. Constant memory; 35 M lines in about a minute.

A row that does not have the cells of the others is no entry with half a label: it is one that cannot be used, and says
its file and line.
"""

import csv
import json
import re
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from sharding.errors import SourceError
from sharding.layouts.dialect import QUOTED_LINE, Dialect
from sharding.layouts.entry import Entry
from sharding.layouts.folders import is_image
from sharding.layouts.naming import split_of_folder
from sharding.layouts.paths import PathRule
from sharding.layouts.text_files import open_label_file

_make = tuple.__new__  # an Entry without the check of its arguments: half the time of a line
_BLOCK_BYTES = 1 << 16
# what makes a line want a closer look: a path that may be spelled otherwise; between tabs a text in quotes, too
_ODD_PATH = re.compile(rb"\\|\./|\.\.|//|^/").search
_ODD_PATH_OR_QUOTE = re.compile(rb"\\|\./|\.\.|//|^/|\t\"|^\"|\"\t|\"\r?\n?$").search
_ODD_PARTS = (b"\\", b"./", b"..", b"//", b"\n/")  # in many lines: several `in` are quicker than a pattern
_MOST_QUOTED_LINES = 20  # that a text in quotes may go over
_MOST_NEW_SUBSETS = 30  # that no header and no first line has named
_MOST_SUBSETS = 1_000  # whose names are kept; more than 255 are refused soon


class RowReader:
    """Reads one label file. split: of all its rows, "" where they may say their own. shown: its name for people.

    split_of_path: gives the split of a path where the folders of the source do.
    """

    def __init__(
        self,
        path: Path,
        dialect: Dialect,
        rule: PathRule,
        split: str = "",
        split_of_path: Callable[[bytes], str] | None = None,
        has_lists: bool = False,
        shown: str = "",
    ) -> None:
        self._path, self._dialect, self._rule = path, dialect, rule
        self._split, self._split_of_path, self._has_lists = split, split_of_path, has_lists
        self._shown = shown or path.name
        self.contradictions = 0  # rows whose column of splits says another one than the folder of their picture
        self._subsets: dict[bytes, str] = {}
        self._splits: dict[bytes, str] = {}
        # rows that need no closer look: a path, a label, and perhaps a subset
        self._is_simple = not has_lists and (
            dialect.path,
            dialect.label,
            dialect.split,
            dialect.subset,
            dialect.cells,
            dialect.padding,
        ) in ((0, 1, None, None, 2, 0), (0, 1, None, 2, 3, 0))
        self._find_odd = _ODD_PATH if dialect.has_quotes else _ODD_PATH_OR_QUOTE
        self._has_suffixes = any(map(is_image, dialect.paths))
        self._open_quote = -1  # the last line with a cell that begins with a quote and does not end it
        self._is_broken = False  # is there something else than rows since then

    def entries(self) -> Iterator[Entry]:
        """An entry for each row, in the order of the file. SourceError where the file cannot be cut into rows."""
        return self._from_blocks() if self._dialect.pattern is None else self._from_pattern()

    def _from_blocks(self) -> Iterator[Entry]:
        """Some lines at a time: what none of them holds need not be looked for in each."""
        dialect = self._dialect
        number = 0
        with open_label_file(self._path) as file:
            while block := file.readlines(_BLOCK_BYTES):
                text = b"".join(block)
                if dialect.has_quotes and b'"' in text:
                    number = yield from self._of_quoted(number, block, file)
                elif number >= dialect.skipped and self._is_simple:
                    is_odd = text[:1] == b"/" or any(part in text for part in _ODD_PARTS)
                    is_odd = is_odd or (b'"' in text and not dialect.has_quotes)
                    number = yield from self._of_simple(number, block, is_odd)
                else:
                    for line in block:
                        number += 1
                        yield from self._of_row(number, line.rstrip(b"\r\n").split(dialect.separator))

    def _of_simple(self, number: int, block: list[bytes], is_odd: bool) -> Generator[Entry, None, int]:
        """The loop of most files: rows of a path, a label, and perhaps a subset. is_odd: some of them want a closer
        look. Returns the number of the last line."""
        separator, split, rule, subsets, find_odd, by_folder = (
            self._dialect.separator,
            self._split,
            self._rule,
            self._subsets,
            self._find_odd,
            self._split_of_path,
        )
        is_plain, has_subset, subset = rule.is_plain, self._dialect.subset is not None, ""
        for line in block:
            number += 1
            row = line.rstrip(b"\r\n").split(separator)
            try:
                if has_subset:
                    name, label, third = row
                    if (subset := subsets.get(third)) is None:
                        subset = self._subset_of(third)
                else:
                    name, label = row
            except ValueError:
                yield from self._of_row(number, row)
                continue
            name = name.strip()
            if not name or is_odd and find_odd(line):
                yield from self._of_row(number, row)
            else:
                path = name if is_plain else rule(name)
                yield _make(Entry, (path, label, subset, split if by_folder is None else by_folder(path), "", 0, 0))
        return number

    def _of_quoted(self, number: int, block: list[bytes], file: BinaryIO) -> Generator[Entry, None, int]:
        """The rows of a block that holds quotes, read as CSV; and of the lines after it that its last row goes on in.
        Returns the number of the last line."""
        dialect = self._dialect
        read = number

        def lines() -> Iterator[str]:
            nonlocal read
            for line in chain(block, iter(file.readline, b"")):
                read += 1
                # what is no UTF-8 goes through str and comes back as it was
                yield line.decode("utf-8", "surrogateescape")

        rows = csv.reader(lines(), delimiter=dialect.separator.decode(), strict=True, skipinitialspace=True)
        last = number + len(block)
        try:
            while read < last:
                first = read + 1
                row = next(rows)
                if read > first:
                    self._check_spanned(first, row)
                yield from self._of_row(first, [cell.encode("utf-8", "surrogateescape") for cell in row])
        except csv.Error as error:
            raise SourceError(
                f"{self._path}, line {first:,}: {_csv_problem(str(error))} ({error}); repair the line, double the "
                "quotes inside a text, or write the file as labels.tsv (path<TAB>label), where quotes are letters"
            ) from error
        return read

    def _from_pattern(self) -> Iterator[Entry]:
        pattern = self._dialect.pattern
        unescape = pattern is QUOTED_LINE
        with open_label_file(self._path) as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip(b"\r\n")
                if match := pattern.fullmatch(line.strip() if unescape else line):
                    label = match[2].replace(b'\\"', b'"') if unescape else match[2]
                    yield from self._of_row(number, [match[1], label])
                elif number > self._dialect.skipped and line.strip():
                    self._watch_quotes(number, [line], is_odd=True)
                    yield self._odd(number, [line], f"the line is no path and text with {self._dialect.named} between")

    def _check_spanned(self, number: int, row: list[str]) -> None:
        """SourceError where a quoted cell of the row that begins in this line has swallowed rows after it."""
        separator, has_suffixes = self._dialect.separator.decode(), any(map(is_image, self._dialect.paths))
        for cell in row:
            lines = cell.splitlines()
            for line in lines if len(lines) > 1 or cell.endswith("\n") else ():
                cells = [each.strip().encode("utf-8", "replace") for each in line.split(separator)]
                if any(map(is_image, cells)) if has_suffixes else len(cells) == self._dialect.cells:
                    raise SourceError(
                        f"{self._path}, line {number:,}: a quote opens there, and what it holds spans lines "
                        f"that look like rows ({line[:60]}); close the quote in its line, or double it if it is a "
                        "letter"
                    )

    def _of_row(self, number: int, row: list[bytes]) -> Iterator[Entry]:
        """The entries of one row: mostly one, none of a header or an empty row, several of a list of paths."""
        dialect = self._dialect
        if number <= dialect.skipped:
            return
        if not any(row):
            self._watch_quotes(number, row, is_odd=True)
            return
        if len(row) == dialect.cells + dialect.padding and not any(cell.strip() for cell in row[dialect.cells :]):
            row = row[: dialect.cells]
        name = row[dialect.path].strip() if len(row) > dialect.path else b""
        has_path = is_image(name) or not self._has_suffixes
        self._watch_quotes(number, row, is_odd=len(row) != dialect.cells or not has_path)
        if len(row) == 1 and name and has_path and dialect.path == 0:
            row = [name, *[None] * (dialect.cells - 1)]  # a picture without a text
        if len(row) != dialect.cells:
            most = "the header has" if dialect.has_header else "most lines have"
            count = f"{len(row)} cell{'s' * (len(row) > 1)} (between {dialect.named})"
            yield self._odd(number, row, f"{count}, {most} {dialect.cells}; {self._hint(row)}")
            return
        label = row[dialect.label]
        if label and self._may_be_quoted(label):
            why = "the text has doubled quotes: to a spreadsheet they are one, between tabs they are letters"
            yield self._odd(number, row, why)
            return
        split = self._split_of_row(number, row)
        subset = "" if dialect.subset is None else self._subset_of(row[dialect.subset] or b"")
        if not name:
            yield Entry(self._line(number), label, subset, split, "no path")
            return
        for path in map(self._rule, _paths_in_list(name) if self._has_lists and name[:1] == b"[" else [name]):
            folder_split = split_of_folder(path.partition(b"/")[0]) if split and dialect.split is not None else ""
            if folder_split not in ("", split):
                self.contradictions += 1
            yield _make(Entry, (path, label, subset, split or (self._split_of_path or _no_split)(path), "", 0, 0))

    def _may_be_quoted(self, label: bytes) -> bool:
        """Between tabs quotes are letters; but may a spreadsheet have put these around a text with quotes?"""
        is_plain = self._dialect.has_quotes or len(label) < 3 or not label[:1] == label[-1:] == b'"'
        return not is_plain and b'""' in label[1:-1]

    def _watch_quotes(self, number: int, row: list[bytes], is_odd: bool) -> None:
        """SourceError where a text in quotes goes on over several lines of a file whose quotes are letters: a cell
        begins with a quote that it does not end, a cell some lines below ends with one, and what stands between them
        is not rows alone."""
        if self._dialect.has_quotes:
            return
        lone = [cell for cell in row if cell.count(b'"') % 2 and cell != b'"']
        is_open = 0 <= number - self._open_quote <= _MOST_QUOTED_LINES and self._open_quote > 0
        self._is_broken = self._is_broken or is_odd
        if is_open and self._is_broken and any(cell.endswith(b'"') for cell in lone):
            raise SourceError(
                f"{self._path}, line {self._open_quote:,}: a quote opens there, and a text goes on from line to line "
                f"to the quote in line {number:,}; write each text in one line, or save the file as CSV"
            )
        if any(cell.startswith(b'"') for cell in lone):
            self._open_quote, self._is_broken = number, is_odd

    def _odd(self, number: int, row: list[bytes], why: str) -> Entry:
        """A row that cannot be read."""
        name = row[self._dialect.path].strip() if len(row) > self._dialect.path else b""
        shown = self._rule(name) if is_image(name) else self._line(number)
        return Entry(shown, f"{self._shown}, line {number:,}: {why}".encode(), "", self._split, "odd row")

    def _hint(self, row: list[bytes]) -> str:
        if not self._dialect.has_quotes:
            return "a text cannot hold the separator; write the file as CSV, with quotes"
        if len(row) > self._dialect.cells and not any(row[self._dialect.cells :]):
            return "put quotes around a text that ends with the separator, or remove it"
        easyocr = " (or call the columns filename,words, as EasyOCR does: then it ends with the line)"
        is_pair = self._dialect.separator == b"," and self._dialect.cells == 2
        return f"put quotes around a text that holds the separator{easyocr * is_pair}"

    def _line(self, number: int) -> bytes:
        return f"(line {number} of {self._shown})".encode()

    def _subset_of(self, cell: bytes) -> str:
        if (subset := self._subsets.get(cell)) is None:
            if len(self._subsets) > _MOST_NEW_SUBSETS and not self._dialect.has_header:
                raise SourceError(
                    f"{self._path}: its third cells hold more than {_MOST_NEW_SUBSETS} different values "
                    f"({cell.decode('utf-8', 'replace')}, ...), and nothing says that they are subsets; begin it with "
                    "a header that names its columns (path, label, subset), or quote texts that hold the separator"
                )
            subset = cell.strip().decode("utf-8", "replace")
            if len(self._subsets) < _MOST_SUBSETS:
                self._subsets[cell] = subset
        return subset

    def _split_of_row(self, number: int, row: list[bytes]) -> str:
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


def _csv_problem(error: str) -> str:
    """What an error of the module csv means."""
    if "new-line" in error:
        return "a carriage return stands inside the line"
    if "expected after" in error:
        return "a quote opens there, and more than the next cell follows where it closes"
    return "a quote opens there that is never closed"


def _no_split(path: bytes) -> str:
    return ""


def _paths_in_list(name: bytes) -> list[bytes]:
    """PaddleOCR's JSON list of several pictures with one text; what is none is a plain name."""
    try:
        paths = json.loads(name)
    except ValueError:
        return [name]
    if not isinstance(paths, list) or not paths:
        return [name]
    return [str(path).encode("utf-8", "surrogatepass") for path in paths]
