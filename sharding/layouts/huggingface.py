"""Hugging Face's imagefolder: metadata.csv or metadata.jsonl, at the top or in each folder of a split."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sharding.errors import SourceError
from sharding.layouts.dialect import find_dialect
from sharding.layouts.entry import Entry
from sharding.layouts.label_files import LabelFile, LabelFilesSource, files_in_folders
from sharding.layouts.naming import SPLIT_COLUMNS, TEXT_COLUMNS, column_name, split_of_folder
from sharding.layouts.rows import RowReader
from sharding.layouts.text_files import open_label_file

_NAMES = ("metadata.jsonl", "metadata.csv")
_LOOK_LINES = 500


@dataclass(frozen=True)
class HuggingFaceSource(LabelFilesSource):
    """Metadata files. If one at the top speaks for all pictures, its paths may begin with the folder of a split."""

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        by_folder = self.split_of_path
        if path.suffix == ".csv":
            dialect = find_dialect(path)
            if not dialect.has_header:
                raise SourceError(f"{path} does not begin with the names of its columns; it needs file_name and text")
            self.remark(dialect.notes)
            rule = self.rule_for(file, dialect.paths)
            dialect = replace(dialect, has_quotes=True)
            yield from self.read(RowReader(path, dialect, rule, file.split, by_folder, shown=file.name), file)
            return
        columns = _columns_of(path)
        self.remark([f"{path.name}: {', '.join(columns.ignored)} is not read"] if columns.ignored else [])
        some = [name for _, name, _, _ in islice(_json_rows(path, columns), _LOOK_LINES)]
        rule = self.rule_for(file, some)
        for number, name, value, split in _json_rows(path, columns):
            shown = rule(name) if name else f"(line {number} of {file.name})".encode()
            split = split or file.split or (by_folder(shown) if by_folder else "")
            label = None if value is None else str(value).encode("utf-8", "surrogatepass")
            if not name:
                yield Entry(shown, label, "", split, "no path")
            elif value is not None and not isinstance(value, str):
                yield Entry(shown, f"{file.name}, line {number:,}: {value!r}".encode(), "", split, "label is no text")
            else:
                yield Entry(shown, label, "", split)


def find_huggingface(root: Path, named: bool = False, images: Path | None = None) -> HuggingFaceSource | None:
    files = files_in_folders(root, _NAMES)
    if len(files) > 1 and not files[0].folder:
        raise SourceError(f"{root} holds {files[0].name} and {files[1].name}; move the one away that is not meant")
    return HuggingFaceSource(root, "huggingface", tuple(files), images) if files else None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; ValueError for a key that occurs twice: nobody knows which value is meant."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return values


class _Columns(NamedTuple):
    """The keys of a metadata.jsonl."""

    text: str
    """The key of the labels."""
    split: str
    """"" if there is none."""
    ignored: list[str]
    """Keys that are not read."""


def _columns_of(path: Path) -> _Columns:
    """The keys of the first line. SourceError if none of them, or more than one, may be the text."""
    for _, values in _objects(path):
        keys = [*values]
        texts = [key for key in keys if column_name(key.encode()) in TEXT_COLUMNS]
        splits = [key for key in keys if column_name(key.encode()) in SPLIT_COLUMNS]
        if len(texts) > 1:
            raise SourceError(f"{path}: each of {', '.join(texts)} may be the text; rename all of them but one")
        if not texts or "file_name" not in keys:
            raise SourceError(
                f"{path} has the columns {', '.join(keys)}; it needs file_name and one of: {', '.join(TEXT_COLUMNS)}"
            )
        split = splits[0] if len(splits) == 1 else ""
        return _Columns(texts[0], split, [key for key in keys if key not in ("file_name", texts[0], split)])
    return _Columns("text", "", [])


def _json_rows(path: Path, columns: _Columns) -> Iterator[tuple[int, bytes, object, str]]:
    """(line, path, text as JSON has it, split) of each line."""
    known = {columns.text, *columns.ignored}
    for number, values in _objects(path):
        if texts := [key for key in values if key not in known and column_name(key.encode()) in TEXT_COLUMNS]:
            raise SourceError(
                f"{path}, line {number:,}: {texts[0]!r} may be the text as well as {columns.text!r}, which is that of "
                "the first line; rename one of them"
            )
        name, written = values.get("file_name"), values.get(columns.split) if columns.split else None
        split = split_of_folder(written.encode()) if isinstance(written, str) else ""
        if written not in (None, "") and not split:
            raise SourceError(
                f"{path}, line {number:,}: {written!r} is not a name of a split; write train, val or test, or rename "
                f"{columns.split!r}"
            )
        path_bytes = b"" if name is None else str(name).encode("utf-8", "surrogatepass")
        yield number, path_bytes, values.get(columns.text), split


def _objects(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with open_label_file(path) as file:
        for number, line in enumerate(file, 1):
            if line := line.strip():
                try:
                    values = json.loads(line, object_pairs_hook=_unique)
                except (ValueError, RecursionError) as error:
                    raise SourceError(f"{path}, line {number:,}, is not a JSON object ({error}); repair it") from error
                if not isinstance(values, dict):
                    raise SourceError(f"{path}, line {number:,}, is not a JSON object; write one in each line")
                yield number, values
