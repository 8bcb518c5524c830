"""Write shards, each under another name, then rename it; its .idx is written last and says that it is done."""

import hashlib
import mmap
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sharding.arranging.arrange import PLACED_NAME
from sharding.arranging.assign import Assignment, ShardPlan
from sharding.errors import ShardError
from sharding.format.idx import IDX_RECORD, SUFFIX_BYTES, IdxHeader, read_idx, read_idx_header, write_idx
from sharding.format.index import ShardInfo
from sharding.format.tar import BLOCK, END, lay_out, member_headers, padded
from sharding.progress import Progress, Report
from sharding.reading.intake import range_size, spool_path
from sharding.reading.spool import FACTS
from sharding.system.files import whole_file
from sharding.system.workers import Workers

_TOGETHER_BYTES = 32 << 20  # of a shard, held in memory at once
_GAP_BYTES = 16 << 10  # a shorter gap between two samples of a spool file is read along, a longer one is skipped
_OPEN_FILES = 256
# what decides the bytes of a shard; the positions of its samples in the catalogue and the spool do not
_INPUTS = ["order", "digest", "label_hash", "image_size", "label_size", "width", "height", "subset", "image_format"]


@dataclass(frozen=True)
class PackTask:
    """Everything a worker needs for one shard."""

    out: Path
    """Folder of the shards."""
    plan: ShardPlan
    """Which samples it holds."""
    placed: Path
    """placed.bin: the FACTS of all samples of the set (arranging/assign.py)."""
    spool: Path
    """Folder of the spool files."""
    entries_per_spool: int
    """Entries of the catalogue in each spool file."""
    label_suffix: str
    """"txt" or "cls"."""


class Packed(NamedTuple):
    """A finished shard."""

    info: ShardInfo
    """As the index will name it."""
    letters: Counter[str]
    """How often each occurs in its labels."""
    kept: bool
    """An earlier run had finished it."""


class Spools(NamedTuple):
    """The spool files of some samples."""

    numbers: NDArray[Any]
    """[n] number of the file of each sample."""
    path_of: Callable[[int], str | Path]
    """The path of a file by its number."""


