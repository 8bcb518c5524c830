"""The build: a raw folder -> a shard set, with several workers, taken up again after any interruption.

Two passes over the images: the first checks every one, the second packs those that are fine. Between them stands all
that is decided for the set as a whole (splits, aspect classes, order), so the bytes are the same for any number of
workers, for any restart and for any order in which the file system lists the source.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from sharding.assign import (
    ShardPlan,
    build_aspect_edges,
    classes_of,
    default_samples_per_shard,
    plan_shards,
    shuffle_order,
)
from sharding.check import Limits
from sharding.errors import ConfigError, ShardError, SourceError
from sharding.files import write_whole
from sharding.images import CHECKS, ImageRule
from sharding.index import ShardIndex, ShardInfo, read_index, write_index
from sharding.inspection import CheckTask, Inspected, inspect_entries
from sharding.pack import PackTask, Sample, pack_shard
from sharding.resume import fingerprint, open_build, remove_other_shards
from sharding.script import ScriptProfile, build_profile, guess_profile
from sharding.sources import RawSet, read_source
from sharding.split import SPLITS, choose_split
from sharding.workers import Workers, open_workers, usable_cores

REJECTS_NAME = "rejects.tsv"
_ENTRIES_PER_TASK = 256

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ShardOptions:
    """What a build is asked for. None: found or chosen by itself.

    samples_per_shard: None: 10,000, fewer for small sets. workers: processes; None: one a usable core; they never
    change the bytes. check: "full" decodes every image, "header" only reads its size. fractions: of train, val and
    test.
    """

    src: Path
    out: Path
    profile: str | None = None
    seed: int = 0
    samples_per_shard: int | None = None
    workers: int | None = None
    layout: str | None = None
    check: str = "full"
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class ShardReport:
    """What came of a build. samples: of each split. rejects: reason -> samples. kept_shards: finished by an earlier
    run. already_complete: nothing was to do."""

    root: Path
    kind: str
    layout: str
    profile: str
    samples: dict[str, int]
    rejects: dict[str, int]
    shards: int
    kept_shards: int
    bytes: int
    aspect_edges: tuple[float, ...]
    alphabet: dict[str, int]
    classes: tuple[str, ...]
    already_complete: bool


def build_shards(options: ShardOptions, progress: Progress | None = None) -> ShardReport:
    """Check every image of `options.src`, pack the good ones into shards in `options.out`, write the index last.

    progress: called with (done, total, stage), stage "checking" or "writing". Raises ConfigError, SourceError or
    ShardError with what to do; what is finished by then is kept, and the same call goes on from there.
    """
    _check_options(options)
    raw = read_source(options.src, options.layout)
    profile = _profile_for(raw, options.profile)
    decided = _options_of_bytes(options, raw, profile)
    if complete := open_build(options.out, decided, fingerprint(raw), len(raw.entries)):
        return _report(complete, kept_shards=len(complete.shards), already_complete=True)
    try:
        with open_workers(_workers_for(options.workers, len(raw.entries))) as workers:
            inspected = _inspect(workers, raw, profile, options, progress)
            rejects = _write_rejects(options.out, inspected)
            if len(inspected.places) == 0:
                raise SourceError(_nothing_left(raw, options, rejects))
            plan = _Plan.of(raw, inspected, options)
            shards, kept = _pack(workers, plan, raw, inspected, options, progress)
    except BrokenProcessPool as error:
        raise ShardError(
            "a worker was killed, mostly for want of memory; run the same horovod-ocr shard again with fewer --workers "
            "(the finished shards are kept)"
        ) from error
    except OSError as error:
        raise ShardError(
            f"{error.filename or options.out}: {error.strerror}; the finished shards are kept: mend it, then run the "
            "same horovod-ocr shard again"
        ) from error
    remove_other_shards(options.out, {shard.name for shard in shards})
    index = _index_of(plan, shards, raw, profile, inspected, rejects, decided, options)
    write_index(index)
    return _report(read_index(options.out), kept, already_complete=False)


def _workers_for(asked: int | None, samples: int) -> int:
    """As many as asked for; else one a core, but not for a set that is done before a process has started."""
    return asked or min(usable_cores(), 1 + samples // 1000)


def _check_options(options: ShardOptions) -> None:
    if options.samples_per_shard is not None and options.samples_per_shard < 1:
        raise ConfigError(f"samples_per_shard is {options.samples_per_shard}; a shard holds at least 1 sample")
    if options.workers is not None and options.workers < 1:
        raise ConfigError(f"workers is {options.workers}; at least 1 is needed")
    if options.check not in CHECKS:
        raise ConfigError(f"unknown check {options.check!r}; there are: {', '.join(CHECKS)}")
    if min(options.fractions) < 0 or abs(sum(options.fractions) - 1) > 1e-9:
        raise ConfigError(f"fractions {options.fractions} of train, val and test; they must add to 1")


def _profile_for(raw: RawSet, name: str | None) -> ScriptProfile:
    if raw.kind == "classes":
        return build_profile("plain")  # names of classes are no text in a script
    return build_profile(name or guess_profile(entry.label for entry in raw.entries if entry.label))


def _options_of_bytes(options: ShardOptions, raw: RawSet, profile: ScriptProfile) -> dict:
    """Every option that shapes the bytes, as it stands in build.json and the index."""
    return {
        "layout": raw.layout,
        "profile": profile.name,
        "folds": dict(profile.folds),
        "seed": options.seed,
        "samples_per_shard": options.samples_per_shard,
        "check": options.check,
        "fractions": list(options.fractions),
        "limits": asdict(options.limits),
    }


def _inspect(
    workers: Workers, raw: RawSet, profile: ScriptProfile, options: ShardOptions, progress: Progress | None
) -> Inspected:
    numbers = {name: number for number, name in enumerate(_classes_in(raw))} if raw.kind == "classes" else None
    # Absolute: the workers' working folder is the one this process was started in, whatever it is now.
    root, rule, limits = raw.root.absolute(), ImageRule(options.check), options.limits
    tasks = (
        CheckTask(
            root, first, raw.entries[first : first + _ENTRIES_PER_TASK], profile, numbers, raw.subsets, limits, rule
        )
        for first in range(0, len(raw.entries), _ENTRIES_PER_TASK)
    )
    parts, done, total = [], 0, len(raw.entries)
    for part in workers.run(inspect_entries, tasks):
        parts.append(part)
        done += len(part.places) + len(part.rejects)
        if progress:
            progress(done, total, "checking")
    return Inspected.joined(parts)


def _write_rejects(out: Path, inspected: Inspected) -> dict[str, int]:
    lines = ["path\treason\tdetail"]
    for path, reason, detail in inspected.rejects:
        lines.append("\t".join(" ".join(value.split()) for value in (path, reason, detail)))
    write_whole(out / REJECTS_NAME, ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    return dict(sorted(Counter(reject.reason for reject in inspected.rejects).items()))


def _nothing_left(raw: RawSet, options: ShardOptions, rejects: dict[str, int]) -> str:
    counts = ", ".join(f"{count:,} {reason}" for reason, count in rejects.items())
    return f"no image of {raw.root} can be used: {counts}; {options.out / REJECTS_NAME} says why for each"


def _classes_in(raw: RawSet) -> tuple[str, ...]:
    return tuple(sorted({entry.label for entry in raw.entries if entry.label is not None}))


@dataclass(frozen=True)
class _Plan:
    """What is decided for the set as a whole: places in SPLITS and aspect classes of the good samples, and the
    shards."""

    splits: np.ndarray
    aspect_edges: tuple[float, ...]
    aspect_classes: np.ndarray
    samples_per_shard: int
    shards: list[ShardPlan]

    @classmethod
    def of(cls, raw: RawSet, inspected: Inspected, options: ShardOptions) -> "_Plan":
        entries = [raw.entries[place] for place in inspected.places]
        units = inspected.labels if raw.kind == "words" else [entry.path for entry in entries]
        chosen = (
            entry.split or choose_split(options.seed, unit, options.fractions)
            for entry, unit in zip(entries, units, strict=True)
        )
        splits = np.fromiter((SPLITS.index(split) for split in chosen), np.uint8, len(entries))
        aspects = inspected.facts["width"] / inspected.facts["height"]
        edges = build_aspect_edges(aspects)
        classes = classes_of(aspects, edges)
        samples_per_shard = options.samples_per_shard or default_samples_per_shard(len(entries))
        order = shuffle_order([entry.path for entry in entries], options.seed)
        return cls(splits, edges, classes, samples_per_shard, plan_shards(splits, classes, order, samples_per_shard))


def _pack(
    workers: Workers,
    plan: _Plan,
    raw: RawSet,
    inspected: Inspected,
    options: ShardOptions,
    progress: Progress | None,
) -> tuple[list[ShardInfo], int]:
    """Write all shards. Returns what the index says of them, in order, and how many an earlier run had finished."""

    def task_of(shard: ShardPlan) -> PackTask:
        facts = inspected.facts[shard.samples].tolist()
        paths = (raw.entries[inspected.places[number]].path for number in shard.samples)
        labels = (inspected.labels[number] for number in shard.samples)
        return PackTask(
            source_root=raw.root.absolute(),
            out=options.out.absolute(),
            name=shard.name,
            split=shard.split,
            aspect_class=shard.aspect_class,
            first_key=shard.first_key,
            label_suffix="txt" if raw.kind == "words" else "cls",
            samples=[Sample(path, label, *fact) for path, label, fact in zip(paths, labels, facts, strict=True)],
            limits=options.limits,
        )

    tasks = map(task_of, plan.shards)
    shards, kept, done, total = [], 0, 0, len(inspected.places)
    for info, was_kept in workers.run(pack_shard, tasks):
        shards.append(info)
        kept += was_kept
        done += info.samples
        if progress:
            progress(done, total, "writing")
    return shards, kept


def _index_of(
    plan: _Plan,
    shards: list[ShardInfo],
    raw: RawSet,
    profile: ScriptProfile,
    inspected: Inspected,
    rejects: dict[str, int],
    decided: dict,
    options: ShardOptions,
) -> ShardIndex:
    words = raw.kind == "words"
    letters: Counter[str] = Counter()
    elsewhere: set[str] = set()
    for label, split in zip(inspected.labels if words else [], plan.splits, strict=False):
        letters.update(label) if split == 0 else elsewhere.update(label)
    lengths = Counter(inspected.facts["length"].tolist()) if words else {}
    totals = np.bincount(plan.splits, minlength=len(SPLITS)).tolist()
    return ShardIndex(
        root=options.out,
        kind=raw.kind,
        seed=options.seed,
        profile=profile,
        alphabet={letter: letters[letter] for letter in sorted(letters.keys() | elsewhere)},
        classes=() if words else _classes_in(raw),
        aspect_edges=plan.aspect_edges,
        shards=tuple(shards),
        subsets=raw.subsets,
        totals=dict(zip(SPLITS, totals, strict=True)),
        label_lengths=dict(lengths),
        aspect_histogram=tuple(np.bincount(plan.aspect_classes, minlength=len(plan.aspect_edges)).tolist()),
        rejects=rejects,
        options={**decided, "samples_per_shard": plan.samples_per_shard},
    )


def _report(index: ShardIndex, kept_shards: int, already_complete: bool) -> ShardReport:
    return ShardReport(
        root=index.root,
        kind=index.kind,
        layout=index.options["layout"],
        profile=index.profile.name,
        samples=index.totals,
        rejects=index.rejects,
        shards=len(index.shards),
        kept_shards=kept_shards,
        bytes=sum(shard.bytes for shard in index.shards),
        aspect_edges=index.aspect_edges,
        alphabet=index.alphabet,
        classes=index.classes,
        already_complete=already_complete,
    )
