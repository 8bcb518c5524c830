"""Existing WebDataset shards: the tars of a folder, of anybody or of this program.

Those of anybody are read once here, for their labels; images are found again by offset. A sample is a row of members
that agree up to the first dot of their base names, as webdataset has it. Sets of this program have an .idx that says it
all.
"""

import json
import os
import re
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.errors import ShardError, SourceError
from sharding.index import FORMAT, INDEX_NAME, read_idx, read_index
from sharding.index import IMAGE_SUFFIXES as OWN_SUFFIXES
from sharding.layouts.entry import Entry
from sharding.layouts.files import BOM
from sharding.layouts.folders import IMAGE_SUFFIXES, SPLIT_FOLDERS, is_image, list_folder
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.layouts.tar_members import BLOCK, DamagedTarError, Member, TarReader, Window, read_members

TEXT_SUFFIXES = (b"txt", b"gt.txt", b"label")
CLASS_SUFFIX = b"cls"
_LABEL_SUFFIXES = frozenset((*TEXT_SUFFIXES, CLASS_SUFFIX))
_SPECIAL_NAME = re.compile(rb"__[^/]*__($|/)")  # webdataset passes them over
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_SPLIT_NAME = re.compile(r"(train|val|validation|test)-")
_MAX_LABEL_BYTES = 1 << 20
_LOOK_SAMPLES = 1_000
_OWN_SUFFIXES = tuple(suffix.encode() for suffix in OWN_SUFFIXES)
_make = tuple.__new__  # an Entry without the check of its arguments: half the time of one
_THREADS = 8
_BATCH = 2_000  # entries a thread brings at a time


class _Part(NamedTuple):
    """One member of a sample. content: of a label."""

    member: Member
    content: bytes | None


@dataclass(frozen=True)
class TarsSource(ListedFiles):
    """tars: names in root."""

    root: Path
    layout: str
    tars: tuple[str, ...]
    kind: str = "words"
    splits: tuple[str, ...] = ()
    images_are_files: bool = False
    _listed: list[list] = field(default_factory=list, init=False, repr=False, compare=False)

    @abstractmethod
    def samples(self, window: Window, place: int) -> Iterator[Entry]:
        """The entries of the tar at this place of `tars`. DamagedTarError where it ends too early."""

    def entries(self) -> Iterator[Entry]:
        """Several tars at a time. SourceError where one cannot be read, or none holds a sample."""
        marks = mark_files(self.root, self.file_names())
        waiting = iter(range(len(self.tars)))
        running: deque[tuple[Iterator[Entry], Future]] = deque()
        empty = True
        pool = ThreadPoolExecutor(_THREADS)
        try:
            while True:
                for place in islice(waiting, _THREADS - len(running)):
                    rows = self._entries_of(place)
                    running.append((rows, pool.submit(_batch, rows)))
                if not running:
                    break
                rows, future = running.popleft()
                batch = future.result()
                if len(batch) == _BATCH:
                    running.append((rows, pool.submit(_batch, rows)))
                empty = empty and not batch
                yield from batch
        finally:
            pool.shutdown(cancel_futures=True)
        if empty:
            raise SourceError(f"the tars in {self.root} hold no image; name another --src")
        self._listed[:] = marks

    def _entries_of(self, place: int) -> Iterator[Entry]:
        path = self.root / self.tars[place]
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield from self.samples(Window(file), place)
            except DamagedTarError as error:
                name = f"{path.name} (from byte {error.at:,} on)"
                yield Entry(os.fsencode(name), None, problem="damaged image", at=error.at)
            finally:
                os.close(file)
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable, or copy it") from error

    def file_names(self) -> list[str]:
        return [*self.tars]

    def open(self) -> TarReader:
        return TarReader(self.root)


@dataclass(frozen=True)
class WebDatasetSource(TarsSource):
    """Tars of anybody. kind "words": their .txt, .gt.txt or .label is the label; "classes": their .cls."""

    def samples(self, window: Window, place: int) -> Iterator[Entry]:
        tar = os.fsencode(self.tars[place]) + b"/"
        split = self.splits[place] if self.splits else ""
        suffixes = (CLASS_SUFFIX,) if self.kind == "classes" else TEXT_SUFFIXES
        for sample in _read_samples(window):
            text = next((sample[suffix] for suffix in suffixes if suffix in sample), None)
            label = text.content if text else None
            if self.kind == "classes" and label is not None:
                label = label.strip()
            images = [part.member for suffix, part in sample.items() if b"." + suffix in IMAGE_SUFFIXES]
            # `page.line.png` is an image too, where no `page.png` stands beside it
            images = images or [part.member for part in sample.values() if is_image(part.member.name)][:1]
            for image in images:
                yield Entry(tar + image.name, label, "", split, "", image.at, image.size)
            if text and not images:
                yield Entry(tar + text.member.name, None, "", split, "missing image")


