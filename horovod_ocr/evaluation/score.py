"""A run's checkpoint scored on a split: eval.json."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from horovod_ocr.checkpoint.file import load_best
from horovod_ocr.checkpoint.restore import config_of, restore
from horovod_ocr.console import console
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.shared_memory import choose_workers
from horovod_ocr.data.splits import divide_command, unseen_split
from horovod_ocr.data.store import ShardStore, open_store
from horovod_ocr.data.stream import Stream
from horovod_ocr.data.worker_choice import give_workers
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.device import choose_device, choose_precision
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import CheckpointError, ShardError
from horovod_ocr.evaluation.evaluate import evaluate
from horovod_ocr.run.folder import EVAL
from horovod_ocr.tasks.base import Task
from sharding.building.origins import files_of
from sharding.format.index import ShardIndex
from sharding.system.files import write_whole


def score_run(
    world: World,
    runs: Path,
    name: str | None = None,
    shards: str | None = None,
    split: str | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, dict[str, Any], ShardStore]:
    """Read a split with a run's best checkpoint; root writes eval.json. Returns the run's folder, the report, and where
    its samples are.

    Defaults: the newest run, the shards it was trained with, the test split (val if there is none). The report: facts
    about the run; `unreadable`, damaged samples that are in no score; and what the task reports (`Scores.report`).
    Collective. Raises ShardError, CheckpointError or ConfigError with what to do.
    """
    run, payload = world.broadcast(world.collectively(lambda: load_best(runs, name) if world.is_root else None))
    config = world.broadcast(world.collectively(lambda: config_of(payload, run) if world.is_root else None)).data
    store = world.collectively(lambda: open_store(shards or config.shards, config.cache_dir, config.cache_bytes))
    index = store.index
    chosen = choose_device(world, device)
    precision = choose_precision("auto", chosen.device, world)
    if chosen.why_cpu and world.is_root:
        console.print(f"on the CPU: {chosen.why_cpu}", markup=False)
    restored = world.collectively(lambda: restore(payload, chosen.device))
    world.collectively(lambda: check_readable(restored.task, index))
    split = split or world.collectively(lambda: choose_split(index))
    if world.is_root:
        warn_of_seen(split, index, payload["plan"]["index_digest"])
    options = StreamOptions(
        split,
        lanes=max(StreamOptions.lanes, world.world_size),
        global_batch=128,
        shuffle=False,
        decoder=config.decoder,
        replaces_damaged=False,
        rank=world.rank,
        world_size=world.world_size,
        to_gpu=chosen.device.type == "cuda",
    )
    stream = world.collectively(lambda: Stream(store, restored.geometry, options))
    damage = DamagedSamples(world, stream.shards, config.max_bad)
    if options.to_gpu:
        give_workers(stream, world.local_size, choose_workers(-1, True, chosen.cores))
    scores = evaluate(restored.model, restored.task, stream, world, precision, damage, progress)
    report = {
        "run": run.name,
        "step": payload["step"],
        "split": split,
        "shards": str(index.root),
        "index_digest": index.digest,
        "profile": index.profile.name,
        "kind": restored.task.kind,
        "unreadable": damage.count,
        **scores.report(split),
    }
    if world.is_root:
        name_sources(report.get("worst", ()), index)
        write_report(run / EVAL, report)
    return run, report, store


def check_readable(task: Task, index: ShardIndex) -> None:
    """CheckpointError if a model of this task cannot write the labels of a set."""
    if index.kind != task.kind:
        raise CheckpointError(f"{index.root} holds {index.kind}, and the checkpoint was trained on {task.kind}")
    task.check_readable(index)


def warn_of_seen(split: str, index: ShardIndex, trained_on: str) -> None:
    """Say so if the run may have been trained on these samples: the score then says little of others. trained_on:
    digest of its shard set."""
    remark = "the run was trained on these samples" if split == "train" else None
    if index.digest != trained_on:
        remark = (
            f"{index.root} is not the set that the run was trained on: images of its {split} split may have been in "
            "the run's train split"
        )
    if remark:
        console.print(f"warning: {remark}", markup=False)


def choose_split(index: ShardIndex) -> str:
    """The split that no run was trained on. ShardError for a set that has none."""
    if split := unseen_split(index):
        return split
    raise ShardError(
        f"{index.root} has neither a test nor a val split, only what runs are trained on; score that with: horovod-ocr "
        f"eval --split train; for others, divide the images: {divide_command(index.kind)}"
    )


def name_sources(samples: Sequence[dict[str, Any]], index: ShardIndex) -> None:
    """Add `source`, the file that each sample came from, if the set still knows it. samples: with `shard` and `row`."""
    paths = files_of(index, [(each["shard"], each["row"]) for each in samples]) if samples else None
    for sample, path in zip(samples, paths or (), strict=False):
        sample["source"] = path


def write_report(path: Path, report: dict[str, Any]) -> None:
    # a folder's name that is not UTF-8 becomes an escape of JSON
    content = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    write_whole(path, content.encode("utf-8", "backslashreplace"))
