"""Make damaged shards again from the source, to the same bytes; the others are not touched."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sharding.arranging.assign import ShardPlan
from sharding.building.resolve import rules_of
from sharding.building.state import BuildFolder, read_state
from sharding.errors import ShardError
from sharding.format.idx import read_idx
from sharding.format.index import ShardIndex, ShardInfo
from sharding.layouts.find import find_source
from sharding.packing.pack import Spools, write_shard
from sharding.progress import Progress, Report
from sharding.reading.catalogue import Catalogue, open_catalogue
from sharding.reading.sample_reader import Rules, close_sample_reader, open_sample_reader
from sharding.reading.spool import SpoolWriter, read_spool
from sharding.reasons import Rejected
from sharding.system.files import fsync_folder, whole_file
from sharding.system.workers import Workers


@dataclass(frozen=True)
class RebuildTask:
    """Everything a worker needs to make one shard again."""

    out: Path
    """Folder of the shards."""
    plan: ShardPlan
    """Which samples it holds, as a build plans it."""
    info: ShardInfo
    """What it must become, as the index says."""
    catalogue: Catalogue
    """What the build had listed."""
    rules: Rules
    """Those of the build, with the sources where they are now."""
    members: Path
    """File of the entry of each sample of the set."""
    spool: Path
    """Folder for what is read."""
    label_suffix: str
    """"txt" or "cls"."""


def rebuild_shards(
    folder: BuildFolder,
    index: ShardIndex,
    names: Collection[str],
    workers: Workers,
    report: Report,
    src: Sequence[Path] | None = None,
) -> dict[str, str]:
    """Make the shards of these names again. src: where the sources are now; None: where they were.

    Returns the shards that cannot be made again, mostly because the source no longer holds what went into them, and
    why; they stay as they are. ShardError if the build folder no longer says what went into any of them. Under the lock
    of the build.
    """
    state, catalogue = read_state(folder), open_catalogue(folder.own)
    samples = sum(shard.samples for shard in index.shards)
    members_bytes = folder.members.stat().st_size if folder.members.exists() else 0
    if state is None or catalogue is None or members_bytes != 4 * samples:
        raise ShardError(
            f"{folder.own} does not say any more what went into each shard; make the set again into another folder: "
            "horovod-ocr shard --out NEW_FOLDER"
        )
    roots = src or [Path(source["root"]) for source in state.sources]
    if len(roots) != len(state.sources):
        raise ShardError(f"{folder.out} was made of {len(state.sources)} sources, {len(roots)} are named; name all")
    name_pattern = state.options["asked"]["label_from_name"]
    sources = [
        find_source(root, source["layout"], name_pattern) for root, source in zip(roots, state.sources, strict=True)
    ]
    rules = rules_of(sources, catalogue, state.options)
    folder.spool.mkdir(parents=True, exist_ok=True)
    catalogue = replace(catalogue, folder=catalogue.folder.absolute())
    firsts = np.cumsum([0, *(shard.samples for shard in index.shards)]).tolist()
    suffix = "cls" if rules.classes else "txt"
    tasks = [
        RebuildTask(
            folder.out.absolute(),
            ShardPlan(shard.name, shard.split, shard.bucket, first, shard.samples),
            shard,
            catalogue,
            rules,
            folder.members.absolute(),
            folder.spool.absolute(),
            suffix,
        )
        for shard, first in zip(index.shards, firsts, strict=False)
        if shard.name in names
    ]
    failed = {}
    try:
        for done, (task, why) in enumerate(zip(tasks, workers.run(why_not_rebuilt, tasks), strict=True), start=1):
            if why:
                failed[task.plan.name] = why
            report(Progress("repairing", done, len(tasks)))
    finally:
        close_sample_reader()
    fsync_folder(folder.out)
    return failed


def why_not_rebuilt(task: RebuildTask) -> str:
    """Make one shard again. Returns "", or why that is not possible."""
    try:
        rebuild_shard(task)
    except ShardError as why:
        return str(why)
    return ""


def rebuild_shard(task: RebuildTask) -> None:
    """Make one shard again; ShardError if it would have other bytes."""
    entries = np.fromfile(task.members, "<u4", task.plan.samples, offset=4 * task.plan.first)
    reader = open_sample_reader(task.rules)
    spool = task.spool / f"repair-{task.plan.name}.spool"
    order = np.array([task.catalogue.order(entry, entry + 1)[0] for entry in entries.tolist()], np.uint64)
    with whole_file(spool) as file:
        writer = SpoolWriter(file, order, 0)
        for position, entry in enumerate(task.catalogue.pick(entries.tolist())):
            try:
                writer.add(reader.read(entry)._replace(entry=position))
            except Rejected as why:
                raise ShardError(
                    f"{task.plan.name} cannot be made again: {_shown(entry.path)}: {why.reason} {why.detail}".rstrip()
                ) from why
        writer.finish(len(entries), reader.take_counts())
    try:
        rows = read_spool(spool).facts
        rows = rows[np.argsort(rows["entry"])]  # here the position in the shard
        _check_unchanged(task, rows["digest"], entries)
        spools = Spools(np.zeros(len(rows), np.int64), lambda number: spool)
        write_shard(task.out, task.plan, task.label_suffix, rows, spools, wanted=task.info)
    finally:
        spool.unlink(missing_ok=True)


def _check_unchanged(task: RebuildTask, digests: np.ndarray, entries: np.ndarray) -> None:
    """If the .idx is undamaged, it says which images have changed: ShardError names the first."""
    path = task.out / task.info.idx_name
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != task.info.idx_sha256:
                return
        changed = np.flatnonzero(read_idx(path)["digest"] != digests)
    except (OSError, ShardError):
        return
    if len(changed):
        entry = next(task.catalogue.pick(entries[changed[:1]].tolist()))
        raise ShardError(
            f"{task.plan.name} cannot be made again: {len(changed):,} of its images have changed, the first is "
            f"{_shown(entry.path)}; put them back, or make the set again into another folder"
        )


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
