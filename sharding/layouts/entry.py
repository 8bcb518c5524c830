"""What a raw source gives: entries, one an image, and a reader of their bytes."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """One image as the source names it.

    path: relative to the source's root, with slashes, as the file system writes it (os.fsencode); rejects.tsv names the
    image by it. label: as it was written (the bytes of the file), or, where `Source.labels_apart`, the name that
    `Reader.read_label` takes; None where there is none. split: "" where the source gives none. problem: a key of
    `REASONS`, why this entry cannot be used at all, and label then the detail that rejects.tsv gives; "" mostly. at,
    size: of the image's bytes in the file they lie in (tars); 0 elsewhere.
    """

    path: bytes
    label: bytes | None
    subset: str = ""
    split: str = ""
    problem: str = ""
    at: int = 0
    size: int = 0


class Reader(ABC):
    """Reads the images of one source. One in each worker process."""

    @abstractmethod
    def read_image(self, path: bytes, at: int, size: int) -> bytes:
        """The bytes of one image, at least one; else Rejected."""

    def read_label(self, label: bytes) -> bytes | None:
        """The text behind `Entry.label`: the label itself, unless the source keeps its labels apart. None where there
        is none any more, Rejected where it cannot be read."""
        return label

    def close(self) -> None:  # noqa: B027
        """Let go of what is open. Most readers hold nothing."""


class Source(ABC):
    """One --src as it was found. Goes to workers, so it holds plain values only.

    kind: "words" (labels are texts) or "classes" (a label is a class's name). labels_apart: labels are files or records
    of their own, read together with the image. images_are_files: an entry's path is that of a file below root, else of
    a member or a record. doubt: why the splits that the names in the source may give cannot be told, a sentence for a
    build that would take them; "" mostly.
    """

    root: Path
    layout: str
    kind: str = "words"
    labels_apart: bool = False
    images_are_files: bool = True
    doubt: str = ""

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every entry once, in no order that anything may rely on; in constant memory."""

    @abstractmethod
    def listing(self) -> list[list]:
        """The marks (marks.py) of all that the entries came from, taken before it was read: each label file, tar or
        mdb, each folder that was scanned. Those of the last `entries` that came to its end; without one, it looks by
        itself. SourceError where it cannot."""

    @abstractmethod
    def is_as_listed(self, marks: list[list]) -> bool:
        """Would `entries` give what it gave when `listing` gave these marks? Nothing is walked, and no image asked
        for: one that was overwritten in its place is not seen."""

    @abstractmethod
    def open(self) -> Reader:
        """A reader for this process."""

    def notes(self) -> list[str]:
        """What a person should know of the last `entries`, a sentence each: columns that are not read, paths that are
        read otherwise than written."""
        return []

    def pictures(self) -> Iterator[list[bytes]]:
        """The paths of all pictures that lie in the source, some at a time, where entries do not come from a walk over
        them: those that no entry names become entries too."""
        return iter(())

    def __getstate__(self) -> dict:
        """What goes to workers with every task: without the marks, which may have megabytes."""
        return {**vars(self), "_listed": []}
