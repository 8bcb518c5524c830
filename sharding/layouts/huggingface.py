"""Hugging Face's imagefolder: metadata.csv or metadata.jsonl, at the top or in each folder of a split."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.dialect import look
from sharding.layouts.entry import Entry
from sharding.layouts.folders import split_folders
from sharding.layouts.label_files import LabelFile, LabelFilesSource, given_splits, split_of_path
from sharding.layouts.naming import TEXT_COLUMNS, column_name
from sharding.layouts.rows import RowReader
from sharding.layouts.text_files import open_label_file

_NAMES = ("metadata.jsonl", "metadata.csv")
_LOOK_LINES = 500


@dataclass(frozen=True)
class HuggingFaceSource(LabelFilesSource):
    """Where one metadata file at the top speaks of all, its paths may begin with the folder of a split."""

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        by_folder = split_of_path if self.gives_splits_by_folder else None
        if path.suffix == ".csv":
            dialect = look(path)
            if not dialect.has_header:
                raise SourceError(f"{path} does not begin with the names of its columns; it needs file_name and text")
            self.remark(dialect.notes)
            rule = self.rule_for(path, file, dialect.paths)
            yield from RowReader(path, replace(dialect, has_quotes=True), rule, file.split, by_folder).entries()
            return
        some = [name for _, (_, name, _) in zip(range(_LOOK_LINES), _json_rows(path), strict=False)]
        rule = self.rule_for(path, file, some)
        for number, name, value in _json_rows(path):
            shown = rule(name) if name else f"(line {number} of {path.name})".encode()
            split = file.split or (by_folder(shown) if by_folder else "")
            label = None if value is None else str(value).encode("utf-8", "surrogatepass")
            if not name:
                yield Entry(shown, label, "", split, "no path")
            elif value is not None and not isinstance(value, str):
                yield Entry(shown, f"{path.name}, line {number:,}: {value!r}".encode(), "", split, "label is no text")
            else:
                yield Entry(shown, label, "", split)


def find_huggingface(root: Path, named: bool = False, images: Path | None = None) -> HuggingFaceSource | None:
    for folder in ("", *split_folders(root)):
        if all((root / folder / name).is_file() for name in _NAMES):
            raise SourceError(f"{root / folder} holds {' and '.join(_NAMES)}; move the one away that is not meant")
    for name in _NAMES:
        if (root / name).is_file():
            return HuggingFaceSource(root, "huggingface", (LabelFile(name),), images)
    files = [
        LabelFile(f"{folder}/{name}", split, folder.encode() + b"/")
        for folder, split in split_folders(root).items()
        for name in _NAMES
        if (root / folder / name).is_file()
    ]
    return HuggingFaceSource(root, "huggingface", given_splits(files), images) if files else None


def _text_column(path: Path, columns: list[str]) -> str:
    texts = [name for name in columns if column_name(name.encode()) in TEXT_COLUMNS]
    if len(texts) == 1 and "file_name" in columns:
        return texts[0]
    if len(texts) > 1:
        raise SourceError(f"{path}: each of {', '.join(texts)} may be the text; rename all of them but one")
    raise SourceError(
        f"{path} has the columns {', '.join(columns)}; it needs file_name and one of: {', '.join(TEXT_COLUMNS)}"
    )


def _json_rows(path: Path) -> Iterator[tuple[int, bytes, object]]:
    """(line, path, text as JSON has it) of each line. The first one says which column is the text."""
    text = ""
    with open_label_file(path) as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line:
                continue
            try:
                values = json.loads(line)
                text = text or _text_column(path, list(values))
                name, value = values.get("file_name"), values.get(text)
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise SourceError(f"{path}, line {number:,}, is no JSON object ({error}); repair that line") from error
            yield number, b"" if name is None else str(name).encode("utf-8", "surrogatepass"), value
