"""The spool: what one range of the catalogue gave, read and checked, until all of the source is known.

Which shard a sample belongs to is known only when every image has been read (buckets, duplicates). Reading a source
twice costs two opens for each image; writing once more what was read costs sequential bytes. So each range leaves one
file: the image and the label of each sample end to end, then FACTS, then the rejects as lines of rejects.tsv, then what
was counted of letters (JSON), then a footer. Within a run of RUN_BYTES samples are sorted by split, aspect and order,
so that a shard later finds its own samples side by side.
"""

import json
import os
import struct
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from sharding.errors import ShardError
from sharding.reading.labels import LabelCounts
from sharding.reading.sample_reader import Sample
from sharding.wording import one_line

FACTS = np.dtype(
    [
        ("order", "<u8"),  # decides the position in the set
        ("digest", "<u8"),  # of the image's bytes
        ("label_hash", "<u8"),
        ("spool_at", "<u8"),  # of the image; the label follows it
        ("entry", "<u4"),  # number in the catalogue
        ("image_size", "<u4"),
        ("label_size", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("length", "<u4"),  # letters of a word's label
        ("split", "u1"),
        ("cell", "u1"),  # of ASPECT_GRID
        ("subset", "u1"),
        ("image_format", "u1"),
    ]
)
# of a Sample, between its label and the bytes that were read
_COLUMNS = Sample._fields[2:-1]
RUN_BYTES = 32 << 20
ASPECT_STEP = 1.25
# Six digits: the same bound on every machine, whatever the last bit of a power is.
ASPECT_GRID = np.array([round(ASPECT_STEP**power, 6) for power in range(-40, 60)])
_MAGIC = b"ocr-sp2\0"
# magic, samples, where FACTS begin, bytes of rejects, of what was counted, that were read, digest
_FOOTER = struct.Struct("<8sQQQQQ16s")


class RangeResult(NamedTuple):
    """What became of one range of the catalogue."""

    entries: int
    """How many it has."""
    samples: int
    """How many of them can be packed."""
    rejects: dict[str, int]
    """Reason -> entries."""
    read_bytes: int
    """Of source images."""
    counts: LabelCounts
    """Of letters, while its labels were read."""


def cells_of(widths: NDArray[Any], heights: NDArray[Any]) -> NDArray[np.intp]:
    """The cells of ASPECT_GRID that images of these sizes fall into."""
    found: NDArray[np.intp] = np.searchsorted(ASPECT_GRID, widths / heights)
    return found


class SpoolWriter:
    """Fills one spool file. order: of the entries of the range, the first of which has the number `first`."""

    def __init__(self, file: BinaryIO, order: NDArray[np.uint64], first: int) -> None:
        self._file, self._order, self._first = file, order, first
        self._samples: list[Sample] = []
        self._held = self._at = self._read = 0
        self._facts: list[NDArray[np.void]] = []
        self._rejects: list[bytes] = []
        self._reasons: Counter[str] = Counter()

    def add(self, sample: Sample) -> None:
        self._samples.append(sample)
        self._held += len(sample[0])
        if self._held >= RUN_BYTES:
            self._write_run()

    def reject(self, path: bytes, reason: str, detail: str) -> None:
        self._reasons[reason] += 1
        self._rejects.append(tsv_line(path, reason, detail))

    def _write_run(self) -> None:
        if not self._samples:
            return
        images, labels, *columns, read_bytes = zip(*self._samples, strict=True)
        facts = np.zeros(len(images), FACTS)
        for name, values in zip(_COLUMNS, columns, strict=True):
            facts[name] = np.fromiter(values, FACTS[name], len(values))
        facts["order"] = self._order[facts["entry"] - self._first]
        facts["cell"] = cells_of(facts["width"], facts["height"])
        facts["image_size"] = np.fromiter(map(len, images), np.uint32, len(images))
        facts["label_size"] = np.fromiter(map(len, labels), np.uint32, len(images))
        self._read += sum(read_bytes)
        positions = np.lexsort((facts["order"], facts["cell"], facts["split"]))
        facts = facts[positions]
        sizes = facts["image_size"].astype(np.int64) + facts["label_size"]
        facts["spool_at"] = self._at + np.cumsum(sizes) - sizes
        self._file.write(
            b"".join([part for position in positions.tolist() for part in (images[position], labels[position])])
        )
        self._at += int(sizes.sum())
        self._facts.append(facts)
        self._samples, self._held = [], 0

    def finish(self, entries: int, counts: LabelCounts) -> RangeResult:
        """Write what follows the samples. entries: of the whole range."""
        self._write_run()
        counted = json.dumps(counts._asdict(), ensure_ascii=False).encode()
        facts = b"".join(facts.tobytes() for facts in self._facts)
        rejects = b"".join(self._rejects)
        content, samples = facts + rejects + counted, len(facts) // FACTS.itemsize
        sizes = (len(rejects), len(counted), self._read)
        self._file.write(content + _FOOTER.pack(_MAGIC, samples, self._at, *sizes, xxh3_128_digest(content)))
        return RangeResult(entries, samples, dict(self._reasons), self._read, counts)


class Spooled(NamedTuple):
    """A spool file that is whole."""

    facts: NDArray[np.void]
    """FACTS rows."""
    rejects: bytes
    """Lines of rejects.tsv."""
    counts: LabelCounts
    """As in `RangeResult`."""
    read_bytes: int
    """As in `RangeResult`."""


def read_spool(path: Path) -> Spooled:
    """The facts and rejects of one spool file. ShardError if it is missing or damaged."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _FOOTER.size))
            footer = _FOOTER.unpack(file.read(_FOOTER.size))
            magic, samples, facts_at, rejects_bytes, counts_bytes, read_bytes, digest = footer
            file.seek(facts_at)
            content = file.read(size - _FOOTER.size - facts_at)
    except (OSError, struct.error, ValueError, OverflowError) as error:  # the last two: impossible offsets
        raise ShardError(f"{path} cannot be read ({error}); run the same horovod-ocr shard again") from error
    facts_bytes = samples * FACTS.itemsize
    counts_at = facts_bytes + rejects_bytes
    whole = magic == _MAGIC and len(content) == counts_at + counts_bytes
    if not whole or xxh3_128_digest(content) != digest:
        raise ShardError(f"{path} is damaged; delete it and run the same horovod-ocr shard again")
    counted = json.loads(content[counts_at:])
    counts = LabelCounts(*(Counter(counted[name]) for name in LabelCounts._fields))
    return Spooled(np.frombuffer(content, FACTS, samples), content[facts_bytes:counts_at], counts, read_bytes)


def result_of(path: Path, entries: int) -> RangeResult | None:
    """What an earlier run found in this range; None if its file is missing or not whole."""
    try:
        spooled = read_spool(path)
    except ShardError:
        return None
    reasons = Counter(line.split(b"\t")[1].decode() for line in spooled.rejects.splitlines())
    if len(spooled.facts) + reasons.total() != entries:
        return None  # of a range that another version of this program has chosen
    return RangeResult(entries, len(spooled.facts), dict(reasons), spooled.read_bytes, spooled.counts)


def tsv_line(*fields: bytes | str) -> bytes:
    """One line of rejects.tsv or duplicates.tsv; white space and line ends within a field become single spaces."""
    texts = (field.decode("utf-8", "backslashreplace") if isinstance(field, bytes) else field for field in fields)
    return "\t".join(map(one_line, texts)).encode("utf-8", "backslashreplace") + b"\n"
