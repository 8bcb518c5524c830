"""Prove a shard set: read every byte of it, and count again everything that its index says.

Damage belongs to one shard and never hides that of another; problems belong to the set, which is what its index says of
all shards together.
"""

import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharding.errors import ConfigError, ShardError
from sharding.format.index import ShardIndex, ShardInfo, read_index
from sharding.format.splits import SHARD_FILE, SPLITS, shard_name
from sharding.progress import Progress, Report
from sharding.system.machine import usable_cores
from sharding.system.workers import Workers, killed_workers_named, open_workers
from sharding.verify.proof import ProofTask, ShardProof, prove_shard
from sharding.wording import some_names

_BYTES_FOR_A_PROCESS = 128 << 20  # a smaller set is done before one has started
_SHOWN = 5


@dataclass(frozen=True)
class VerifyReport:
    """What was found in a set."""

    samples: int
    """As the index says."""
    shards: int
    """As the index says."""
    bytes: int
    """Of the tars, as the index says."""
    damaged: dict[str, tuple[str, ...]]
    """Name of a shard -> what is wrong with it, in sentences."""
    problems: tuple[str, ...]
    """What is wrong with the set."""
    strays: tuple[str, ...]
    """Files of shards that the index does not name; no reader reads them."""
    images_in_two_splits: int
    """Different images in more than one split of the undamaged shards."""
    labels_in_two_splits: int
    """Different labels in more than one split of the undamaged shards; a problem if the set is split by label."""
    seconds: float
    """How long it took."""
    repaired: tuple[str, ...] = ()
    """Shards that `repair_set` has made again."""
    restored_index: bool = False
    """`repair_set` has restored index.json."""

    @property
    def ok(self) -> bool:
        return not self.wrong

    @property
    def wrong(self) -> int:
        """Number of damaged shards and of problems."""
        return len(self.damaged) + len(self.problems)


def verify_shards(root: Path, workers: int | None = None, report: Report | None = None) -> VerifyReport:
    """Read a whole shard set and report what is wrong with it.

    workers: processes; None: one for each usable core. report: called with a Progress after each shard. ShardError if
    there is no index that can be read.
    """
    proof = SetProof(read_index(root))
    with shard_errors(root, "horovod-ocr verify"):
        with open_workers(workers_for(proof.index, workers)) as pool:
            proof.prove(proof.index.shards, pool, report or (lambda progress: None))
        return proof.report()


