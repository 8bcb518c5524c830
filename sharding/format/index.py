"""index.json: what a shard set promises to its readers.

It is written last and is the commit point: if it is there, every shard it names is whole. Readers trust it and never
list the folder. Beside each `train-000042.tar` is `train-000042.idx` (idx.py).
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sharding.errors import ConfigError, ShardError
from sharding.format.frames import Frames
from sharding.format.idx import idx_bytes
from sharding.format.script.profile import ScriptProfile
from sharding.format.splits import SHARD_FILE, SPLITS
from sharding.system.files import fsync_folder, write_whole

FORMAT = "horovod-ocr shards"
# 4: bucket, bucket_edges, bucket_samples (3: aspect_class, aspect_edges, aspect_histogram), and frames
VERSION = 4
INDEX_NAME = "index.json"


@dataclass(frozen=True)
class ShardInfo:
    """One shard."""

    name: str
    """Without suffix, such as `train-000042`."""
    split: str
    """One of SPLITS; the name begins with it."""
    bucket: int
    """Position in ShardIndex.bucket_edges."""
    samples: int
    """How many it holds."""
    bytes: int
    """Size of the tar."""
    sha256: str
    """Digest of the tar."""
    idx_sha256: str = ""
    """Digest of the .idx; empty if there are no files, as in a simulated set."""

    @property
    def tar_name(self) -> str:
        return f"{self.name}.tar"

    @property
    def idx_name(self) -> str:
        return f"{self.name}.idx"


@dataclass(frozen=True)
class SetCounts:
    """What was counted while a set was made."""

    totals: dict[str, int] = field(default_factory=dict)
    """Samples of each split."""
    label_lengths: dict[int, int] = field(default_factory=dict)
    """Length of a label -> samples; empty for classes."""
    bucket_samples: tuple[int, ...] = ()
    """Samples of each bucket, over all splits."""
    class_samples: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Split -> samples of each class, in the order of `ShardIndex.classes`; empty for words."""
    rejects: dict[str, int] = field(default_factory=dict)
    """Reason -> samples."""
    duplicates: dict[str, int] = field(default_factory=dict)
    """Copies of an image in the "same split" and "across splits", and how many of them were "left out"."""
    folded: dict[str, int] = field(default_factory=dict)
    """"ي → ی" -> how often a letter of a label became another, the most frequent first."""
    refused_letters: dict[str, int] = field(default_factory=dict)
    """Letters that the profile does not allow -> how often they were met, the most frequent first."""


@dataclass(frozen=True)
class ShardIndex:
    """Everything a shard set says of itself."""

    root: Path
    """Folder of the shards; index.json does not name it, so a set can be moved."""
    kind: str
    """"words" or "classes"."""
    seed: int
    """At least 0; split and order of the samples follow from it."""
    profile: ScriptProfile
    """By which its labels are normalised, and in which direction they are read."""
    alphabet: dict[str, int]
    """Letter -> how often it occurs in the train split (0: only in other splits), in the order of code points."""
    classes: tuple[str, ...]
    """Sorted names; `.cls` holds the position of one. Empty for words."""
    bucket_edges: tuple[float, ...]
    """Upper width / height of each bucket, ascending."""
    shards: tuple[ShardInfo, ...]
    """Of all splits; `of` gives those of one."""
    subsets: tuple[str, ...] = ("",)
    """Names, "" first."""
    counts: SetCounts = SetCounts()
    """Of samples, rejects, copies and letters."""
    frames: Frames = Frames()
    """The geometry by which labels were checked against their images."""
    options: dict[str, Any] = field(default_factory=dict)
    """The options that shape the bytes."""
    digest: str = ""
    """sha256 of the bytes of index.json."""

    def of(self, split: str) -> tuple[ShardInfo, ...]:
        """The shards of one split, in the order of the index."""
        return tuple(shard for shard in self.shards if shard.split == split)

    def tar_path(self, shard: ShardInfo) -> Path:
        return self.root / shard.tar_name

    def idx_path(self, shard: ShardInfo) -> Path:
        return self.root / shard.idx_name


def write_index(index: ShardIndex) -> str:
    """Write index.json under another name, fsync, rename. Returns its sha256: the digest of the set.

    It is the commit point: every shard that it names is made durable before it.
    """
    fsync_folder(index.root)
    counts = index.counts
    values = {
        "format": FORMAT,
        "version": VERSION,
        "kind": index.kind,
        "seed": index.seed,
        "totals": counts.totals,
        "rejects": counts.rejects,
        "duplicates": counts.duplicates,
        "folded": counts.folded,
        "refused_letters": counts.refused_letters,
        "options": index.options,
        "profile": index.profile.to_dict(),
        "frames": asdict(index.frames),
        "alphabet": index.alphabet,
        "classes": list(index.classes),
        "subsets": list(index.subsets),
        "label_lengths": {str(length): count for length, count in sorted(counts.label_lengths.items())},
        "bucket_edges": list(index.bucket_edges),
        "bucket_samples": list(counts.bucket_samples),
        "class_samples": {split: list(samples) for split, samples in counts.class_samples.items()},
        "shards": [dict(vars(shard)) for shard in index.shards],
    }
    content = json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
    write_whole(index.root / INDEX_NAME, content)
    return hashlib.sha256(content).hexdigest()


