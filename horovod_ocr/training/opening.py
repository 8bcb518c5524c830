"""The first lines of a run, and the last one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from horovod_ocr.config.changes import changed_settings, shown
from horovod_ocr.config.train import LOCAL, TrainConfig, profiled_steps
from horovod_ocr.data.plan import BucketPlan
from horovod_ocr.data.splits import divide_command, unseen_split
from horovod_ocr.distributed.data_parallel import DataParallelWorld
from horovod_ocr.distributed.world import World
from horovod_ocr.training.begin import Beginning
from horovod_ocr.training.hooks import Periods
from horovod_ocr.training.parts import RunParts
from horovod_ocr.training.state import TrainState
from sharding.format.index import ShardIndex


def opening_lines(
    config: TrainConfig, world: World, beginning: Beginning, parts: RunParts, state: TrainState, periods: Periods
) -> list[str]:
    """What runs on what: all settings, the shards, the model."""
    index, device, shards = beginning.store.index, beginning.device, config.data.shards
    ranks = f"{world.world_size} rank{'s' * (world.world_size > 1)}"
    parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    totals = ", ".join(f"{split} {count:,}" for split, count in index.counts.totals.items())
    widths = " ".join(str(parts.geometry.width_px(bucket)) for bucket in range(len(index.bucket_edges)))
    size = f"{'' if parts.geometry.is_photo else 'widths '}{widths} x {parts.geometry.height} px"
    threads = torch.get_num_threads()
    validates = f"validates every {periods.validate_steps}, " if periods.validate_steps else ""
    when = "" if periods.is_met(1) else ", each at the next meeting"
    why_cpu = f" ({beginning.why_cpu})" if beginning.why_cpu else ""
    lines = [
        f"{'resume' if state.step else 'train'} {beginning.run}: {ranks} on {device.type}"
        f"{why_cpu}, {beginning.precision}, {threads} thread{'s' * (threads > 1)} "
        f"and {parts.train.options.workers} loader workers a rank{how_they_meet(config, world)}",
        f"settings: {', '.join(f'{name}={shown(value)}' for name, value in config.to_dict().items())}",
        f"shards in {shards}: {totals}; {parts.task.describe_outputs()}, {size}; {parts.train.decoder.names}",
        f"model {config.network.model}: {parameters:,} parameters; {state.steps_per_epoch} steps an epoch, steps "
        f"{state.step} to {state.total_steps}; {validates}saves every {periods.save_steps}{when}",
    ]
    unvalidated = [] if parts.val else [unvalidated_line(shards, index)]
    return [
        *lines,
        *unvalidated,
        *idle_ranks(parts.train.plan(0).buckets, world.world_size),
        *chatty_batchnorm(config, periods, world.world_size),
        *divided_batchnorm(config, world),
        *unprofiled(config.log.profile, state),
        *nothing_left(state),
        *parts.task.opening_remarks(index, parts.model, parts.geometry),
    ]


def how_they_meet(config: TrainConfig, world: World) -> str:
    """The exchange and the engine of several ranks, as the end of a sentence."""
    if not world.engine:
        return ""
    exchange = config.exchange
    fp16 = " in fp16" if exchange.compression == "fp16" else ""
    rounds = f" every {exchange.local_steps} steps" if exchange.exchange in LOCAL else ""
    return f"; {exchange.exchange}{fp16}{rounds} by {world.engine}"


def what_changes(before: dict[str, Any], config: TrainConfig) -> list[str]:
    """What a resumed run does otherwise than before. before: the config of the checkpoint."""
    changed = [f"{name} {shown(old)} -> {shown(new)}" for name, old, new in changed_settings(before, config.to_dict())]
    return [f"changed since the last checkpoint: {', '.join(changed)}"] if changed else []


def nothing_left(state: TrainState) -> list[str]:
    """A warning if the run has taken all its steps."""
    if state.step < state.total_steps:
        return []
    return [f"warning: the run has taken all its {state.step:,} steps; to go on give more: --steps {2 * state.step}"]


def idle_ranks(buckets: Sequence[BucketPlan], world_size: int) -> list[str]:
    """A warning if a bucket has fewer samples than there are ranks. buckets: of an epoch."""
    small = [bucket.total for bucket in buckets if bucket.total < world_size]
    if not small:
        return []
    where = f"{len(small)} of {len(buckets)} buckets have" if len(buckets) > 1 else "the train split has"
    return [
        f"warning: {where} fewer samples than there are ranks ({min(small)} for {world_size}): some ranks compute "
        "nothing in such steps; fewer ranks are as fast"
    ]


def chatty_batchnorm(config: TrainConfig, periods: Periods, world_size: int) -> list[str]:
    """A warning if ranks that step alone exchange statistics all the same."""
    if world_size == 1 or not config.ranks.sync_batchnorm or periods.is_met(1):
        return []
    return [
        "warning: with sync_batchnorm the ranks wait for each other in every layer, although "
        f"{config.exchange.exchange} lets them step alone; --no-sync-batchnorm saves that"
    ]


def divided_batchnorm(config: TrainConfig, world: World) -> list[str]:
    """A warning if statistics are those of each GPU although those of the whole batch are asked for."""
    if not config.ranks.sync_batchnorm or not isinstance(world, DataParallelWorld):
        return []
    return [
        "warning: sync_batchnorm is among ranks, and --engine data-parallel is one rank: BatchNorm uses the statistics "
        "of each GPU's part of the batch; for those of the whole batch start a rank for each GPU, with horovodrun or "
        "torchrun"
    ]


def unprofiled(profile: str | None, state: TrainState) -> list[str]:
    """A warning if none of the steps to profile is to be taken. profile: FIRST:LAST, or None."""
    if not profile:
        return []
    first, last = profiled_steps(profile)
    if first <= state.total_steps and last > state.step:
        return []
    return [f"warning: nothing is profiled: steps {state.step + 1} to {state.total_steps} are taken, not {profile}"]


def unvalidated_line(shards: str, index: ShardIndex) -> str:
    """For a set without a val split."""
    return (
        f"warning: {shards} has no val split: nothing is validated, and the best checkpoint is the last one; for a val "
        f"split give images of it, or divide those there are: {divide_command(index.kind)}"
    )


def finished_line(run: Path, total_steps: int, index: ShardIndex) -> str:
    """With the command that comes next."""
    split = unseen_split(index)
    reads = f"; read the {split} split with: horovod-ocr eval" if split else ""
    return f"done: {total_steps} steps; {run}{reads}"
