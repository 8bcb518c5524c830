"""docTR's recognition set: labels.json, one object {file name: text}, beside a folder images/."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.label_files import LabelFile, LabelFilesSource, files_in_folders
from sharding.layouts.text_files import open_label_file

_NAME = "labels.json"
_CHUNK_BYTES = 1 << 20
_LOOK_PAIRS = 500
# "name": "text" and what follows it. Possessive, so that an unfinished string is given up at once
_STRING = rb'"((?:[^"\\]++|\\.)*+)"'
_PAIR = re.compile(rb"\s*+" + _STRING + rb"\s*+:\s*+" + _STRING + rb"\s*+([,}])", re.DOTALL)
_OPENING = re.compile(rb"\s*+\{")
_NOTHING = re.compile(rb"\s*+\{\s*+\}")


@dataclass(frozen=True)
class DoctrSource(LabelFilesSource):
    """docTR's labels.json files."""

    def rows(self, path: Path, file: LabelFile) -> Iterator[Entry]:
        with open_label_file(path) as content:
            some = [name for name, _ in islice(_string_pairs(content, path), _LOOK_PAIRS)]
        rule, by_folder = self.rule_for(file, some), self.split_of_path
        with open_label_file(path) as content:
            for name, label in _string_pairs(content, path):
                shown = rule(name)
                yield Entry(shown, label, "", file.split or (by_folder(shown) if by_folder else ""))


def find_doctr(root: Path, named: bool = False, images: Path | None = None) -> DoctrSource | None:
    files = [
        file._replace(folder=file.folder + b"images/")
        for file in files_in_folders(root, [_NAME])
        if (root / os.fsdecode(file.folder) / "images").is_dir()
    ]
    if len(files) > 1 and files[0].name == _NAME:
        raise SourceError(f"{root} holds {_NAME} and {files[1].name}; move the one away that is not meant")
    return DoctrSource(root, "doctr", tuple(files), images) if files else None


def _string_pairs(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of each member of one flat JSON object of strings, read piece by piece: the file may have GBs.

    SourceError if it is something else, or ends too early.
    """
    buffer = file.read(_CHUNK_BYTES)
    if _NOTHING.match(buffer):
        return
    opening = _OPENING.match(buffer)
    position = opening.end() if opening else 0
    read = 0  # bytes before the buffer
    while opening:
        pair = _PAIR.match(buffer, position)
        if pair:
            try:
                yield _unescaped(pair[1]), _unescaped(pair[2])
            except ValueError:  # an escape that JSON does not know
                break
            position = pair.end()
            if pair[3] == b"}":
                if buffer[position:].strip() or file.read().strip():
                    break
                return
            continue
        more = file.read(_CHUNK_BYTES)
        if not more or len(buffer) - position > _CHUNK_BYTES:  # no name and text are that long
            break
        read += position
        buffer, position = buffer[position:] + more, 0
    raise SourceError(
        f"{path} is not a JSON object {{file name: text}} from byte {read + position:,} on; "
        "each value must be a text (a detection set has none), and nothing may follow the object"
    )


def _unescaped(string: bytes) -> bytes:
    """A JSON string without its quotes, as UTF-8. A lone surrogate stays invalid, so that its label is refused."""
    if b"\\" not in string:
        return string
    text = string.decode("utf-8", "surrogateescape")
    return str(json.loads(f'"{text}"', strict=False)).encode("utf-8", "surrogatepass")