def read_index(folder: str | Path) -> ShardIndex:
    """The index of a shard set. ShardError if there is none, it is damaged, or another version wrote it."""
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
    return parse_index(content, root, str(path))


def is_index(content: bytes) -> bool:
    """Are these the bytes of an index.json, of any version, damaged or not?"""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("format") == FORMAT


def parse_index(content: bytes, root: Path, where: str) -> ShardIndex:
    """The index whose shards are in the folder `root`, from the bytes of index.json. ShardError as `read_index`.

    where: what its sentences call the file."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{where} is damaged ({error}); make the shards again: horovod-ocr shard --src ...") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ShardError(f"{where} is not an index of {FORMAT}; name a folder that horovod-ocr shard has made")
    version = values.get("version")
    if version != VERSION:
        is_newer = isinstance(version, int) and version > VERSION
        advice = "update horovod-ocr, or " if is_newer else ""
        raise ShardError(
            f"{where}: index version {str(version)[:20]}, this program reads {VERSION}: "
            f"{advice}shard again with: horovod-ocr shard --src ... --out NEW_FOLDER"
        )
    try:
        index = _index_of(root, values, hashlib.sha256(content).hexdigest())
        _check_values(index)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, ConfigError) as error:
        raise ShardError(
            f"{where} is damaged ({repr(error)[:200]}); copy it again, or make the shards again: horovod-ocr shard ..."
        ) from error
    return index


def _index_of(root: Path, values: dict[str, Any], digest: str) -> ShardIndex:
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
        counts=SetCounts(
            totals=dict(values["totals"]),
            label_lengths={int(length): count for length, count in values["label_lengths"].items()},
            bucket_samples=tuple(values["bucket_samples"]),
            # sets of earlier versions lack it
            class_samples={split: tuple(samples) for split, samples in values.get("class_samples", {}).items()},
            rejects=dict(values["rejects"]),
            duplicates=dict(values["duplicates"]),
            folded=dict(values["folded"]),
            refused_letters=dict(values["refused_letters"]),
        ),
        frames=Frames(**values["frames"]),
        options=dict(values["options"]),
        digest=digest,
    )


def _check_values(index: ShardIndex) -> None:
    """ValueError that names the first field whose values are of another kind."""
    for shard in index.shards:
        texts, numbers = (shard.sha256, shard.idx_sha256), (shard.bucket, shard.samples, shard.bytes)
        if not SHARD_FILE.fullmatch(f"{shard.name}.tar"):  # it becomes a path, and part of a command
            raise ValueError(f"{str(shard.name)[:80]!r} is not a name of a shard")
        if shard.split != shard.name.rpartition("-")[0]:
            raise ValueError(f"{shard.name} is not a shard of the split {shard.split!r}")
        if not all(isinstance(text, str) for text in texts) or not all(map(_is_count, numbers)):
            raise ValueError(f"shards: {shard.name}")
    counts: dict[str, dict[Any, int]] = asdict(index.counts) | {"alphabet": index.alphabet}
    counts["bucket_samples"] = dict(enumerate(index.counts.bucket_samples))
    of_classes = index.counts.class_samples
    counts["class_samples"] = {(split, n): each for split in of_classes for n, each in enumerate(of_classes[split])}
    is_valid = {
        "kind": isinstance(index.kind, str),
        "classes": all(isinstance(name, str) for name in index.classes),
        "subsets": all(isinstance(name, str) for name in index.subsets),
        "bucket_edges": all(0 < edge < math.inf for edge in index.bucket_edges),
        "frames": all(_is_count(length) and length > 0 for length in asdict(index.frames).values()),
        **{name: all(map(_is_count, values.values())) for name, values in counts.items()},
        "splits of class_samples": tuple(of_classes) in ((), SPLITS),
        "classes of class_samples": all(len(samples) == len(index.classes) for samples in of_classes.values()),
    }
    if invalid := [name for name, valid in is_valid.items() if not valid]:
        raise ValueError(invalid[0])


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def missing_shards(index: ShardIndex) -> dict[str, str]:
    """Shards whose tar or .idx is missing or of another size: name -> a sentence.

    One stat a file: it finds what is missing or cut, not changed bytes.
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
    """ShardError if a shard is missing or cut (`missing_shards`)."""
    if sentences := list(missing_shards(index).values()):
        more = f" ({len(sentences) - 1:,} more like this)" if len(sentences) > 1 else ""
        raise ShardError(f"{sentences[0]}{more}; copy it again, or repair the set: horovod-ocr verify --repair")
