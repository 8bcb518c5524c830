"""Where the images of a command come from: files, folders, globs, tars, shard sets, standard input."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from horovod_ocr.errors import ConfigError, SourceError
from sharding.format.index import INDEX_NAME, read_index
from sharding.layouts.folders import is_image, scan_folders
from sharding.layouts.tar_members import BufferedFile, DamagedTarError, pread_all, read_members

STDIN = "-"
TAR = ".tar"
COMPRESSED_TARS = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
MOST_SHOWN = 200  # characters of a name
MOST_IMAGE_BYTES = 1 << 30  # of a member of a tar, and of standard input


class Image(NamedTuple):
    """One image of a source."""

    name: str
    """As it is printed: the path; of a tar its path, a slash, and the name in it."""
    content: bytes | Path | SourceError
    """The bytes of its file, or where it is, or why there is none."""


class Source(NamedTuple):
    """Images that come one after another."""

    images: Iterator[Image]
    """In the order of what was named."""
    total: int | None
    """How many there are; None if that is not known before they are read."""
    error: SourceError | None = None
    """Why there is none; it is the only image."""


def open_sources(names: Iterable[str]) -> Source:
    """The images of everything that was named, in this order.

    A file; a folder: the images that `horovod-ocr shard` would find below it, sorted; a glob, as in 'scans/*.png'; a
    tar: its images; a folder with an index.json: the shards of this set; `-`: one image from standard input.

    A name that is nothing of this is an image that cannot be read. SourceError if there is no other one.
    """
    named = list(names)
    if named.count(STDIN) > 1:
        raise ConfigError("standard input (-) can be read once only")
    parts = [_part(path) for name in named for path in _paths_of(name)]
    if parts and (error := parts[0].error) and all(part.error for part in parts):
        raise error
    totals = [part.total for part in parts]
    total = None if None in totals else sum(each or 0 for each in totals)
    return Source((image for part in parts for image in part.images), total)


def names_in(path: str) -> Iterator[str]:
    """The lines of a file that names sources, `-` for standard input; empty lines do not count. SourceError if it
    cannot be read."""
    try:
        content = _stdin().read() if path == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    yield from (os.fsdecode(line) for line in content.splitlines() if line.strip())


def _paths_of(name: str) -> list[str]:
    """The name, or what it stands for if it is a glob: a file may be called like one."""
    if name == STDIN or os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    if found := sorted(glob.glob(name, recursive=True)):
        return found
    return [name]


def _part(name: str) -> Source:
    path = Path(name)
    if name == STDIN:
        return Source(_from_stdin(), 1)
    if os.path.isdir(name):  # as the other tests here: Path's raise where they may not look
        return _from_set(path) if (path / INDEX_NAME).is_file() else _from_folder(path)
    if not os.path.exists(name):
        shown = name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}..."
        return _nothing(shown, f"there is no image {shown}")
    if name.lower().endswith(COMPRESSED_TARS):
        return _nothing(name, f"{name}: a compressed tar; unpack it first")
    if path.suffix == TAR and os.path.isfile(name):
        return Source(_from_tar(path), None)
    return Source(iter([Image(name, path)]), 1)


def _nothing(name: str, why: str) -> Source:
    error = SourceError(why)
    return Source(iter([Image(name, error)]), 1, error)


def _stdin() -> BinaryIO:
    if sys.stdin is None:  # closed by the shell
        raise SourceError("standard input is closed")
    return sys.stdin.buffer


def _from_stdin() -> Iterator[Image]:
    yield Image("standard input", _stdin().read(MOST_IMAGE_BYTES))


def _from_folder(folder: Path) -> Source:
    folders = scan_folders(os.fsencode(folder))
    names = [found.prefix + name for found in folders for name in found.files if is_image(name)]
    paths = sorted(folder / os.fsdecode(name) for name in names)
    if not paths:
        return _nothing(str(folder), f"no image (png jpg webp bmp tiff) in {folder}")
    return Source((Image(str(path), path) for path in paths), len(paths))


def _from_set(folder: Path) -> Source:
    index = read_index(folder)
    tars = [index.tar_path(shard) for shard in index.shards if shard.samples]
    return Source((image for tar in tars for image in _from_tar(tar)), sum(shard.samples for shard in index.shards))


def _from_tar(path: Path) -> Iterator[Image]:
    """Members that are images, in their order. A tar that is cut or damaged, or has none, ends with an image that
    cannot be read."""
    found = 0
    try:
        with path.open("rb") as tar:
            for member in read_members(BufferedFile(tar.fileno())):
                if is_image(member.name) and not member.link:
                    found += 1
                    content = pread_all(tar.fileno(), min(member.size, MOST_IMAGE_BYTES), member.at)
                    yield Image(f"{path}/{os.fsdecode(member.name)}", content)
    except DamagedTarError as damaged:
        yield Image(str(path), SourceError(f"{path}: not a whole tar, from byte {damaged.at:,} on: {damaged.why}"))
    except OSError as error:
        yield Image(str(path), SourceError(f"{path}: {error.strerror or error}"))
    else:
        if not found:
            yield Image(str(path), SourceError(f"no image (png jpg webp bmp tiff) in {path}"))
