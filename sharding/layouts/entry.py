"""What a raw source gives: entries, one for each image, and a reader of their bytes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Mark = list[Any]  # [path, size, mtime_ns], see marks.py
make_unchecked = tuple.__new__  # makes a NamedTuple without checking its arguments: half the time, at 35 M entries


class Entry(NamedTuple):
    """One image as the source names it."""

    path: bytes
    """Relative to the source's root, with slashes, as the file system writes it (os.fsencode); rejects.tsv names the
    image by it."""
    label: bytes | None
    """As it was written (the bytes of the file), or, if `Source.labels_apart`, the name that `Reader.read_label` takes;
    None if there is none."""
    subset: str = ""
    """"" if the source names none."""
    split: str = ""
    """"" if the source gives none."""
    problem: str = ""
    """Why this entry cannot be used at all, a key of `REASONS`; `label` is then the detail for rejects.tsv. Mostly
    ""."""
    at: int = 0
    """Of the image's bytes in the file that holds them (tars); 0 elsewhere."""
    size: int = 0
    """Of the image's bytes (tars); 0 elsewhere."""


class Reader(ABC):
    """Reads the images of one source. One in each worker process."""

    @abstractmethod
    def read_image(self, path: bytes, at: int, size: int) -> bytes:
        """The bytes of one image, at least one; else Rejected."""

    def read_label(self, label: bytes) -> bytes | None:
        """The text behind `Entry.label`: the label itself, unless the source keeps its labels apart. None if there is
        no text any more, Rejected if it cannot be read."""
        return label

    def close(self) -> None:  # noqa: B027
        """Close what is open. Most readers hold nothing."""


class Source(ABC):
    """One --src as it was found. It is sent to workers, so it holds plain values only."""

    root: Path
    """The folder that --src names."""
    layout: str
    """How it holds images and labels: one of LAYOUTS (find.py)."""
    kind: str = "words"
    """"words" (labels are texts) or "classes" (a label is the name of a class)."""
    labels_apart: bool = False
    """Labels are files or records of their own, read together with the image."""
    images_are_files: bool = True
    """An entry's path is that of a file below root; else of a member or a record."""
    doubt: str = ""
    """Why the splits that names in the source may give are not clear: a sentence for a build that would take them.
    Mostly ""."""

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every entry once, in any order; in constant memory."""

    @abstractmethod
    def listing(self) -> list[Mark]:
        """The marks (marks.py) of everything the entries came from, taken before it was read: each label file, tar or
        mdb, each folder that was scanned. They are those of the last `entries` that was read to its end; if there was
        none, they are taken now. SourceError if that is not possible."""

    @abstractmethod
    def is_as_listed(self, marks: list[Mark]) -> bool:
        """Would `entries` give what it gave when `listing` gave these marks? No folder is scanned and no image is
        opened: an image that was overwritten in place is not noticed."""

    @abstractmethod
    def open(self) -> Reader:
        """A reader for this process."""

    def notes(self) -> list[str]:
        """What a person should know of the last `entries`, a sentence each: columns that are not read, paths that are
        read otherwise than they are written."""
        return []

    def pictures(self) -> Iterator[list[bytes]]:
        """The paths of all pictures in the source, some at a time, if entries do not come from a walk over them: those
        that no entry names become entries too."""
        return iter(())
