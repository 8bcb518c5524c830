"""What a run begins from: its config, its folder, its shards, its device, the checkpoint to resume from."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from horovod_ocr.checkpoint.file import load_checkpoint
from horovod_ocr.checkpoint.restore import config_of
from horovod_ocr.config.changes import changed_settings, shown
from horovod_ocr.config.overlay import overlay
from horovod_ocr.config.recipe import read_recipe
from horovod_ocr.config.sources import SETTINGS_FILE, train_table
from horovod_ocr.config.train import RanksConfig, TrainConfig, check_config, check_ranks, lay_over
from horovod_ocr.console import console
from horovod_ocr.data.store import ShardStore, open_store
from horovod_ocr.distributed.device import choose_device, choose_precision
from horovod_ocr.distributed.exchange.own_state import without_states
from horovod_ocr.distributed.launcher import times_restarted
from horovod_ocr.distributed.watchdog import Watchdog
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.run.folder import holds_run, newest_run, run_named
from horovod_ocr.tasks.recipe import new_config


@dataclass(frozen=True)
class Beginning:
    """What all ranks of a run begin with."""

    run: Path
    """The run's folder."""
    store: ShardStore
    """Where the shards are."""
    payload: dict[str, Any] | None
    """Of the checkpoint to resume from, on root with what each rank kept for itself; None for a new run."""
    device: torch.device
    """Of this rank."""
    precision: str
    """bf16, fp32 or fp64."""
    cores: int
    """This rank's share of its host."""
    why_cpu: str | None
    """Why training runs on the CPU although there is a GPU; None if there is none, or if the CPU was asked for."""


def begin(config: TrainConfig, world: World, watchdog: Watchdog) -> Beginning:
    """Agree on device, run and shards, and load the checkpoint of a run that is resumed. Every rank must call this.

    Raises the same OcrError on every rank.
    """
    world.collectively(lambda: check_config(config))
    device, cores, why_cpu = choose_device(world, config.ranks.device)
    precision = choose_precision(config.ranks.precision, device, world)
    watchdog.reached(0, "the run's folder and the shards")
    run = world.broadcast(world.collectively(lambda: choose_run(config) if world.is_root else None))
    store = world.collectively(lambda: open_shards(config, world))
    world.collectively(lambda: check_same(world.gather(store.index.digest), config.data.shards))
    watchdog.reached(0, "the checkpoint")
    resumes = config.resume and world.is_root
    loaded = world.collectively(lambda: load_checkpoint(run) if resumes else None)
    shared = world.broadcast(without_states(loaded))
    payload = loaded if world.is_root else shared
    watchdog.reached(0, "the model and its data")
    return Beginning(run, store, payload, device, precision, cores, why_cpu)


def choose_config(recipe: str | None, given: dict[str, Any]) -> TrainConfig:
    """The config of a new run; or, to resume, the run's own with what the command line gives laid over it.

    recipe: None chooses by the shards. given: settings of the command line, by their own names. Raises ConfigError,
    ShardError or CheckpointError with what to do.
    """
    shared = train_table()
    asked = shared | given
    if times_restarted() and not asked.get("resume"):
        given = after_restart(given, asked)
        asked = shared | given
    if not asked.get("resume"):
        return new_config(recipe, given)
    runs = Path(asked.get("runs") or TrainConfig.runs)
    run = run_named(runs, asked["run"]) if asked.get("run") else newest_run(runs)
    of_job = {name: shared.get(name, getattr(RanksConfig, name)) for name in ("engine", "device")}  # not of the run
    config = overlay(config_of(load_checkpoint(run), run), of_job, SETTINGS_FILE)
    if recipe and is_same(recipe, config.recipe):  # typed again with the same command
        tell_kept(config, recipe, given, run)
    elif recipe:
        config = lay_over(config, read_recipe(recipe), f"recipe {recipe}")
    config = overlay(config, {**given, "resume": True, "run": run.name, "runs": str(runs)}, "the command line")
    return check_config(config)


def is_same(recipe: str, own: str | None) -> bool:
    """Whether a recipe is that of the run, however its path is spelled."""
    if own and recipe.endswith(".toml") and own.endswith(".toml"):
        return Path(recipe).resolve() == Path(own).resolve()
    return recipe == own


def tell_kept(config: TrainConfig, recipe: str, given: dict[str, Any], run: Path) -> None:
    """Name the settings in which a run and its recipe differ, as where a person has changed the file: the run's count.

    given: settings that are typed, and so are not kept.
    """
    with suppress(ConfigError):  # a file that is gone, or no recipe any more, takes nothing from the run
        asked = lay_over(lay_over(config, read_recipe(recipe), recipe), train_table(), SETTINGS_FILE)
        changed = changed_settings(config.to_dict(), asked.to_dict())
        kept = [
            f"{name} {shown(own)} (recipe: {shown(other)})"
            for name, own, other in changed
            if name.split(".")[0] not in (*given, "engine", "device")
        ]
        if kept:
            console.print(
                f"note: {run} keeps its own settings where recipe {recipe} has others: {', '.join(kept)}; to change "
                "one, give it as an option or with --set",
                markup=False,
            )


def after_restart(given: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """What the command line gives, if torchrun has started the ranks again: the run goes on, if it has begun.

    asked: with the shared settings. ConfigError if the run has no name: another one would begin.
    """
    if not asked.get("run"):
        raise ConfigError(
            f"torchrun has started the ranks again (restart {times_restarted()}), but the run has no name by which it "
            "could go on; give --run NAME, or torchrun --max-restarts 0"
        )
    has_begun = holds_run(Path(asked.get("runs") or TrainConfig.runs) / asked["run"])
    return {**given, "resume": True} if has_begun else given


def choose_run(config: TrainConfig) -> Path:
    """The run's folder. ConfigError rather than write over a run that is there."""
    runs = Path(config.runs)
    if config.resume:
        return run_named(runs, config.run) if config.run else newest_run(runs)
    run = runs / (config.run or time.strftime(f"{Path(config.recipe or 'run').stem}-%Y%m%d-%H%M%S"))
    if holds_run(run):
        raise ConfigError(f"{run} holds a run already; continue it with --resume, or name another with --run")
    return run


def check_same(digests: list[str], shards: str) -> None:
    """ShardError unless all ranks see the same shard set: with others, their plans would not fit together."""
    differing = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
    if differing:
        raise ShardError(f"ranks {differing} see other shards in {shards} than rank 0; give one shared folder")


def open_shards(config: TrainConfig, world: World) -> ShardStore:
    check_ranks(config.plan.lanes, world.world_size)
    return open_store(config.data.shards, config.data.cache_dir, config.data.cache_bytes)
