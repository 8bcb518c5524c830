"""The .idx beside each tar: a header, then one record for each sample, for random access and exact resume.

magic       8 bytes
version     uint32
samples     uint32
tar bytes   uint64
tar sha256  32 bytes
inputs      32 bytes: a digest of all that went into the shard (packing/pack.py); with the digest of the tar it tells
            an unfinished or outdated shard from a finished one
records     IDX_RECORD of each sample
"""

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from sharding.errors import ShardError
from sharding.format.tar import BLOCK, member_name
from sharding.system.files import write_whole

IDX_MAGIC = b"ocr-idx\0"
IDX_VERSION = 3
_HEADER = struct.Struct("<8sIIQ32s32s")
IDX_RECORD = np.dtype(
    [
        ("image_offset", "<u8"),
        ("label_offset", "<u8"),
        ("image_size", "<u4"),
        ("label_size", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("label_length", "<u4"),
        ("subset", "u1"),
        ("image_format", "u1"),
        ("digest", "<u8"),
        ("label_crc32", "<u4"),
    ]
)
STORED_SUFFIXES = ("png", "jpg")  # of images in a shard, by `image_format`
SUFFIX_BYTES = np.array([suffix.encode() for suffix in STORED_SUFFIXES], "S3")

# The digest of an image's bytes. It finds copies and damage, in a twentieth of the time of a cryptographic digest.
digest_of = xxh3_64_intdigest


@dataclass(frozen=True)
class IdxHeader:
    """The header of an .idx file. Digests are in hex."""

    samples: int
    """Number of records that follow."""
    tar_bytes: int
    """Size of the whole tar."""
    tar_sha256: str
    """Digest of the whole tar."""
    inputs: str
    """Digest of all that went into the shard."""


class SampleRecord(NamedTuple):
    """One record of an .idx: where a sample is in its tar, and what it must be."""

    image_offset: int
    """Of the image's bytes in the tar, not of its header."""
    label_offset: int
    """Of the label's bytes in the tar, not of its header."""
    image_size: int
    """In bytes, at least 1."""
    label_size: int
    """In bytes: of the text in UTF-8, or of the digits of a class number."""
    width: int
    """Of the stored image, in pixels; at least 1."""
    height: int
    """Of the stored image, in pixels; at least 1."""
    label_length: int
    """Characters of the label; 0 for classes."""
    subset: int
    """Position in ShardIndex.subsets."""
    image_format: int
    """Position in STORED_SUFFIXES."""
    digest: int
    """XXH3 of the image's bytes."""
    label_crc32: int
    """CRC-32 of the label's bytes."""

    @property
    def image(self) -> slice:
        """The image's bytes in the tar."""
        return slice(self.image_offset, self.image_offset + self.image_size)

    @property
    def label(self) -> slice:
        """The label's bytes in the tar."""
        return slice(self.label_offset, self.label_offset + self.label_size)


def record_of(records: NDArray[np.void], row: int) -> SampleRecord:
    """The record of the sample in this row of an .idx."""
    return SampleRecord._make(records[row].item())


def read_sample(tar: BinaryIO, record: SampleRecord) -> tuple[bytes, bytes]:
    """(image, label) of a sample, two preads; shorter if the tar ends before them."""
    file = tar.fileno()
    return (
        os.pread(file, record.image_size, record.image_offset),
        os.pread(file, record.label_size, record.label_offset),
    )


def read_key(tar: BinaryIO, record: SampleRecord) -> str:
    """The key of a sample, from the header of its image. ShardError if the tar ends before it."""
    return member_name(os.pread(tar.fileno(), BLOCK, record.image_offset - BLOCK)).split(".")[0]


def idx_bytes(samples: int) -> int:
    """Size of the .idx of this many samples."""
    return _HEADER.size + samples * IDX_RECORD.itemsize


def write_idx(path: Path, header: IdxHeader, records: NDArray[Any]) -> str:
    """Write one .idx (records: [samples] of `IDX_RECORD`) whole or not at all. Returns its sha256."""
    content = _HEADER.pack(
        IDX_MAGIC,
        IDX_VERSION,
        header.samples,
        header.tar_bytes,
        bytes.fromhex(header.tar_sha256),
        bytes.fromhex(header.inputs),
    )
    content += np.ascontiguousarray(records, dtype=IDX_RECORD).tobytes()
    write_whole(path, content, fsyncs_folder=False)  # whoever writes the index does that
    return hashlib.sha256(content).hexdigest()


def read_idx_header(path: str | Path) -> IdxHeader:
    """The header of an .idx file. ShardError if it is missing, of another kind or version, or cut short."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise ShardError(f"{path} is missing; run the same horovod-ocr shard again") from error
    except OSError as error:
        raise ShardError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(head) < _HEADER.size or not head.startswith(IDX_MAGIC):
        raise ShardError(f"{path} is not an index of a shard; copy it again, or run the same horovod-ocr shard again")
    _, version, samples, tar_bytes, tar_sha256, inputs = _HEADER.unpack(head)
    if version != IDX_VERSION:
        raise ShardError(f"{path}: version {version}, this program reads {IDX_VERSION}: shard again into a new folder")
    expected = idx_bytes(samples)
    if size != expected:
        raise ShardError(f"{path} has {size:,} bytes, its {samples:,} samples need {expected:,}; copy it again")
    return IdxHeader(samples, tar_bytes, tar_sha256.hex(), inputs.hex())


def read_idx(path: str | Path) -> NDArray[np.void]:
    """The records of an .idx file: memory-mapped, read-only, [samples] of `IDX_RECORD`. ShardError as
    `read_idx_header`, and if one points outside the tar."""
    header = read_idx_header(path)
    if header.samples == 0:
        return np.empty(0, IDX_RECORD)
    records = np.memmap(path, IDX_RECORD, mode="r", offset=_HEADER.size, shape=(header.samples,))
    for offset, size in (("image_offset", "image_size"), ("label_offset", "label_size")):
        sizes = records[size].astype(np.uint64)
        if (sizes > header.tar_bytes).any() or (records[offset] > header.tar_bytes - sizes).any():
            raise ShardError(f"{path} is damaged: a sample is outside of its tar; copy it again")
    return records
