"""Sets of tars: what all of them have in common, and the sets of this program, whose .idx says everything. Tars of any
other origin: tar_samples.py."""

import os
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate, islice
from pathlib import Path

import numpy as np

from sharding.errors import ShardError, SourceError
from sharding.format.idx import STORED_SUFFIXES, read_idx
from sharding.format.index import INDEX_NAME, is_index, parse_index
from sharding.format.tar import BLOCK
from sharding.layouts.entry import Entry, Mark, make_unchecked
from sharding.layouts.files import check_not_lfs
from sharding.layouts.marks import ListedFiles, mark_files
from sharding.layouts.tar_members import BufferedFile, DamagedTarError, TarReader

_OTHER_FORMATS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\3\4": "zip",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
_OWN_SUFFIXES = tuple(suffix.encode() for suffix in STORED_SUFFIXES)
_THREADS = 8
_BATCH = 2_000  # entries that a thread reads at a time


@dataclass(frozen=True)
class TarsSource(ListedFiles):
    """A source of tars."""

    root: Path
    """As in `Source`."""
    layout: str
    """"shards" or "webdataset"."""
    tars: tuple[str, ...]
    """Relative to root."""
    kind: str = "words"
    """As in `Source`."""
    splits: tuple[str, ...] = ()
    """The split of each tar; empty if they give none."""
    images_are_files: bool = False
    """As in `Source`."""
    _listed: list[Mark] = field(default_factory=list, init=False, repr=False, compare=False)
    """As in `ListedFiles`."""

    @abstractmethod
    def samples(self, file: BufferedFile, position: int) -> Iterator[Entry]:
        """The entries of the tar with this number in `tars`. DamagedTarError if it ends too early."""

    def entries(self) -> Iterator[Entry]:
        """Several tars at a time. SourceError if one cannot be read, or if none holds a sample."""
        marks = mark_files(self.root, self.file_names())
        waiting = iter(range(len(self.tars)))
        running: deque[tuple[Iterator[Entry], Future[list[Entry]]]] = deque()
        empty = True
        pool = ThreadPoolExecutor(_THREADS)
        try:
            while True:
                for position in islice(waiting, _THREADS - len(running)):
                    rows = self._entries_of(position)
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

    def _entries_of(self, position: int) -> Iterator[Entry]:
        path = self.root / self.tars[position]
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            file = BufferedFile(handle)
            try:
                yield from self.samples(file, position)
            except DamagedTarError as error:
                if not error.at:
                    _check_format(path, file.read(0, BLOCK))
                detail = f"{error.why}: from byte {error.at:,} on, of {file.file_bytes:,}, everything is lost"
                yield Entry(os.fsencode(self.tars[position]), detail.encode(), problem="damaged tar")
            finally:
                os.close(handle)
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror}); make it readable, or copy it") from error

    def file_names(self) -> list[str]:
        return [*self.tars]

    def open(self) -> TarReader:
        return TarReader(self.root, self.tars)


@dataclass(frozen=True)
class ShardSetSource(TarsSource):
    """A set of this program. What it knows of itself is kept: splits, subsets, class names."""

    subsets: tuple[str, ...] = ("",)
    """As in `ShardIndex`."""
    classes: tuple[str, ...] = ()
    """As in `ShardIndex`."""
    firsts: tuple[int, ...] = ()
    """The key of each tar's first sample."""
    labels_apart: bool = True
    """Texts are read with the images; names of classes must be known before, and are read here."""

    def samples(self, file: BufferedFile, position: int) -> Iterator[Entry]:
        tar = os.fsencode(self.tars[position]) + b"/"
        split = self.splits[position]
        idx = self.root / f"{self.tars[position].removesuffix('.tar')}.idx"
        records = read_idx(idx)
        for name, known in (("subset", self.subsets), ("image_format", _OWN_SUFFIXES)):
            if records[name].max(initial=0) >= len(known):
                raise ShardError(f"{idx} is damaged; run: horovod-ocr verify {self.root} --repair")
        ends = [records[f"{part}_offset"] + records[f"{part}_size"] for part in ("image", "label")]
        # the samples before the first that is cut; True: if none is, all of them
        is_cut = np.append(np.maximum(*ends) > file.file_bytes, True)
        whole = int(np.argmax(is_cut))
        columns = ("image_offset", "image_size", "label_offset", "label_size", "subset", "image_format")
        rows = zip(*(records[name][:whole].tolist() for name in columns), strict=True)
        for number, (at, size, label_at, label_size, subset, image_format) in enumerate(rows, self.firsts[position]):
            label = b"%s%d+%d" % (tar, label_at, label_size)
            if not self.labels_apart:
                label = self._class_name(file.read(label_at, label_size), at)
            path = b"%s%09d.%s" % (tar, number, _OWN_SUFFIXES[image_format])
            yield make_unchecked(Entry, (path, label, self.subsets[subset], split, "", at, size))
        if whole < len(records):
            raise DamagedTarError(int(records["image_offset"][whole]) - BLOCK, "the file is cut")

    def _class_name(self, number: bytes, image_at: int) -> bytes:
        try:
            return self.classes[int(number)].encode()
        except (ValueError, IndexError) as error:
            raise DamagedTarError(image_at - BLOCK) from error

    def file_names(self) -> list[str]:
        return [*self.tars, INDEX_NAME]

    def open(self) -> TarReader:
        return ShardSetReader(self.root, self.tars) if self.labels_apart else TarReader(self.root, self.tars)


class ShardSetReader(TarReader):
    """The labels are found by offset too: a tar's name, a slash, offset+size."""

    def read_label(self, label: bytes) -> bytes:
        tar, _, span = label.partition(b"/")
        at, _, size = span.partition(b"+")
        return self.read_content(tar, int(at), int(size))


def find_shards(root: Path, named: bool = False) -> ShardSetSource | None:
    """A folder whose index.json this program has written. ShardError if it is damaged or of another version."""
    try:
        content = (root / INDEX_NAME).read_bytes()
    except OSError:
        return None
    if not is_index(content):
        return None
    index = parse_index(content, root, str(root / INDEX_NAME))
    tars = tuple(shard.tar_name for shard in index.shards)
    splits = tuple(shard.split for shard in index.shards)
    firsts = tuple(accumulate((shard.samples for shard in index.shards), initial=0))[:-1]
    return ShardSetSource(
        root,
        "shards",
        tars,
        index.kind,
        splits,
        subsets=index.subsets,
        classes=index.classes,
        firsts=firsts,
        labels_apart=index.kind == "words",
    )


def _check_format(path: Path, head: bytes) -> None:
    """SourceError if a file of another format has the name of a tar."""
    check_not_lfs(path)
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise SourceError(
                f"{path} is not a tar but a {name}; unpack it and put the plain .tar there: images hardly shrink, and "
                "only in a plain tar are they found by offset"
            )


def _batch(entries: Iterator[Entry]) -> list[Entry]:
    return list(islice(entries, _BATCH))
