"""Read one shard to its last byte: is it what the index and its .idx say, and what a writer of shards promises?

Digests that agree show that nothing has changed since the shard was written. The walk through its samples shows that
what was written is right. Files are read, not memory-mapped: a disk that fails under a memory map kills the process.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sharding.errors import ShardError
from sharding.format.idx import IDX_RECORD, STORED_SUFFIXES, SUFFIX_BYTES, SampleRecord, digest_of, read_idx_header
from sharding.format.index import ShardInfo
from sharding.format.script.order import is_mark
from sharding.format.script.profile import ScriptProfile
from sharding.format.tar import BLOCK, END, lay_out, member_headers, padded
from sharding.images.limits import Limits
from sharding.images.read import ImageRule, read_image
from sharding.reading.hashes import hash_paths
from sharding.reasons import Rejected

_TOGETHER_BYTES = 4 << 20
_ANY_SIZE = Limits(max_pixels=1 << 62, max_aspect=math.inf)
_HEADER = ImageRule("header")


@dataclass(frozen=True)
class ProofTask:
    """What the index says about one shard."""

    root: Path
    """Folder of the set."""
    shard: ShardInfo
    """What its tar and its .idx are compared with."""
    profile: ScriptProfile
    """Labels must be normalised by it, and hold no letter that it refuses."""
    classes: int
    """How many there are; 0 for words."""
    subsets: int
    """How many there are."""
    bucket_edges: tuple[float, ...]
    """As in `ShardIndex`."""


@dataclass
class ShardProof:
    """What a shard holds, and what is wrong with it."""

    shard: ShardInfo
    """As in `ProofTask`."""
    damage: list[str] = field(default_factory=list)
    """Sentences; if there are any, the rest may be missing."""
    first_key: int = -1
    """The number in the key of its first sample."""
    letters: Counter[str] = field(default_factory=Counter)
    """Of the labels of words."""
    label_lengths: Counter[int] = field(default_factory=Counter)
    """Length -> samples, for words."""
    class_samples: Counter[int] = field(default_factory=Counter)
    """Number of a class -> samples."""
    image_digests: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.uint64))
    """uint64, each value once, ascending."""
    label_hashes: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.uint64))
    """uint64, each value once, ascending."""


def prove_shard(task: ProofTask) -> ShardProof:
    """Read one shard. Whatever is wrong with it is in the proof, nothing is raised."""
    proof = ShardProof(task.shard)
    records = _prove_idx(task, proof.damage)
    walk = None if records is None else _Walk(task, records)
    try:
        with (task.root / task.shard.tar_name).open("rb") as file:
            _prove_tar(task.shard, file, walk, proof.damage)
    except FileNotFoundError:
        proof.damage.append(f"{task.shard.tar_name} is missing")
    except OSError as error:
        proof.damage.append(f"{task.shard.tar_name} cannot be read ({error.strerror})")
    if walk is not None and not proof.damage:
        walk.summarise(proof)
    return proof


def _prove_idx(task: ProofTask, damage: list[str]) -> NDArray[Any] | None:
    """The records of the .idx, if they can be followed through the tar."""
    shard, path = task.shard, task.root / task.shard.idx_name
    try:
        header = read_idx_header(path)
        content = path.read_bytes()
    except ShardError as error:
        damage.append(str(error))
        return None
    except OSError as error:
        damage.append(f"{shard.idx_name} cannot be read ({error.strerror})")
        return None
    if hashlib.sha256(content).hexdigest() != shard.idx_sha256:
        damage.append(f"{shard.idx_name} is not the file that the index names (its sha256 is another)")
        return None
    said = (header.samples, header.tar_bytes, header.tar_sha256)
    if said != (shard.samples, shard.bytes, shard.sha256):
        damage.append(
            f"{shard.idx_name} and the index differ: {header.samples:,} samples in {header.tar_bytes:,} bytes with "
            f"sha256 {header.tar_sha256:.8}..., and {shard.samples:,} in {shard.bytes:,} with {shard.sha256:.8}..."
        )
        return None
    records = np.frombuffer(content[len(content) - header.samples * IDX_RECORD.itemsize :], IDX_RECORD)
    found = list(_wrong_records(task, records))
    damage.extend(f"{shard.idx_name}: {sentence}" for sentence in found)
    return None if found else records


def _wrong_records(task: ProofTask, records: NDArray[Any]) -> Iterator[str]:
    """What cannot be true in the records, whatever the tar holds."""
    if len(records) == 0:
        yield "no samples"
        return
    sizes = np.stack([records["image_size"], records["label_size"]], axis=1).astype(np.int64)
    expected, ends = lay_out(sizes)
    offsets = np.stack([records["image_offset"], records["label_offset"]], axis=1)
    wrong = {
        "an offset that does not follow from the sizes before it": (offsets != expected).any(axis=1),
        "an unknown image format": records["image_format"] >= len(STORED_SUFFIXES),
        "a subset that the index does not name": records["subset"] >= task.subsets,
        "an empty image": (records["image_size"] == 0) | (records["width"] == 0) | (records["height"] == 0),
    }
    if task.classes:
        wrong["a label length, though its label is a class"] = records["label_length"] != 0
    aspects = records["width"] / np.maximum(records["height"], 1)
    buckets = np.searchsorted(np.array(task.bucket_edges), aspects)
    wrong["a width / height outside the shard's bucket"] = buckets != task.shard.bucket
    for what, rows in wrong.items():
        if rows.any():
            yield f"{what} (samples: {int(rows.sum()):,}, the first: number {int(rows.argmax()):,} of the shard)"
    if ends[-1, 1] + len(END) != task.shard.bytes:
        yield f"its samples take {ends[-1, 1] + len(END):,} bytes, the tar has {task.shard.bytes:,}"


def _prove_tar(shard: ShardInfo, file: BufferedReader, walk: "_Walk | None", damage: list[str]) -> None:
    size = file.seek(0, 2)
    file.seek(0)
    if size != shard.bytes:
        damage.append(f"{shard.tar_name} has {size:,} bytes, the index says {shard.bytes:,}")
        return
    sha256 = hashlib.sha256()
    if walk:
        for first, last, block_bytes in walk.blocks():
            block = np.zeros(block_bytes, np.uint8)
            file.readinto(block.data)
            sha256.update(block.data)
            walk.take(first, last, block)
    ends_well = True
    while rest := file.read(_TOGETHER_BYTES):
        sha256.update(rest)
        ends_well = rest == END
    if sha256.hexdigest() != shard.sha256:
        damage.append(f"{shard.tar_name} is not the file that the index names (its sha256 is another)")
    if walk:
        damage.extend(f"{shard.tar_name}: {sentence}" for sentence in walk.findings())
        if not ends_well:
            damage.append(f"{shard.tar_name} does not end in two empty blocks")


class _Walk:
    """The way through a tar by the records of its .idx."""

    def __init__(self, task: ProofTask, records: NDArray[Any]) -> None:
        self._task, self._records = task, records
        self._ends = records["label_offset"].astype(np.int64) + padded(records["label_size"].astype(np.int64))
        self._class_labels = frozenset(str(number).encode() for number in range(task.classes))
        self._labels: Counter[bytes] = Counter()
        self._judged: dict[bytes, tuple[int, str]] = {}  # label -> its length, what is wrong with it
        self._first_key = -1
        self._found: dict[str, list[int]] = {}  # what -> how often, number of the first sample

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """(first, last, bytes) of runs of samples that are read together, at least one each."""
        first = start = 0
        while first < len(self._ends):
            last = max(first + 1, int(np.searchsorted(self._ends, start + _TOGETHER_BYTES, "right")))
            end = int(self._ends[last - 1])
            yield first, last, end - start
            first, start = last, end

    def take(self, first: int, last: int, block: NDArray[Any]) -> None:
        """Check the samples from first to last; block: their bytes, uint8. They are zero afterwards."""
        start = int(self._ends[first - 1]) if first else 0
        if first == 0:
            key = block[:9].tobytes()
            self._first_key = int(key) if key.isdigit() and int(key) + len(self._ends) <= 10**9 else 0
        records = self._records[first:last].copy()
        records["image_offset"] -= start
        records["label_offset"] -= start
        for position, record in enumerate(map(SampleRecord._make, records.tolist()), first):
            image, label = block[record.image].tobytes(), block[record.label].tobytes()
            if digest_of(image) != record.digest:
                self._add("an image that is not the one of the .idx (its digest is another)", position)
            elif wrong := _wrong_image(image, record):
                self._add(wrong, position)
            self._take_label(label, record, position)
            block[record.image] = 0
            block[record.label] = 0
        self._take_headers(first, start, records, block.reshape(-1, BLOCK))

    def _take_headers(self, first: int, start: int, records: NDArray[Any], blocks: NDArray[Any]) -> None:
        """Only headers are left in the blocks now: exactly those that the writer makes for keys without a gap."""
        keys = self._first_key + first + np.arange(len(records))
        label_suffixes = np.full(len(records), b"cls" if self._task.classes else b"txt")
        for part, suffixes in (("image", SUFFIX_BYTES[records["image_format"]]), ("label", label_suffixes)):
            at = records[f"{part}_offset"].astype(np.int64) // BLOCK - 1
            expected = member_headers(keys, suffixes, records[f"{part}_size"])
            for position in np.flatnonzero((blocks[at] != expected).any(axis=1)):
                self._add(f"a header of the {part} member that its key and size do not give", first + int(position))
            blocks[at] = 0
        for position in np.flatnonzero(blocks.any(axis=1)):
            sample = np.searchsorted(self._ends, start + int(position) * BLOCK, "right")
            self._add("padding that is not zero", int(sample))

    def _take_label(self, label: bytes, record: SampleRecord, position: int) -> None:
        self._labels[label] += 1
        if crc32(label) != record.label_crc32:
            self._add("a label that is not the one of the .idx (its CRC-32 is another)", position)
            return
        judged = self._judged.get(label)
        if judged is None:
            judged = self._judged[label] = self._judge(label)
        if judged[1]:
            self._add(judged[1], position)
        elif judged[0] != record.label_length:
            self._add("a label of another length than the .idx says", position)

    def _judge(self, label: bytes) -> tuple[int, str]:
        """(length, what is wrong with it) of one label."""
        if self._task.classes:
            return 0, "" if label in self._class_labels else "a class number that the index does not name"
        try:
            text = label.decode("utf-8")
        except UnicodeDecodeError:
            return 0, "a label that is not UTF-8"
        profile = self._task.profile
        if not text or profile.normalise(text) != text:
            return 0, "a label that is not normalised"
        if profile.unknown(text):
            return 0, "a label with letters that the profile does not allow"
        return len(text), "a label that starts with a mark" if is_mark(text[0]) else ""

    def _add(self, what: str, position: int) -> None:
        self._found.setdefault(what, [0, position])[0] += 1

    def findings(self) -> Iterator[str]:
        """What is wrong, a sentence for each kind of it."""
        for what, (count, position) in self._found.items():
            yield f"{what} (samples: {count:,}, the first: {self._first_key + position:09d})"

    def summarise(self, proof: ShardProof) -> None:
        """Enter what the walk has counted into the proof."""
        proof.first_key = self._first_key
        proof.image_digests = np.unique(self._records["digest"])
        if self._task.classes:
            proof.class_samples = Counter({int(label): count for label, count in self._labels.items()})
            return
        texts = [label.decode("utf-8") for label in self._labels]
        for text, count in zip(texts, self._labels.values(), strict=True):
            proof.label_lengths[len(text)] += count
        proof.letters.update("".join(text * count for text, count in zip(texts, self._labels.values(), strict=True)))
        proof.label_hashes = np.unique(hash_paths(b"label ", self._labels, len(self._labels)))


def _wrong_image(image: bytes, record: SampleRecord) -> str:
    """What is wrong with an image whose digest is right; mostly ""."""
    try:
        seen = read_image(image, _ANY_SIZE, _HEADER)
    except Rejected as why:
        return f"an image that cannot be used ({why.reason})"
    if seen.content is not image:
        return "an image that a shard does not hold as it is (it should have been converted)"
    if (seen.width, seen.height, seen.image_format) != (record.width, record.height, record.image_format):
        return "an image of another size or format than the .idx says"
    return ""
