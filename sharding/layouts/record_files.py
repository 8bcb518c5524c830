"""Files that hold many images each (tars, LMDBs, Parquet): where they are, and what else is beside them."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.files import LOOK_FILES
from sharding.layouts.folders import is_image, is_note, scan_folders
from sharding.layouts.naming import is_label_file
from sharding.layouts.pairs import is_text

_LAYOUTS = {b"data.mdb": "lmdb", b".parquet": "parquet"}  # of a source that holds both, one must be named
COMPRESSED_TARS = (b".tar.gz", b".tgz", b".tar.bz2", b".tbz2", b".tar.xz", b".txz", b".tar.zst", b".tzst")
_RECORDS = (b".tar", b".parquet", *COMPRESSED_TARS)


def find_records(root: Path, endings: tuple[bytes, ...], named: bool, among_images: bool = False) -> list[bytes]:
    """The paths of the files whose names end in one of these ways (in small letters), at any depth, sorted.

    named: a person said that they are there; else the search ends early, and also, unless among_images, if an image
    comes before them. SourceError if there are files of another such layout, and nobody said which is meant.
    """
    paths: list[bytes] = []
    others: list[bytes] = []
    files = 0
    for folder in scan_folders(os.fsencode(root)):
        paths += [folder.prefix + name for name in folder.files if name.lower().endswith(endings)]
        if endings[0] in _LAYOUTS:
            others += [folder.prefix + name for name in folder.files if _is_other(name, endings[0])][:1]
        files += len(folder.files)
        if not (paths or named) and (files > LOOK_FILES or (not among_images and folder.images())):
            return []
    if paths and others and not named:
        shown = (f"{os.fsdecode(path)} (--layout {_layout_of(path)})" for path in (paths[0], others[0]))
        raise SourceError(f"{root} holds {' and '.join(shown)}; say which is meant, and make a set of each")
    return sorted(paths)


def loose_files(root: Path, own: Collection[str]) -> Iterator[Entry]:
    """Everything beside the files that are read (own) that may be a picture, a label or a file of many pictures: each
    is a reject."""
    for folder in scan_folders(os.fsencode(root)):
        for name in folder.files:
            if _is_loose(name) and os.fsdecode(path := folder.prefix + name) not in own:
                yield Entry(path, None, problem="outside")


def _is_loose(name: bytes) -> bool:
    if is_image(name):
        return True
    return (is_text(name) or is_label_file(name) or is_record_file(name)) and not is_note(name)


def is_record_file(name: bytes) -> bool:
    """Does a file by its name hold many pictures?"""
    return name.lower().endswith(_RECORDS) or name == b"data.mdb"


def _is_other(name: bytes, ending: bytes) -> bool:
    return any(name.lower().endswith(other) for other in _LAYOUTS if other != ending)


def _layout_of(path: bytes) -> str:
    return next(layout for ending, layout in _LAYOUTS.items() if path.lower().endswith(ending))
