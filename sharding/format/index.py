"""index.json and .idx: what a shard set promises to its readers.

`index.json` is written last and is the commit point: where it stands, every shard it names is whole. Readers trust it
and never list the folder. Beside each `train-000042.tar` lies `train-000042.idx`: a header, then one record a sample
(`IDX_RECORD`), from which come random access and exact resume.
"""

import hashlib
import json
import math
import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sharding.errors import ConfigError, ShardError
from sharding.format.script.profile import ScriptProfile
from sharding.system.files import fsync_folder, write_whole

FORMAT = "horovod-ocr shards"
VERSION = 4  # 4: the words of docs/shards.md: buckets
INDEX_NAME = "index.json"

IDX_MAGIC = b"ocr-idx\0"
IDX_VERSION = 3
# magic, version, samples, bytes of the tar, sha256 of the tar, digest of what went in (pack.py): a shard is done when
# these say so
_IDX_HEADER = struct.Struct("<8sIIQ32s32s")
IDX_RECORD = np.dtype(
    [
        ("image_offset", "<u8"),  # of the image's bytes in the tar, not of its header
        ("label_offset", "<u8"),
        ("image_size", "<u4"),  # bytes
        ("label_size", "<u4"),
        ("width", "<u4"),  # px
        ("height", "<u4"),
        ("label_length", "<u4"),  # characters of the label; 0 for classes
        ("subset", "u1"),  # place in ShardIndex.subsets
        ("image_format", "u1"),  # place in IMAGE_SUFFIXES
        ("digest", "<u8"),  # XXH3 of the image's bytes
        ("label_crc32", "<u4"),  # zlib.crc32 of the label's bytes
    ]
)
IMAGE_SUFFIXES = ("png", "jpg")


@dataclass(frozen=True)
class ShardInfo:
    """One shard. name: without suffix, such as `train-000042`. bytes and sha256 are the tar's."""

    name: str
    split: str
    bucket: int
    samples: int
    bytes: int
    sha256: str
    idx_sha256: str = ""

    @property
    def tar_name(self) -> str:
        return f"{self.name}.tar"

    @property
    def idx_name(self) -> str:
        return f"{self.name}.idx"


@dataclass(frozen=True)
class IdxHeader:
    """The header of an .idx file: records that follow, and the tar they describe (digests in hex)."""

    samples: int
    tar_bytes: int
    tar_sha256: str
    inputs: str