def workers_for(index: ShardIndex, workers: int | None) -> int:
    """The processes asked for, or as many as reading the set is worth."""
    if workers is not None and workers < 1:
        raise ConfigError(f"workers is {workers}; at least 1 is needed")
    return workers or min(usable_cores(), 1 + sum(shard.bytes for shard in index.shards) // _BYTES_FOR_A_PROCESS)


@contextmanager
def shard_errors(root: Path, command: str) -> Iterator[None]:
    """Turn what the system refuses into a ShardError."""
    try:
        with killed_workers_named(command):
            yield
    except OSError as error:
        raise ShardError(f"{error.filename or root}: {error.strerror}; fix that, then run {command} again") from error


def _tasks_of(index: ShardIndex, shards: Collection[ShardInfo]) -> Iterator[ProofTask]:
    root = index.root.absolute()  # the workers' working folder is another one
    for shard in shards:
        yield ProofTask(root, shard, index.profile, len(index.classes), len(index.subsets), index.bucket_edges)


class SetProof:
    """The proof of a set, as far as it has come. Holds 8 bytes for each image, and for each label of a shard."""

    def __init__(self, index: ShardIndex) -> None:
        self.index = index
        self.damaged: dict[str, tuple[str, ...]] = {}
        self.whole: list[tuple[ShardInfo, int]] = []  # the undamaged shards, and their first keys
        self.letters: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self.label_lengths: Counter[int] = Counter()
        self.class_samples: Counter[str] = Counter()  # "ant in train" -> samples
        self._images: dict[str, list[NDArray[np.uint64]]] = {split: [] for split in SPLITS}
        self._labels: dict[str, list[NDArray[np.uint64]]] = {split: [] for split in SPLITS}
        self._started = time.monotonic()

    def prove(self, shards: Collection[ShardInfo], pool: Workers, report: Report) -> None:
        """Verify these shards. Only shards already found damaged may be verified again."""
        samples, done, read_bytes = sum(shard.samples for shard in shards), 0, 0
        for shard in shards:
            self.damaged.pop(shard.name, None)
        for proof in pool.run(prove_shard, _tasks_of(self.index, shards)):
            self._add(proof)
            done, read_bytes = done + proof.shard.samples, read_bytes + proof.shard.bytes
            report(Progress("verifying", done, samples, read_bytes))

    def report(self) -> VerifyReport:
        """What is wrong, once every shard was read."""
        index = self.index
        images, labels = _count_in_two(self._images), _count_in_two(self._labels)
        problems = [*_wrong_in_index(index), *_wrong_keys(self), *_wrong_contents(self)]
        if labels and _is_split_by_label(index):
            problems.append(f"{labels:,} labels occur in more than one split, though the set is split by label")
        return VerifyReport(
            samples=sum(shard.samples for shard in index.shards),
            shards=len(index.shards),
            bytes=sum(shard.bytes for shard in index.shards),
            damaged=dict(self.damaged),
            problems=tuple(problems),
            strays=_strays(index),
            images_in_two_splits=images,
            labels_in_two_splits=labels,
            seconds=time.monotonic() - self._started,
        )

    def _add(self, proof: ShardProof) -> None:
        shard = proof.shard
        if proof.damage:
            self.damaged[shard.name] = (*self.damaged.get(shard.name, ()), *proof.damage)
            return
        self.whole.append((shard, proof.first_key))
        self.letters[shard.split].update(proof.letters)
        self.label_lengths.update(proof.label_lengths)
        for number, count in proof.class_samples.items():
            self.class_samples[f"{self.index.classes[number]} in {shard.split}"] += count
        self._images[shard.split].append(proof.image_digests)
        self._labels[shard.split].append(proof.label_hashes)


def _wrong_in_index(index: ShardIndex) -> Iterator[str]:
    """Contradictions within the index."""
    numbers: Counter[str] = Counter()
    totals, histogram = dict.fromkeys(SPLITS, 0), [0] * len(index.bucket_edges)
    for shard in index.shards:
        if shard.name != shard_name(shard.split, numbers[shard.split]):
            yield f"the index names {shard.name} where {shard_name(shard.split, numbers[shard.split])} is its turn"
        numbers[shard.split] += 1
        totals[shard.split] += shard.samples
        if shard.bucket < len(histogram):
            histogram[shard.bucket] += shard.samples
        else:
            yield f"{shard.name} has bucket {shard.bucket}, the index names {len(histogram)}"
    if not index.shards:
        yield "the index names no shards"
    if index.counts.totals != totals:
        yield f"the index says {_shown(index.counts.totals)} samples, its shards add to {_shown(totals)}"
    if list(index.counts.bucket_samples) != histogram:
        yield f"the index says {list(index.counts.bucket_samples)} samples of each bucket, its shards hold {histogram}"
    if list(index.bucket_edges) != sorted(set(index.bucket_edges)):
        yield "the bucket edges of the index do not ascend"
    if list(index.alphabet) != sorted(index.alphabet):
        yield "the alphabet of the index is not in the order of code points"
    if (index.kind == "classes") != bool(index.classes) or list(index.classes) != sorted(set(index.classes)):
        yield f"the index is one of {index.kind}, with {len(index.classes):,} classes: not sorted, or not its kind"
    yield from _wrong_sizes(index)


def _wrong_sizes(index: ShardIndex) -> Iterator[str]:
    """Every shard but the last of a split and bucket has the same count."""
    full = index.options.get("samples_per_shard")
    last = {(shard.split, shard.bucket): shard.name for shard in index.shards}
    for shard in index.shards:
        is_last = last[shard.split, shard.bucket] == shard.name
        if shard.samples != full and not (is_last and isinstance(full, int) and 0 < shard.samples < full):
            yield f"{shard.name} has {shard.samples:,} samples, the index says {full} a shard"


def _wrong_keys(proof: SetProof) -> Iterator[str]:
    """Keys are numbers, one after the other over the whole set; those of damaged shards are not known."""
    by_key = sorted(proof.whole, key=lambda shard: shard[1])
    for (shard, first), (after, first_after) in zip(by_key, by_key[1:], strict=False):
        if first + shard.samples > first_after:
            yield f"{shard.name} and {after.name} hold samples of the same key, {first_after:09d}"
    expected, first_keys = 0, {shard.name: first for shard, first in proof.whole}
    for shard in [] if proof.damaged else proof.index.shards:
        if first_keys[shard.name] != expected:
            yield f"the keys of {shard.name} begin at {first_keys[shard.name]:09d}, where {expected:09d} is the next"
        expected = first_keys[shard.name] + shard.samples


def _wrong_contents(proof: SetProof) -> Iterator[str]:
    """Letters, label lengths and classes, counted again. An older index may hold no counts of classes."""
    index, of_classes = proof.index, proof.index.counts.class_samples
    letters = {letter: proof.letters["train"][letter] for counts in proof.letters.values() for letter in counts}
    classes = {
        f"{name} in {split}": count
        for split in of_classes
        for name, count in zip(index.classes, of_classes[split], strict=True)
        if count
    }
    counts: tuple[tuple[str, Mapping[Any, int], Mapping[Any, int]], ...] = (
        ("letter", index.alphabet, letters),
        ("label length", index.counts.label_lengths, proof.label_lengths),
        ("class", classes, proof.class_samples if of_classes else {}),
    )
    for name, said, counted in counts:
        wrong = [
            f"{key!r} {counted.get(key, 0):,} instead of {said.get(key, 0):,}"
            for key in sorted(said.keys() | counted.keys())
            if _differs(said.get(key), counted.get(key), complete=not proof.damaged)
        ]
        if wrong:
            yield f"counts of each {name} in the shards and in the index: {some_names(wrong, _SHOWN)}"


def _differs(said: int | None, counted: int | None, complete: bool) -> bool:
    """complete: all shards were counted; else the counts can only be too high."""
    if complete or said is None:
        return said != counted
    return counted is not None and counted > said


def _strays(index: ShardIndex) -> tuple[str, ...]:
    named = {shard.name for shard in index.shards}
    names = sorted(os.listdir(index.root))
    return tuple(name for name in names if (match := SHARD_FILE.fullmatch(name)) and match["name"] not in named)


def _is_split_by_label(index: ShardIndex) -> bool:
    """Were the labels kept apart? Not if a source has given the splits."""
    options = index.options
    return options.get("split") == "label" and not options.get("given_splits", True) and index.kind == "words"


def _count_in_two(values: dict[str, list[NDArray[np.uint64]]]) -> int:
    """How many different values occur in more than one split. values: of each split, arrays that are ascending."""
    smaller_first = sorted((arrays for arrays in values.values() if arrays), key=lambda arrays: sum(map(len, arrays)))
    both = [_shared(few, many) for few, many in combinations(smaller_first, 2)]
    return len(np.unique(np.concatenate(both))) if both else 0


def _shared(few: list[NDArray[np.uint64]], many: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The values of `few` that `many` hold too; `many` are never concatenated."""
    values = np.unique(np.concatenate(few))
    hit = np.zeros(len(values), bool)
    for array in many if len(values) else ():
        at = np.searchsorted(values, array).clip(max=len(values) - 1)
        hit[at[values[at] == array]] = True
    return values[hit]


def _shown(totals: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in totals.items())
