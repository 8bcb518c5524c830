"""Prove a shard set, make damaged shards again, and prove those again."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sharding.building.rebuild import rebuild_shards
from sharding.building.state import BuildFolder, remove_left_overs
from sharding.errors import DataError, ShardError, SourceError
from sharding.format.index import INDEX_NAME, ShardIndex, read_index
from sharding.progress import Report
from sharding.system.files import write_whole
from sharding.system.lock import build_lock
from sharding.system.workers import Workers, open_workers
from sharding.verify.verify import SetProof, VerifyReport, shard_errors, workers_for

_COMMAND = "horovod-ocr verify --repair"


def repair_set(
    root: Path,
    src: Sequence[Path] | None = None,
    workers: int | None = None,
    report: Report | None = None,
    tell: Callable[[str], None] | None = None,
) -> VerifyReport:
    """Prove a set as `verify_shards` does, make its damaged shards again from the source, and prove those again.

    An index.json that is lost, or less right than its copy in build/, is restored. What cannot be repaired stays as it
    is and is in the report. src: where the sources are now, in the order in which they were named; None: where they
    were. report, tell: as for `build_shards`. ShardError if nobody knows what went into the shards.
    """
    folder, report = BuildFolder(root), report or (lambda progress: None)
    if not folder.state.exists():
        read_index(root)  # raises if there is no set at all
        raise ShardError(
            f"{folder.state} is missing, and without the folder build/ nobody knows what went into each shard; copy it "
            "from where the set was made, or make the set again: horovod-ocr shard --src ... --out NEW_FOLDER"
        )
    with shard_errors(root, _COMMAND), build_lock(folder.own / "lock", _COMMAND, tell) as lock:
        remove_left_overs(root)
        index, was_lost = _find_index(folder)
        with open_workers(workers_for(index, workers)) as pool:
            proof, was_wrong = _prove(folder, index, pool, report)
            lock.check()
            repaired = _repair(folder, proof, pool, report, src)
        lock.check()
    return replace(repaired, restored_index=was_lost or was_wrong)


def _find_index(folder: BuildFolder) -> tuple[ShardIndex, bool]:
    """The index, and whether it had to be restored."""
    try:
        return read_index(folder.out), False
    except ShardError:
        if not (folder.own / INDEX_NAME).exists():
            raise
        return _restore(folder, read_index(folder.own)), True


def _restore(folder: BuildFolder, copy: ShardIndex) -> ShardIndex:
    write_whole(folder.out / INDEX_NAME, (folder.own / INDEX_NAME).read_bytes())
    return replace(copy, root=folder.out)


def _prove(folder: BuildFolder, index: ShardIndex, pool: Workers, report: Report) -> tuple[SetProof, bool]:
    """Prove the set by its index; or by the copy in build/, which is then restored, if that finds less wrong."""
    proof = SetProof(index)
    proof.prove(index.shards, pool, report)
    with suppress(ShardError):  # no copy, or a damaged one
        copy = read_index(folder.own)
        if copy.digest != index.digest and not proof.report().ok:
            by_copy = SetProof(replace(copy, root=folder.out))
            by_copy.prove(copy.shards, pool, report)
            if by_copy.report().wrong < proof.report().wrong:
                _restore(folder, copy)
                return by_copy, True
    return proof, False


def _repair(
    folder: BuildFolder, proof: SetProof, pool: Workers, report: Report, src: Sequence[Path] | None
) -> VerifyReport:
    damaged = [shard for shard in proof.index.shards if shard.name in proof.damaged]
    if not damaged:
        return proof.report()
    try:
        failed = rebuild_shards(folder, proof.index, {shard.name for shard in damaged}, pool, report, src)
    except DataError as error:
        found = proof.report()
        hint = f"; has it moved? {_COMMAND} --src FOLDER" if isinstance(error, SourceError) else ""
        return replace(found, problems=(*found.problems, f"nothing was repaired: {error}{hint}"))
    finally:
        with suppress(OSError):  # a build that is not finished keeps what it has read there
            folder.spool.rmdir()
    proof.prove([shard for shard in damaged if shard.name not in failed], pool, report)
    for name, why in failed.items():
        proof.damaged[name] = (*proof.damaged[name], why)
    repaired = tuple(shard.name for shard in damaged if shard.name not in proof.damaged)
    return replace(proof.report(), repaired=repaired)
