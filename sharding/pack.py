"""One shard: written under another name, then renamed; its .idx last, which says that it is done."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sharding.check import Limits
from sharding.errors import ShardError, SourceError
from sharding.files import whole_file
from sharding.images import digest_of, read_bytes, read_image
from sharding.index import (
    IDX_RECORD,
    IMAGE_SUFFIXES,
    IdxHeader,
    ShardInfo,
    read_idx_header,
    write_idx,
)
from sharding.reasons import Rejected
from sharding.tar import write_end, write_member


class Sample(NamedTuple):
    """A checked sample. path: absolute or relative to the source. label: what its label member holds. length: letters
    of a word's label. source_digest: of the image file's bytes as they were checked. converted: is it packed as a new
    PNG."""

    path: str
    label: str
    length: int  # from here on as in inspection.FACTS
    width: int
    height: int
    subset: int
    image_format: int
    converted: bool
    source_digest: int


@dataclass(frozen=True)
class PackTask:
    """All that a worker needs for one shard."""

    source_root: Path
    out: Path
    name: str
    split: str
    aspect_class: int
    first_key: int
    label_suffix: str  # "txt" or "cls"
    samples: list[Sample]
    limits: Limits

    def inputs_digest(self) -> str:
        """What goes into the shard, as a sha256: a shard that was made of anything else is not this one."""
        digest = hashlib.sha256(f"{self.name} {self.split} {self.first_key} {self.label_suffix}\n".encode())
        for sample in self.samples:
            digest.update("\t".join(map(str, sample)).encode("utf-8", "surrogateescape") + b"\n")
        return digest.hexdigest()


def pack_shard(task: PackTask) -> tuple[ShardInfo, bool]:
    """Write one shard and its .idx, or keep the finished ones. Returns (what the index says of it, was it kept).

    SourceError where an image is no longer what was checked; ShardError where the folder takes no more.
    """
    inputs = task.inputs_digest()
    if done := _finished(task, inputs):
        return done, True
    try:
        return _write_shard(task, inputs), False
    except OSError as error:
        raise ShardError(
            f"{task.out / task.name}.tar cannot be written ({error.strerror}); the finished shards are kept: make room "
            "and run the same horovod-ocr shard again"
        ) from error


def _finished(task: PackTask, inputs: str) -> ShardInfo | None:
    """The shard as an earlier run left it, where its .idx, the inputs and the tar's digest agree."""
    tar_path, idx_path = task.out / f"{task.name}.tar", task.out / f"{task.name}.idx"
    try:
        header = read_idx_header(idx_path)
        if header.inputs != inputs or tar_path.stat().st_size != header.tar_bytes:
            return None
        with tar_path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != header.tar_sha256:
                return None
    except (ShardError, OSError):
        return None
    idx_sha256 = hashlib.sha256(idx_path.read_bytes()).hexdigest()
    return _info(task, header.tar_bytes, header.tar_sha256, idx_sha256)


def _info(task: PackTask, tar_bytes: int, tar_sha256: str, idx_sha256: str) -> ShardInfo:
    return ShardInfo(task.name, task.split, task.aspect_class, len(task.samples), tar_bytes, tar_sha256, idx_sha256)


def _write_shard(task: PackTask, inputs: str) -> ShardInfo:
    records = np.zeros(len(task.samples), IDX_RECORD)
    with whole_file(task.out / f"{task.name}.tar") as raw:
        file = _HashedFile(raw)
        offset = 0
        for place, sample in enumerate(task.samples):
            key = f"{task.first_key + place:09d}"
            offset, records[place] = _write_sample(file, offset, key, task, sample)
        offset += write_end(file)
    tar_sha256 = file.digest.hexdigest()
    header = IdxHeader(len(task.samples), offset, tar_sha256, inputs)
    return _info(task, offset, tar_sha256, write_idx(task.out / f"{task.name}.idx", header, records))


def _write_sample(file: "_HashedFile", offset: int, key: str, task: PackTask, sample: Sample) -> tuple[int, tuple]:
    """Write both members of one sample. Returns the offset after them and the sample's record in the .idx."""
    image = _checked_bytes(task, sample)
    label = sample.label.encode("utf-8")
    image_offset, offset = write_member(file, offset, f"{key}.{IMAGE_SUFFIXES[sample.image_format]}", image)
    label_offset, offset = write_member(file, offset, f"{key}.{task.label_suffix}", label)
    digest = digest_of(image) if sample.converted else sample.source_digest
    sizes = (len(image), len(label), sample.width, sample.height, sample.length)
    return offset, (image_offset, label_offset, *sizes, sample.subset, sample.image_format, digest)


def _checked_bytes(task: PackTask, sample: Sample) -> bytes:
    """The image as the shard holds it; SourceError where the file is no longer the one that was checked."""
    path = task.source_root / sample.path
    try:
        content = read_bytes(path)
        if digest_of(content) == sample.source_digest:
            return read_image(content, task.limits).content if sample.converted else content
    except Rejected:
        pass
    raise SourceError(
        f"{path} changed or disappeared while the shards were being written; leave the source alone, then run the same "
        "horovod-ocr shard again (the finished shards are kept)"
    )


class _HashedFile:
    """A file that is only written to, with the sha256 of all that went into it."""

    def __init__(self, file) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.digest.update(content)
