"""The rows of a label file as entries, in the dialect that was found. Constant memory; 35 M lines in about a minute."""

import csv
import re
from collections.abc import Callable, Generator, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from sharding.errors import SourceError
from sharding.layouts.dialect import QUOTED_LINE, Dialect
from sharding.layouts.entry import Entry, make_unchecked
from sharding.layouts.folders import is_image
from sharding.layouts.paths import PathRule
from sharding.layouts.row_entries import RowEntries
from sharding.layouts.text_files import open_label_file

_BLOCK_BYTES = 1 << 16
# what makes a line irregular: a path that may be spelled in another way; between tabs a text in quotes, too
_IRREGULAR_PATH = re.compile(rb"\\|\./|\.\.|//|^/").search
_IRREGULAR_PATH_OR_QUOTE = re.compile(rb"\\|\./|\.\.|//|^/|\t\"|^\"|\"\t|\"\r?\n?$").search
_IRREGULAR_PARTS = (b"\\", b"./", b"..", b"//", b"\n/")  # in many lines: several `in` are faster than a pattern


class RowReader:
    """Reads one label file. The arguments are those of `RowEntries`."""

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
        self._split, self._split_of_path = split, split_of_path
        self._rows = RowEntries(path, dialect, rule, split, split_of_path, has_lists, shown or path.name)
        # rows of a path, a label, and perhaps a subset need no closer look
        self._is_simple = not has_lists and (
            dialect.path,
            dialect.label,
            dialect.split,
            dialect.subset,
            dialect.cells,
            dialect.padding,
        ) in ((0, 1, None, None, 2, 0), (0, 1, None, 2, 3, 0))

    @property
    def contradictions(self) -> int:
        """Rows whose column of splits says another split than the folder of their picture."""
        return self._rows.contradictions

    def entries(self) -> Iterator[Entry]:
        """An entry for each row, in the order of the file. SourceError if the file cannot be divided into rows."""
        return self._from_blocks() if self._dialect.pattern is None else self._from_pattern(self._dialect.pattern)

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
                    is_irregular = text[:1] == b"/" or any(part in text for part in _IRREGULAR_PARTS)
                    is_irregular = is_irregular or (b'"' in text and not dialect.has_quotes)
                    number = yield from self._of_simple(number, block, is_irregular)
                else:
                    for line in block:
                        number += 1
                        yield from self._rows.of_row(number, line.rstrip(b"\r\n").split(dialect.separator))

    def _of_simple(self, number: int, block: list[bytes], is_irregular: bool) -> Generator[Entry, None, int]:
        """The loop of most files: rows of a path, a label, and perhaps a subset. is_irregular: some of the lines need
        a closer look. Returns the number of the last line."""
        separator, split, rule, rows, by_folder = (
            self._dialect.separator,
            self._split,
            self._rule,
            self._rows,
            self._split_of_path,
        )
        find_irregular = _IRREGULAR_PATH if self._dialect.has_quotes else _IRREGULAR_PATH_OR_QUOTE
        is_plain, has_subset, subset = rule.is_plain, self._dialect.subset is not None, ""
        for line in block:
            number += 1
            row = line.rstrip(b"\r\n").split(separator)
            try:
                if has_subset:
                    name, label, third = row
                    if (found := rows.subsets.get(third)) is None:
                        found = rows.subset_of(third)
                    subset = found
                else:
                    name, label = row
            except ValueError:
                yield from rows.of_row(number, row)
                continue
            name = name.strip()
            if not name or is_irregular and find_irregular(line):
                yield from rows.of_row(number, row)
            else:
                path = name if is_plain else rule(name)
                given = split if by_folder is None else by_folder(path)
                yield make_unchecked(Entry, (path, label, subset, given, "", 0, 0))
        return number

    def _of_quoted(self, number: int, block: list[bytes], file: BinaryIO) -> Generator[Entry, None, int]:
        """The rows of a block that holds quotes, read as CSV, and of the lines after it over which its last row goes
        on. Returns the number of the last line."""
        dialect = self._dialect
        read = number

        def lines() -> Iterator[str]:
            nonlocal read
            for line in chain(block, iter(file.readline, b"")):
                read += 1
                # bytes that are not UTF-8 pass through str and come back as they were
                yield line.decode("utf-8", "surrogateescape")

        rows = csv.reader(lines(), delimiter=dialect.separator.decode(), strict=True, skipinitialspace=True)
        last = number + len(block)
        try:
            while read < last:
                first = read + 1
                row = next(rows)
                if read > first:
                    self._check_spanned(first, row)
                yield from self._rows.of_row(first, [cell.encode("utf-8", "surrogateescape") for cell in row])
        except csv.Error as error:
            raise SourceError(
                f"{self._path}, line {first:,}: {_csv_problem(str(error))} ({error}); repair the line, double the "
                "quotes inside a text, or write the file as labels.tsv (path<TAB>label), where quotes are letters"
            ) from error
        return read

    def _from_pattern(self, pattern: re.Pattern[bytes]) -> Iterator[Entry]:
        unescape = pattern is QUOTED_LINE
        with open_label_file(self._path) as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip(b"\r\n")
                if match := pattern.fullmatch(line.strip() if unescape else line):
                    label = match[2].replace(b'\\"', b'"') if unescape else match[2]
                    yield from self._rows.of_row(number, [match[1], label])
                elif number > self._dialect.skipped and line.strip():
                    yield self._rows.of_irregular_line(number, line)

    def _check_spanned(self, number: int, row: list[str]) -> None:
        """SourceError if a quoted cell of the row that begins in this line has swallowed rows after it."""
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


def _csv_problem(error: str) -> str:
    """What an error of the module csv means."""
    if "new-line" in error:
        return "a carriage return is inside the line"
    if "expected after" in error:
        return "a quote opens there, and more than the next cell follows where it closes"
    return "a quote opens there that is never closed"
