"""Which columns of a Parquet file are the images and the labels."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sharding.errors import ConfigError, SourceError
from sharding.layouts.files import check_not_lfs
from sharding.layouts.naming import PATH_COLUMNS, SPLIT_COLUMNS, TEXT_COLUMNS, column_name

_IMAGE_COLUMNS = frozenset((*PATH_COLUMNS, "picture", "pictures", "image_bytes", "bytes", "png", "jpg", "jpeg", "data"))
_BUFFER_BYTES = 1 << 20  # of a column that is read forward; else all of it would be in memory


class Columns(NamedTuple):
    """The columns that are read."""

    image: str
    """A plain column, or "image.bytes" of a struct."""
    path: str
    """"image.path", what the image was called; "" if there is none."""
    label: str
    """A column of texts, or of the numbers of classes."""
    classes: tuple[str, ...] = ()
    """Names by their numbers; empty for texts."""
    split: str = ""
    """A column of names of splits; "" if there is none."""

    def shown(self) -> str:
        """For people."""
        names = ", ".join(filter(None, (self.image, self.path, self.label, self.split)))
        return f"{names}, and {len(self.classes):,} classes" if self.classes else names

    def unread_in(self, schema: Any) -> list[str]:
        """The columns of a file that are none of these."""
        read = (self.image.partition(".")[0], self.image, self.label, self.split)
        return [name for name in schema.names if name not in read]


def import_pyarrow() -> Any:
    """ConfigError if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet is read with the package pyarrow, which is not installed: pip install 'horovod-ocr[parquet]'"
        ) from error
    return pyarrow


def open_parquet(path: Path) -> Any:
    """A pyarrow.parquet.ParquetFile whose columns are read forward in little memory. SourceError if the file is not
    Parquet."""
    pyarrow = import_pyarrow()
    check_not_lfs(path)
    try:
        return pyarrow.parquet.ParquetFile(
            path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True
        )
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{path} cannot be opened as Parquet ({error}); copy it again") from error


def columns_of(schema: Any, path: Path) -> Columns:
    """SourceError if there is not one column of images and one of labels. path: of the file, for the sentence."""
    types = import_pyarrow().types
    structs = [column.name for column in schema if types.is_struct(column.type) and _has_bytes(column.type, types)]
    plain = [column.name for column in schema if _is_binary(column.type, types) and _is_named(column, _IMAGE_COLUMNS)]
    image = _only(path, "images", structs or plain, schema, _IMAGE_COLUMNS)
    name, path_name = image, ""
    if structs:
        parts = schema.field(image).type
        name = f"{image}.bytes"
        path_name = f"{image}.path" if any(part.name == "path" and _is_text(part.type, types) for part in parts) else ""
    splits = [column.name for column in schema if _is_named(column, SPLIT_COLUMNS) and _is_text(column.type, types)]
    split = _only(path, "splits", splits, schema) if splits else ""
    named = [column for column in schema if _is_named(column, TEXT_COLUMNS)]
    texts = [column.name for column in named if _is_text(column.type, types)]
    if texts:
        return Columns(name, path_name, _only(path, "texts", texts, schema), (), split)
    classes = _class_names(schema)
    numbered = [column.name for column in schema if column.name in classes and types.is_integer(column.type)]
    if numbered:
        label = _only(path, "classes", numbered, schema)
        return Columns(name, path_name, label, classes[label], split)
    if named:
        raise SourceError(
            f"{path}: the column {named[0].name} holds {named[0].type}, and no texts; write the texts as strings, or "
            "classes as a ClassLabel with names"
        )
    raise SourceError(_no_column(path, "texts", schema, TEXT_COLUMNS))


def _only(path: Path, what: str, names: list[str], schema: Any, known: Iterable[str] = ()) -> str:
    """The one column there is for this."""
    if len(names) > 1 and len(best := [name for name in names if column_name(name.encode()) in known]) == 1:
        names = best
    if len(names) > 1:
        raise SourceError(
            f"{path}: the columns {', '.join(names)} may all be the {what}; write files with one of them, or rename "
            "the others"
        )
    if not names:
        kinds = ("image: struct<bytes: binary, path: string>", "image: binary")
        raise SourceError(_no_column(path, what, schema, kinds))
    return names[0]


def _no_column(path: Path, what: str, schema: Any, known: Iterable[str]) -> str:
    advice = "rename the column of the texts to text; if" if what == "texts" else "if"
    return (
        f"{path} has no column of {what}, only {', '.join(schema.names) or 'none'}; looked for: {', '.join(known)}; "
        f"{advice} the images are files, name them in metadata.csv (file_name,text)"
    )


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """The names of the classes of each ClassLabel, as the datasets library writes them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: tuple(map(str, kind["names"])) for name, kind in features.items() if "names" in kind}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _is_named(column: Any, known: Iterable[str]) -> bool:
    return column_name(column.name.encode("utf-8", "replace")) in known


def _has_bytes(kind: Any, types: Any) -> bool:
    return any(part.name == "bytes" and _is_binary(part.type, types) for part in kind)


def _is_binary(kind: Any, types: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_text(kind: Any, types: Any) -> bool:
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
