"""What a run begins from: its config, its folder, its shards."""

import socket
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from horovod_ocr.checkpoint.file import LAST, load_checkpoint, newest_run
from horovod_ocr.config.overlay import overlay, settings_of
from horovod_ocr.config.recipe import read_recipe
from horovod_ocr.config.sources import default_recipe, load_config, train_table
from horovod_ocr.config.train import RanksConfig, TrainConfig, check_config, check_ranks
from horovod_ocr.console import console
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.shared_memory import (
    choose_workers,
    free_shared_bytes,
    largest_batch_bytes,
    shared_bytes_needed,
    shortage,
    workers_with_room,
)
from horovod_ocr.data.store import ShardStore, open_store
from horovod_ocr.data.stream import Stream, StreamOptions
from horovod_ocr.distributed.device import choose_device, choose_precision
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import CheckpointError, ConfigError, ShardError

# Samples of a rank that are worth loader workers, if these are started for one pass, as for each validation: in the 0.2
# to 0.6 s that this takes, the rank alone reads about 10,000 words. Kept, they would take memory from training.
LEAST_FOR_WORKERS = 10_000


@dataclass(frozen=True)
class Beginning:
    """What all ranks of a run begin with. payload: of the checkpoint to resume from, else None. device, cores: of this
    rank."""

    run: Path
    store: ShardStore
    payload: dict | None
    device: torch.device
    precision: str
    cores: int
    why_cpu: str


def begin(config: TrainConfig, world: World, watchdog: Watchdog) -> Beginning:
    """Agree on device, run and shards, and load the checkpoint of a run that goes on. Every rank must call this.

    Raises the same OcrError on every rank.
    """
    device, cores, why_cpu = choose_device(world, config.ranks.device)
    precision = choose_precision(config.ranks.precision, device, world)
    watchdog.reached(0, "the run's folder and the shards")
    run = world.broadcast(world.collectively(lambda: choose_run(config) if world.is_root else None))
    store = world.collectively(lambda: open_shards(config, world))
    world.collectively(lambda: check_same(world.gather(store.index.digest), config.data.shards))
    watchdog.reached(0, "the checkpoint")
    resumes = config.resume and world.is_root
    payload = world.broadcast(world.collectively(lambda: load_checkpoint(run) if resumes else None))
    watchdog.reached(0, "the model and its data")
    return Beginning(run, store, payload, device, precision, cores, why_cpu)


def choose_config(recipe: str | None, given: dict) -> TrainConfig:
    """The config of a new run; or, to resume, the run's own with what the command line gives laid over it.

    recipe: None chooses by the shards. given: settings of the command line, by their own names. Raises ConfigError,
    ShardError or CheckpointError with what to do.
    """
    if not given.get("resume"):
        return load_config(recipe or default_recipe(given.get("shards")), given)
    shared = train_table()
    runs = Path(given.get("runs") or shared.get("runs") or TrainConfig.runs)
    run = runs / given["run"] if "run" in given else newest_run(runs)
    saved = load_checkpoint(run)["config"]
    if unknown := sorted(saved.keys() - settings_of(TrainConfig).keys()):
        console.print(f"warning: {run} was begun by another version; not known: {', '.join(unknown)}", markup=False)
    saved = {name: value for name, value in saved.items() if name not in unknown}
    saved["device"] = shared.get("device", RanksConfig.device)  # of the machine, not of the run
    config = overlay(TrainConfig(), saved, f"{run}: its checkpoint")
    config = overlay(config, read_recipe(recipe) if recipe else {}, f"recipe {recipe}")
    config = overlay(config, {**given, "run": run.name, "runs": str(runs)}, "the command line")
    return check_config(config)


def choose_run(config: TrainConfig) -> Path:
    """The run's folder. ConfigError rather than write over a run that is there."""
    runs = Path(config.runs)
    if config.resume:
        return runs / config.run if config.run else newest_run(runs)
    run = runs / (config.run or time.strftime(f"{Path(config.recipe or 'run').stem}-%Y%m%d-%H%M%S"))
    if (run / LAST).exists():
        raise ConfigError(f"{run} holds a run already; continue it with --resume, or name another with --run")
    return run


def check_same(digests: list[str], shards: str) -> None:
    """ShardError unless all ranks see the same shard set: with others, their plans would not fit together."""
    odd = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
    if odd:
        raise ShardError(f"ranks {odd} see other shards in {shards} than rank 0; give one shared folder")


def open_shards(config: TrainConfig, world: World) -> ShardStore:
    check_ranks(config.plan.lanes, world.world_size)
    return open_store(config.data.shards, config.data.cache_dir, config.data.cache_bytes)


