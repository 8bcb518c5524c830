"""What a build is asked for. Each option is written here once: its type, its default, and below it what it means.

The command line, horovod-ocr.toml and build.json are made from it. No numpy: the command line waits for this file.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Le

from sharding.errors import ConfigError
from sharding.format.frames import MOST_PX, Frames

MOST_PIXELS = 80_000_000  # of an image: of more, Pillow warns of a decompression bomb
# Options that do not change the bytes: where, from what and by how many processes. `layout` is left out because the
# layout that was found is recorded. The last four are the tables themselves.
_SHAPE_NOTHING = {"out", "src", "layout", "workers", "scratch", "source", "labels", "splits", "stored"}


@dataclass(frozen=True)
class SourceOptions:
    """Where images and their labels are."""

    src: tuple[Path, ...] = (Path("raw"),)
    """Folder of raw images and their labels; may be given several times."""
    layout: str | None = None
    """How labels are given: shards, easyocr, labels, splits, paddleocr, huggingface, doctr, lmdb, parquet, beside,
    classes, webdataset or names.  [default: found by itself]"""
    images: Path | None = None
    """Folder that the paths of label files are relative to.  [default: found by itself]"""
    label_from_name: Annotated[str | None, "REGEX"] = None
    """Regular expression that finds the label in the file's name: group `label`, or else the first."""


@dataclass(frozen=True)
class LabelOptions:
    """What labels must keep to."""

    profile: Annotated[str | None, "NAME"] = None
    """Script profile: urdu, arabic, persian, thai, latin, plain, or a profile file (.toml).  [default: by the
    labels' letters]"""
    direction: str | None = None
    """Direction of a line: ltr, rtl, or visual for labels written in the order of their letters in the image.
    [default: the profile's; plain: as most letters are read]"""
    max_label: Annotated[int, Ge(0), "LETTERS"] = 0
    """Letters of the longest label that is taken; 0: any."""


@dataclass(frozen=True)
class SplitOptions:
    """Which samples are for training, validation and test."""

    split: str | None = None
    """label or file: whose hash decides the split.  [default: as the source gives it, else label; classes: file]"""
    group_from: Annotated[str | None, "REGEX"] = None
    """Regular expression; what it finds in the path (page, writer) decides the split."""
    split_lists: Path | None = None
    """Folder whose train.txt, val.txt and test.txt name the paths of each split."""
    fractions: Annotated[tuple[float, float, float], "A,B,C"] = (0.8, 0.1, 0.1)
    """Shares of train, val and test."""


@dataclass(frozen=True)
class StoredOptions:
    """How an image is checked, and what a shard holds of it."""

    check: str = "full"
    """full, structure or header: decode every image, compare checksums and lengths, or read sizes."""
    image: str = "keep"
    """keep, or encode again as png or jpeg."""
    height: Annotated[int | None, Ge(1), Le(MOST_PX), "PX"] = None
    """Shrink higher images to this many pixels; with --image png or jpeg."""
    max_pixels: Annotated[int, Ge(1), Le(MOST_PIXELS), "PX"] = 16_000_000
    """Pixels of the largest image that is taken, width times height; a process may need 12 bytes for each."""
    model_height: Annotated[int, Ge(1), Le(MOST_PX), "PX"] = Frames.height_px
    """Height at which models will read; with --frame-px it decides which labels have enough frames."""
    frame_px: Annotated[int, Ge(1), Le(MOST_PX), "PX"] = Frames.frame_px
    """Width of a model's frame at that height."""


@dataclass(frozen=True)
class ShardOptions:
    """What a build is asked for. None: found or chosen by itself."""

    source: SourceOptions = SourceOptions()
    """Table: where images and their labels are."""
    out: Path = Path("shards")
    """Folder for the shards."""
    labels: LabelOptions = LabelOptions()
    """Table: what labels must keep to."""
    splits: SplitOptions = SplitOptions()
    """Table: which samples are for training, validation and test."""
    stored: StoredOptions = StoredOptions()
    """Table: how an image is checked, and what a shard holds of it."""
    seed: Annotated[int, Ge(0)] = 0
    """Decides split and order."""
    samples_per_shard: Annotated[int | None, Ge(1)] = None
    """The most samples a shard holds.  [default: 10,000, fewer for small sets]"""
    dedup: bool = False
    """Leave further copies of an image out."""
    workers: Annotated[int | None, Ge(1)] = None
    """Processes; never changes a byte.  [default: all cores]"""
    scratch: Path | None = None
    """Folder for the spool, which is as large as the set, until it is packed.  [default: in --out]"""

    @property
    def tables(self) -> tuple["ShardOptions | SourceOptions | LabelOptions | SplitOptions | StoredOptions", ...]:
        """All dataclasses that hold options."""
        return self, self.source, self.labels, self.splits, self.stored

    @property
    def shaping(self) -> dict[str, Any]:
        """The options that shape the bytes of a set, by name, as JSON holds them."""
        values = {e.name: getattr(table, e.name) for table in self.tables for e in fields(table)}
        shaping = {name: value for name, value in values.items() if name not in _SHAPE_NOTHING}
        return {name: _as_json(value) for name, value in shaping.items()}

    @classmethod
    def of(cls, **options: Any) -> "ShardOptions":
        """From options by their own names, whichever table they are in. src may be one folder."""
        if isinstance(options.get("src"), Path):
            options["src"] = (options["src"],)
        tables = {"source": SourceOptions, "labels": LabelOptions, "splits": SplitOptions, "stored": StoredOptions}
        inner: dict[str, Any] = {}
        for table, kind in tables.items():
            names = {entry.name for entry in fields(kind)} & options.keys()
            inner[table] = kind(**{name: options.pop(name) for name in names})
        return cls(**options, **inner)


def check_ranges(options: ShardOptions) -> None:
    """ConfigError for a number outside the range that its field states."""
    for table in options.tables:
        for name, kind in get_type_hints(type(table), include_extras=True).items():
            value = getattr(table, name)
            for note in getattr(kind, "__metadata__", ()):
                if isinstance(note, Ge) and value is not None and value < note.ge:
                    raise ConfigError(f"{name} must be at least {note.ge}, not {value}")
                if isinstance(note, Le) and value is not None and value > note.le:
                    raise ConfigError(f"{name} must be at most {note.le}, not {value}")


def _as_json(value: object) -> object:
    if isinstance(value, Path):
        return str(value.absolute())
    return list(value) if isinstance(value, tuple) else value