@dataclass(frozen=True)
class ShardSetSource(TarsSource):
    """A set of this program. What it knows of itself is kept: splits, subsets, class names.

    firsts: the key of each tar's first sample. labels_apart: texts are read with the images; names of classes must be
    known before, and are read here.
    """

    subsets: tuple[str, ...] = ("",)
    classes: tuple[str, ...] = ()
    firsts: tuple[int, ...] = ()
    labels_apart: bool = True

    def samples(self, window: Window, place: int) -> Iterator[Entry]:
        tar = os.fsencode(self.tars[place]) + b"/"
        split = self.splits[place]
        idx = self.root / f"{self.tars[place].removesuffix('.tar')}.idx"
        records = read_idx(idx)
        for name, known in (("subset", self.subsets), ("image_format", _OWN_SUFFIXES)):
            if records[name].max(initial=0) >= len(known):
                raise ShardError(f"{idx} is damaged; run: horovod-ocr verify {self.root} --repair")
        ends = [records[f"{part}_offset"] + records[f"{part}_size"] for part in ("image", "label")]
        whole = int(np.argmax(np.append(np.maximum(*ends) > window.file_bytes, True)))  # before the first that is cut
        columns = ("image_offset", "image_size", "label_offset", "label_size", "subset", "image_format")
        rows = zip(*(records[name][:whole].tolist() for name in columns), strict=True)
        for number, (at, size, label_at, label_size, subset, image_format) in enumerate(rows, self.firsts[place]):
            label = b"%s%d+%d" % (tar, label_at, label_size)
            if not self.labels_apart:
                label = self._class_name(window.read(label_at, label_size), at)
            path = b"%s%09d.%s" % (tar, number, _OWN_SUFFIXES[image_format])
            yield _make(Entry, (path, label, self.subsets[subset], split, "", at, size))
        if whole < len(records):
            raise DamagedTarError(int(records["image_offset"][whole]) - BLOCK)

    def _class_name(self, number: bytes, image_at: int) -> bytes:
        try:
            return self.classes[int(number)].encode()
        except (ValueError, IndexError) as error:
            raise DamagedTarError(image_at - BLOCK) from error

    def file_names(self) -> list[str]:
        return [*self.tars, INDEX_NAME]

    def open(self) -> TarReader:
        return ShardSetReader(self.root) if self.labels_apart else TarReader(self.root)


class ShardSetReader(TarReader):
    """The labels are found by offset too: a tar's name, a slash, offset+size."""

    def read_label(self, label: bytes) -> bytes:
        tar, _, place = label.partition(b"/")
        at, _, size = place.partition(b"+")
        return self.read_content(tar, int(at), int(size))


def find_shards(root: Path, named: bool = False) -> ShardSetSource | None:
    """A folder whose index.json this program has written. ShardError where it is damaged or of another version."""
    try:
        values = json.loads((root / INDEX_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        return None
    index = read_index(root)
    tars = tuple(shard.tar_name for shard in index.shards)
    splits = tuple(shard.split for shard in index.shards)
    firsts = tuple(accumulate((shard.samples for shard in index.shards), initial=0))[:-1]
    known = {"subsets": index.subsets, "classes": index.classes, "firsts": firsts}
    return ShardSetSource(root, "shards", tars, index.kind, splits, **known, labels_apart=index.kind == "words")


def find_webdataset(root: Path, named: bool = False) -> WebDatasetSource | None:
    """A folder with tars directly in it. SourceError where any is compressed: it could not be read by offset."""
    names = [os.fsdecode(name) for name in list_folder(os.fsencode(root)).files]
    if compressed := [name for name in names if name.endswith(_COMPRESSED)]:
        raise SourceError(
            f"{root / compressed[0]} is compressed, as {len(compressed):,} tars there are; unpack them (gunzip, unxz, "
            "unzstd) to plain .tar: images hardly shrink, and only in those are they found by offset"
        )
    tars = tuple(name for name in names if name.endswith(".tar"))
    if not tars:
        return None
    found = [_SPLIT_NAME.match(name) for name in tars]
    splits = tuple(SPLIT_FOLDERS[match[1].encode()] for match in found if match)
    given = len(splits) == len(tars) and len(set(splits)) > 1  # one split alone is no split
    return WebDatasetSource(root, "webdataset", tars, _kind_of(root / tars[0]), splits if given else ())


def _kind_of(tar: Path) -> str:
    """By the first sample that has a label."""
    with tar.open("rb") as file:
        try:
            for sample in islice(_read_samples(Window(file.fileno())), _LOOK_SAMPLES):
                if any(suffix in sample for suffix in TEXT_SUFFIXES):
                    return "words"
                if CLASS_SUFFIX in sample:
                    return "classes"
        except DamagedTarError:
            pass
    return "words"


def _batch(entries: Iterator[Entry]) -> list[Entry]:
    return list(islice(entries, _BATCH))


def _read_samples(window: Window) -> Iterator[dict[bytes, _Part]]:
    """Suffix (lower case) -> member, for each row of members of one key. Before DamagedTarError, what was whole."""
    sample: dict[bytes, _Part] = {}
    key = None
    try:
        for member in read_members(window):
            folder, _, name = member.name.rpartition(b"/")
            stem, dot, suffix = name.partition(b".")
            if not stem or not dot or _SPECIAL_NAME.match(member.name):
                continue
            suffix = suffix.lower()
            if (folder, stem) != key or suffix in sample:
                if sample:
                    yield sample
                key, sample = (folder, stem), {}
            content = None
            if suffix in _LABEL_SUFFIXES and member.size <= _MAX_LABEL_BYTES:
                content = window.read(member.at, member.size).removeprefix(BOM)
            sample[suffix] = _Part(member, content)
    except DamagedTarError:
        if sample:
            yield sample
        raise
    if sample:
        yield sample