def stream_options(config: TrainConfig, split: str, world: World, on_gpu: bool) -> StreamOptions:
    """How this rank reads a split: shuffled, changed at random and without a gap for training alone. No workers yet."""
    training = split == "train"
    return StreamOptions(
        split=split,
        seed=config.seed,
        lanes=config.plan.lanes,
        global_batch=config.plan.global_batch if training else 2 * config.plan.global_batch,
        window=config.plan.window,
        shuffle=training,
        augmentation=config.data.augmentation if training and config.data.augment else None,
        decoder=config.data.decoder,
        replaces_damaged=training,
        rank=world.rank,
        world_size=world.world_size,
        to_gpu=on_gpu,
    )


def open_streams(
    config: TrainConfig, world: World, store: ShardStore, geometry: Geometry, on_gpu: bool, cores: int
) -> tuple[Stream, Stream | None]:
    """The train split and the val split, None where there is none, with the loader workers that there is room for.

    Raises ShardError if the train split is empty, ConfigError if its loader workers have no room.
    """
    ranks, free_bytes = world.local_size, free_shared_bytes()
    train = Stream(store, geometry, stream_options(config, "train", world, on_gpu))
    reads_alone = config.data.workers == 0 or not on_gpu and config.data.workers < 0
    batch_bytes = 0 if reads_alone else batch_bytes_of(train)
    workers = choose_workers(config.data.workers, on_gpu, cores, ranks, batch_bytes, free_bytes)
    if why := shortage(batch_bytes, workers, ranks, free_bytes):
        # a worker that finds no room would end the run in the middle
        raise ConfigError(f"{socket.gethostname()}: {why}")
    train.options = replace(train.options, workers=workers)
    if not store.index.counts.totals.get("val"):
        return train, None
    val = Stream(store, geometry, stream_options(config, "val", world, on_gpu))
    if on_gpu:
        # the batches of the train split's workers stay where they are meanwhile
        give_workers(val, ranks, workers, shared_bytes_needed(batch_bytes, workers, ranks))
    return train, val


def give_workers(stream: Stream, ranks: int, most: int, used_bytes: int = 0) -> None:
    """At most so many loader workers to a stream that is read once, beside a GPU: if it is long enough to be worth
    them, and as far as they have room in half of /dev/shm.

    ranks: of the host. used_bytes: of /dev/shm, by other workers.
    """
    free_bytes = free_shared_bytes()
    samples = sum(shard.samples for shard in stream.shards)
    if samples >= LEAST_FOR_WORKERS * stream.options.world_size:
        left_bytes = None if free_bytes is None else free_bytes // 2 - used_bytes
        room = workers_with_room(batch_bytes_of(stream), ranks, left_bytes)
        stream.options = replace(stream.options, workers=min(most, room))


def batch_bytes_of(stream: Stream) -> int:
    """Shared memory that the largest batch of a stream takes."""
    o = stream.options
    return largest_batch_bytes(stream.shards, stream.geometry, o.lanes, o.global_batch, o.world_size)


def identity_of(config: TrainConfig, task: dict, geometry: Geometry, index_digest: str) -> dict:
    """What a run must keep to go on exactly where it was: the model, and the samples that the next steps hold."""
    names = ("seed", "lanes", "global_batch", "window")
    return {
        "task": task,
        "model_name": config.model,
        "model_options": config.model_options,
        "geometry": geometry.to_dict(),
        "plan": {"index_digest": index_digest, **{name: getattr(config, name) for name in names}},
    }


def check_resumable(payload: dict, mine: dict, run: str, shards: str, steps: int) -> None:
    """CheckpointError unless a run can go on exactly where it was, to so many steps. mine: identity_of this session."""
    if payload["task"] != mine["task"]:
        raise CheckpointError(
            f"{run} was trained with another charset or script profile than {shards} has; give its own shards with "
            "--shards, or train anew with another --run"
        )
    for name, before in payload["plan"].items():
        if mine["plan"].get(name) != before:
            raise CheckpointError(
                f"{run} was trained with {name} {before}, not {mine['plan'].get(name)}: the samples left in the epoch "
                "would not be the same; give the old value, or train anew with another --run"
            )
    if any(payload[name] != mine[name] for name in ("model_name", "model_options", "geometry")):
        raise CheckpointError(f"{run} has another model or height; leave its own, or train anew")
    if payload["step"] > steps:
        raise CheckpointError(f"{run} has taken {payload['step']} steps already; give --steps above that")