def pack_shard(task: PackTask) -> Packed:
    """Write one shard and its .idx, or keep the finished ones. ShardError if the spool is damaged; OSError if the
    folder takes no more."""
    rows = np.fromfile(task.placed, FACTS, task.plan.samples, offset=task.plan.first * FACTS.itemsize)
    if len(rows) != task.plan.samples:
        raise ShardError(f"{task.placed} is cut short; run the same horovod-ocr shard again")
    inputs = inputs_digest(task.plan, task.label_suffix, rows)
    if done := _finished(task, inputs):
        return done
    size, spool = task.entries_per_spool, os.fspath(task.spool)
    spools = Spools(rows["entry"] // size, lambda number: spool_path(spool, number * size))
    return write_shard(task.out, task.plan, task.label_suffix, rows, spools)


def pack_shards(
    workers: Workers,
    out: Path,
    assignment: Assignment,
    spool: Path,
    entries: int,
    label_suffix: str,
    report: Report,
    check: Callable[[], None],
) -> list[Packed]:
    """Pack all shards of a set into the folder `out`. entries: of the catalogue. check: called after each shard; what
    it raises ends the packing."""
    out, spool = out.absolute(), spool.absolute()  # workers have another working folder
    size = range_size(entries)
    tasks = (PackTask(out, shard, spool / PLACED_NAME, spool, size, label_suffix) for shard in assignment.shards)
    packed, done, written = [], 0, 0
    for shard in workers.run(pack_shard, tasks):
        packed.append(shard)
        done, written = done + shard.info.samples, written + shard.info.bytes
        report(Progress("writing", done, assignment.samples, written))
        check()
    return packed


def inputs_digest(plan: ShardPlan, label_suffix: str, rows: NDArray[Any]) -> str:
    """What goes into a shard (FACTS rows), as a sha256: a shard that was made of anything else is another one."""
    digest = hashlib.sha256(f"{plan.name} {plan.split} {plan.first} {label_suffix}\n".encode())
    for name in _INPUTS:
        digest.update(rows[name].tobytes())
    return digest.hexdigest()


def write_shard(
    out: Path, plan: ShardPlan, label_suffix: str, rows: NDArray[Any], spools: Spools, wanted: ShardInfo | None = None
) -> Packed:
    """Write a shard and its .idx.

    rows: FACTS of its samples. wanted: what the tar and the .idx must be; ShardError if they would be anything else.
    """
    sizes = np.stack([rows["image_size"], rows["label_size"]], axis=1).astype(np.int64)
    offsets, ends = lay_out(sizes)
    records = np.zeros(len(rows), IDX_RECORD)
    letters: Counter[str] = Counter()
    with whole_file(out / f"{plan.name}.tar", fsyncs_folder=False) as file:  # whoever writes the index does that
        digest = hashlib.sha256()
        for first, last in _runs_of(ends[:, 1]):
            start = int(offsets[first, 0]) - BLOCK
            positions = offsets[first:last] - start
            buffer = _with_headers(plan.first + first, label_suffix, rows[first:last], positions)
            labels, crcs = _fill(buffer.data, positions, rows[first:last], spools, first)
            records["label_crc32"][first:last] = crcs
            digest.update(buffer.data)
            file.write(buffer.data)
            letters.update(count_letters(labels))
        digest.update(END)
        file.write(END)
        sha256 = digest.hexdigest()
        if wanted and wanted.sha256 != sha256:
            raise ShardError(f"{plan.name} cannot be made again: its source is no longer what it was made of")
    tar_bytes = int(ends[-1, 1]) + len(END)
    for name in ("image_size", "label_size", "width", "height", "subset", "image_format", "digest"):
        records[name] = rows[name]
    records["label_length"] = rows["length"]
    records["image_offset"], records["label_offset"] = offsets.T
    header = IdxHeader(len(rows), tar_bytes, sha256, inputs_digest(plan, label_suffix, rows))
    idx_sha256 = write_idx(out / f"{plan.name}.idx", header, records)
    if wanted and wanted.idx_sha256 != idx_sha256:
        raise ShardError(f"{plan.name}.idx is not what it was: another version of this program has made the set")
    return Packed(_info(plan, tar_bytes, sha256, idx_sha256), letters, kept=False)


def _runs_of(ends: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """(first, last) of runs of samples of about _TOGETHER_BYTES, at least one each. ends: of the samples in the tar."""
    first = 0
    while first < len(ends):
        start = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, start + _TOGETHER_BYTES, "right")))
        yield first, last
        first = last