@dataclass(frozen=True)
class ShardIndex:
    """All that a shard set says of itself.

    alphabet: letter -> how often in the train split (0: it stands only in other splits), by code point. classes:
    sorted names, the place is the number in `.cls`. bucket_edges: upper width / height of each bucket,
    ascending. label_lengths: length -> samples. bucket_samples: samples of each bucket, all splits. subsets:
    names, "" first. totals: samples of each split. rejects: reason -> samples. duplicates: copies of an image in the
    "same split" and "across splits", and how many of them were "left out". folded: "ي → ی" -> how often a letter of a
    label became another. refused_letters: those that the profile does not allow. options: those that shape the bytes.
    digest: sha256 of index.json's bytes.
    """

    root: Path
    kind: str
    seed: int
    profile: ScriptProfile
    alphabet: dict[str, int]
    classes: tuple[str, ...]
    bucket_edges: tuple[float, ...]
    shards: tuple[ShardInfo, ...]
    subsets: tuple[str, ...] = ("",)
    totals: dict[str, int] = field(default_factory=dict)
    label_lengths: dict[int, int] = field(default_factory=dict)
    bucket_samples: tuple[int, ...] = ()
    rejects: dict[str, int] = field(default_factory=dict)
    duplicates: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    refused_letters: dict[str, int] = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    version: int = VERSION
    digest: str = ""

    def of(self, split: str) -> tuple[ShardInfo, ...]:
        """The shards of one split, in the order of the index."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def tar_path(self, shard: ShardInfo) -> Path:
        return self.root / shard.tar_name

    def idx_path(self, shard: ShardInfo) -> Path:
        return self.root / shard.idx_name


def write_index(index: ShardIndex) -> str:
    """Write index.json under another name, fsync, rename. Returns its sha256: the digest of the set.

    It is the commit point: every shard that it names lasts before it does.
    """
    fsync_folder(index.root)
    values = {
        "format": FORMAT,
        "version": VERSION,
        "kind": index.kind,
        "seed": index.seed,
        "totals": index.totals,
        "rejects": index.rejects,
        "duplicates": index.duplicates,
        "folded": index.folded,
        "refused_letters": index.refused_letters,
        "options": index.options,
        "profile": index.profile.to_dict(),
        "alphabet": index.alphabet,
        "classes": list(index.classes),
        "subsets": list(index.subsets),
        "label_lengths": {str(length): count for length, count in sorted(index.label_lengths.items())},
        "bucket_edges": list(index.bucket_edges),
        "bucket_samples": list(index.bucket_samples),
        "shards": [dict(vars(shard)) for shard in index.shards],
    }
    content = json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
    write_whole(index.root / INDEX_NAME, content)
    return hashlib.sha256(content).hexdigest()


def read_index(folder: str | Path) -> ShardIndex:
    """The index of a shard set. ShardError where there is none, it is damaged, or another version wrote it."""
    root = Path(folder)
    path = root / INDEX_NAME
    if not root.is_dir():
        raise ShardError(f"no shards: there is no folder {root}; make it with: horovod-ocr shard --src raw/")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ShardError(
            f"{root} holds no {INDEX_NAME}: its shards were never finished; run the same horovod-ocr shard again"
        ) from error
    except OSError as error:
        raise ShardError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{path} is damaged ({error}); make the shards again: horovod-ocr shard --src ...") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ShardError(f"{path} is not an index of {FORMAT}; name a folder that horovod-ocr shard has made")
    if values.get("version") != VERSION:
        raise ShardError(
            f"{path}: index version {str(values.get('version'))[:20]}, this program reads {VERSION}: "
            "shard again with: horovod-ocr shard --src ... --out NEW_FOLDER"
        )
    try:
        index = _index_of(root, values, hashlib.sha256(content).hexdigest())
        _check_fields(index)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, ConfigError) as error:
        raise ShardError(
            f"{path} is damaged ({repr(error)[:200]}); copy it again, or make the shards again: horovod-ocr shard ..."
        ) from error
    return index


def _index_of(root: Path, values: dict, digest: str) -> ShardIndex:
    return ShardIndex(
        root=root,
        kind=values["kind"],
        seed=int(values["seed"]),
        profile=ScriptProfile.from_dict(values["profile"]),
        alphabet=dict(values["alphabet"]),
        classes=tuple(values["classes"]),
        bucket_edges=tuple(float(edge) for edge in values["bucket_edges"]),
        shards=tuple(ShardInfo(**shard) for shard in values["shards"]),
        subsets=tuple(values["subsets"]),
        totals=dict(values["totals"]),
        label_lengths={int(length): count for length, count in values["label_lengths"].items()},
        bucket_samples=tuple(values["bucket_samples"]),
        rejects=dict(values["rejects"]),
        duplicates=dict(values["duplicates"]),
        folded=dict(values["folded"]),
        refused_letters=dict(values["refused_letters"]),
        options=dict(values["options"]),
        digest=digest,
    )


def _check_fields(index: ShardIndex) -> None:
    """ValueError that names the first field whose values are not of its kind."""
    for shard in index.shards:
        texts, numbers = (shard.split, shard.sha256, shard.idx_sha256), (shard.bucket, shard.samples, shard.bytes)
        if not isinstance(shard.name, str) or not re.fullmatch(r"[\w-]+", shard.name):  # it becomes a path
            raise ValueError(f"{str(shard.name)[:80]!r} is no name of a shard")
        if not all(isinstance(text, str) for text in texts) or not all(map(_is_count, numbers)):
            raise ValueError(f"shards: {shard.name}")
    named = ("totals", "alphabet", "rejects", "duplicates", "folded", "refused_letters", "label_lengths")
    counts = {name: getattr(index, name) for name in named}
    counts["bucket_samples"] = dict(enumerate(index.bucket_samples))
    sound = {
        "kind": isinstance(index.kind, str),
        "classes": all(isinstance(name, str) for name in index.classes),
        "subsets": all(isinstance(name, str) for name in index.subsets),
        "bucket_edges": all(0 < edge < math.inf for edge in index.bucket_edges),
        **{name: all(map(_is_count, values.values())) for name, values in counts.items()},
    }
    if damaged := [name for name, is_valid in sound.items() if not is_valid]:
        raise ValueError(damaged[0])


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def missing_shards(index: ShardIndex) -> dict[str, str]:
    """Shards whose tar or .idx is not there with its size: name -> a sentence.

    One stat a file: it finds what is missing or cut, not what is flipped.
    """
    missing = {}
    for shard in index.shards:
        sizes = {index.tar_path(shard): shard.bytes, index.idx_path(shard): idx_bytes(shard.samples)}
        for path, expected in sizes.items():
            try:
                actual = path.stat().st_size
            except FileNotFoundError:
                missing[shard.name] = f"{path} is missing, and the index names it"
            else:
                if actual != expected:
                    missing[shard.name] = f"{path} has {actual:,} bytes, the index says {expected:,}"
    return missing


def check_shards_present(index: ShardIndex) -> None:
    """ShardError where a shard is missing or cut (`missing_shards`)."""
    if sentences := list(missing_shards(index).values()):
        more = f" ({len(sentences) - 1:,} more like this)" if len(sentences) > 1 else ""
        raise ShardError(f"{sentences[0]}{more}; copy it again, or mend the set: horovod-ocr verify --repair")


def idx_bytes(samples: int) -> int:
    """The size of the .idx of so many samples."""
    return _IDX_HEADER.size + samples * IDX_RECORD.itemsize


def write_idx(path: Path, header: IdxHeader, records: np.ndarray) -> str:
    """Write one .idx (records: [samples] of `IDX_RECORD`) whole or not at all. Returns its sha256."""
    content = _IDX_HEADER.pack(
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
    """The header of an .idx file. ShardError where it is missing, of another kind or version, or cut short."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(_IDX_HEADER.size)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise ShardError(f"{path} is missing; run the same horovod-ocr shard again") from error
    except OSError as error:
        raise ShardError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(head) < _IDX_HEADER.size or not head.startswith(IDX_MAGIC):
        raise ShardError(f"{path} is not an index of a shard; copy it again, or run the same horovod-ocr shard again")
    _, version, samples, tar_bytes, tar_sha256, inputs = _IDX_HEADER.unpack(head)
    if version != IDX_VERSION:
        raise ShardError(f"{path}: version {version}, this program reads {IDX_VERSION}: shard again into a new folder")
    expected = idx_bytes(samples)
    if size != expected:
        raise ShardError(f"{path} has {size:,} bytes, its {samples:,} samples need {expected:,}; copy it again")
    return IdxHeader(samples, tar_bytes, tar_sha256.hex(), inputs.hex())


def read_idx(path: str | Path) -> np.ndarray:
    """The records of an .idx file: memory-mapped, read-only, [samples] of `IDX_RECORD`. ShardError as
    `read_idx_header`, and where one points out of the tar."""
    header = read_idx_header(path)
    if header.samples == 0:
        return np.empty(0, IDX_RECORD)
    records = np.memmap(path, IDX_RECORD, mode="r", offset=_IDX_HEADER.size, shape=(header.samples,))
    for offset, size in (("image_offset", "image_size"), ("label_offset", "label_size")):
        sizes = records[size].astype(np.uint64)
        if (sizes > header.tar_bytes).any() or (records[offset] > header.tar_bytes - sizes).any():
            raise ShardError(f"{path} is damaged: a sample lies outside of its tar; copy it again")
    return records
