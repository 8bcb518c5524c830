"""Hugging Face's imagefolder: metadata.csv or metadata.jsonl, at the top or in each folder of a split."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.files import BOM
from sharding.layouts.folders import SPLIT_FOLDERS, split_folders
from sharding.layouts.label_files import (
    LabelFile,
    LabelFilesSource,
    csv_rows,
    given_splits,
    no_path,
    normal_path,
    open_label_file,
)

TEXT_COLUMNS = ("text", "label", "transcription", "transcript", "words")
_NAMES = ("metadata.jsonl", "metadata.csv")


@dataclass(frozen=True)
class HuggingFaceSource(LabelFilesSource):
    """splits_in_paths: one metadata file at the top, whose paths begin with the folder of a split."""

    splits_in_paths: bool = False

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        read = _csv_values if path.suffix == ".csv" else _jsonl_values
        for number, name, label in read(path):
            split = file.split
            if self.splits_in_paths:
                split = SPLIT_FOLDERS.get(name.partition(b"/")[0], "")
            if name:
                yield Entry(normal_path(file.folder + name), label, "", split)
            else:
                yield no_path(path, number, label, split)


def find_huggingface(root: Path, named: bool = False) -> HuggingFaceSource | None:
    folders = split_folders(root)
    for name in _NAMES:
        if (root / name).is_file():
            return HuggingFaceSource(root, "huggingface", (LabelFile(name),), len(set(folders.values())) > 1)
    files = [
        LabelFile(f"{folder}/{name}", split, folder.encode() + b"/")
        for folder, split in folders.items()
        for name in _NAMES
        if (root / folder / name).is_file()
    ]
    return HuggingFaceSource(root, "huggingface", given_splits(files)) if files else None


def _text_column(path: Path, columns: list[str]) -> str:
    for name in TEXT_COLUMNS:
        if "file_name" in columns and name in columns:
            return name
    raise SourceError(
        f"{path} has the columns {', '.join(columns)}; it needs file_name and one of: {', '.join(TEXT_COLUMNS)}"
    )


def _csv_values(path: Path) -> Iterator[tuple[int, bytes, bytes | None]]:
    """(line, path, label) of each row below the header."""
    rows = csv_rows(path)
    columns = [cell.decode("utf-8", "replace").strip() for cell in next(rows, (0, []))[1]]
    text = columns.index(_text_column(path, columns))
    name = columns.index("file_name")
    for number, row in rows:
        yield number, row[name].strip() if len(row) > name else b"", row[text] if len(row) > text else None


def _jsonl_values(path: Path) -> Iterator[tuple[int, bytes, bytes | None]]:
    """(line, path, label) of each line. The first one says which column is the text."""
    text = ""
    with open_label_file(path) as file:
        for number, line in enumerate(file, 1):
            line = line.removeprefix(BOM).strip()
            if not line:
                continue
            try:
                values = json.loads(line)
                text = text or _text_column(path, list(values))
                name, label = values.get("file_name"), values.get(text)
            except (ValueError, TypeError, AttributeError) as error:
                raise SourceError(f"{path}, line {number:,}, is no JSON object ({error}); mend that line") from error
            yield number, _bytes_of(name) or b"", _bytes_of(label)


def _bytes_of(value: object) -> bytes | None:
    return None if value is None else str(value).encode("utf-8", "surrogatepass")