def _with_headers(first_key: int, label_suffix: str, rows: NDArray[Any], offsets: NDArray[Any]) -> NDArray[Any]:
    """The bytes of a run of samples in the tar, with headers and padding but without contents. uint8."""
    keys = first_key + np.arange(len(rows))
    end = int(offsets[-1, 1]) + int(padded(rows["label_size"][-1:].astype(np.int64))[0])
    blocks = _blocks(end // BLOCK)
    blocks[offsets[1:, 0] // BLOCK - 2] = 0  # the last block of each member is padded with zeros
    blocks[offsets[:, 1] // BLOCK - 2] = 0
    blocks[-1] = 0
    blocks[offsets[:, 0] // BLOCK - 1] = member_headers(keys, SUFFIX_BYTES[rows["image_format"]], rows["image_size"])
    label_suffixes = np.full(len(rows), label_suffix.encode(), "S3")
    blocks[offsets[:, 1] // BLOCK - 1] = member_headers(keys, label_suffixes, rows["label_size"])
    return blocks.reshape(-1)


_memory: list[NDArray[Any]] = []  # of this process: pages that are mapped already cost nothing to fill again


def _blocks(count: int) -> NDArray[Any]:
    """uint8 [count, 512], with arbitrary content."""
    if not _memory or len(_memory[0]) < count:
        _memory[:] = [np.empty((count, BLOCK), np.uint8)]
    return _memory[0][:count]


def _fill(
    view: memoryview, positions: NDArray[Any], rows: NDArray[Any], spools: Spools, first: int
) -> tuple[bytes, NDArray[Any]]:
    """Read images and labels to their positions in a run of the tar. Returns the labels, end to end in any order, and
    the CRC-32 of each (uint32, in the order of rows).

    positions: [n, 2] of image and label. first: number of the run's first sample in the shard. The samples are in many
    spool files, a few in each, side by side: they are read file by file, neighbours together.
    """
    numbers, starts = spools.numbers[first : first + len(rows)], rows["spool_at"].astype(np.int64)
    order = np.lexsort((starts, numbers))
    numbers, starts = numbers[order], starts[order]
    image_sizes, label_sizes = rows["image_size"][order].astype(np.int64), rows["label_size"][order].astype(np.int64)
    ends = starts + image_sizes + label_sizes
    apart = (np.diff(numbers) != 0) | (starts[1:] > ends[:-1] + _GAP_BYTES)
    breaks = np.flatnonzero(np.concatenate([[True], apart, [True]]))
    begins = starts[breaks[:-1]]
    lengths = ends[breaks[1:] - 1] - begins
    within = starts - np.repeat(begins, np.diff(breaks))
    moves = np.stack([within, within + image_sizes, ends - starts + within, *positions[order].T], axis=1).tolist()
    numbers, samples = numbers[breaks[:-1]].tolist(), pairwise(breaks.tolist())
    labels = []
    with _OpenSpools(spools.path_of) as files:
        for number, begin, length, (low, high) in zip(numbers, begins.tolist(), lengths.tolist(), samples, strict=True):
            content = files.read(number, begin, length)
            images = memoryview(content)  # no copy; for a label, which is short, a copy costs less than a view
            for image, label, end, image_at, label_at in moves[low:high]:
                view[image_at : image_at + label - image] = images[image:label]
                view[label_at : label_at + end - label] = text = content[label:end]
                labels.append(text)
    crcs = np.empty(len(rows), np.uint32)
    crcs[order] = np.fromiter(map(crc32, labels), np.uint32, len(rows))
    return b"".join(labels), crcs


class _OpenSpools:
    """Spool files by number; a limited number of them is open at once."""

    def __init__(self, path_of: Callable[[int], str | Path]) -> None:
        self._path_of = path_of
        self._open: dict[int, int] = {}

    def __enter__(self) -> "_OpenSpools":
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def read(self, number: int, begin: int, length: int) -> bytes:
        """ShardError if the file is missing or ends too early."""
        if number not in self._open:
            if len(self._open) >= _OPEN_FILES:
                self.__exit__()
            try:
                self._open[number] = os.open(self._path_of(number), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise ShardError(f"{error.filename} is missing; run the same horovod-ocr shard again") from error
        content = os.pread(self._open[number], length, begin)
        if len(content) < length:
            path = self._path_of(number)
            raise ShardError(f"{path} is cut short; delete it and run the same horovod-ocr shard again")
        return content


def count_letters(labels: bytes) -> dict[str, int]:
    """How often each letter occurs in labels that are end to end."""
    counts = np.bincount(np.frombuffer(labels.decode().encode("utf-32-le"), "<u4"))  # by code point
    codes = np.flatnonzero(counts)
    return dict(zip(map(chr, codes.tolist()), counts[codes].tolist(), strict=True))


def _finished(task: PackTask, inputs: str) -> Packed | None:
    """The shard as an earlier run has left it, if its .idx, the inputs and the tar's digest agree."""
    plan = task.plan
    tar_path, idx_path = task.out / f"{plan.name}.tar", task.out / f"{plan.name}.idx"
    try:
        header = read_idx_header(idx_path)
        if header.inputs != inputs or tar_path.stat().st_size != header.tar_bytes:
            return None
        letters: Counter[str] = Counter()
        with tar_path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as tar:
            if hashlib.sha256(tar).hexdigest() != header.tar_sha256:
                return None
            records = read_idx(idx_path)
            positions = zip(records["label_offset"].tolist(), records["label_size"].tolist(), strict=True)
            letters.update(count_letters(b"".join([tar[at : at + size] for at, size in positions])))
    except (ShardError, OSError, ValueError):
        return None
    idx_sha256 = hashlib.sha256(idx_path.read_bytes()).hexdigest()
    return Packed(_info(plan, header.tar_bytes, header.tar_sha256, idx_sha256), letters, kept=True)


def _info(plan: ShardPlan, tar_bytes: int, tar_sha256: str, idx_sha256: str) -> ShardInfo:
    return ShardInfo(plan.name, plan.split, plan.bucket, plan.samples, tar_bytes, tar_sha256, idx_sha256)
