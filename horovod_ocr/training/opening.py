"""The first lines of a run, and the last one."""

from pathlib import Path

import torch

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.splits import unseen_split
from horovod_ocr.distributed.world import World
from horovod_ocr.training.begin import Beginning
from horovod_ocr.training.hooks import Periods
from horovod_ocr.training.lines import unvalidated_line
from horovod_ocr.training.parts import Parts
from horovod_ocr.training.state import TrainState
from sharding.format.index import ShardIndex


def opening_lines(
    config: TrainConfig, world: World, beginning: Beginning, parts: Parts, state: TrainState, periods: Periods
) -> list[str]:
    """What runs on what: all settings, the shards, the model."""
    index, device, shards = beginning.store.index, beginning.device, config.data.shards
    ranks = f"{world.world_size} rank{'s' * (world.world_size > 1)}"
    parameters = sum(parameter.numel() for parameter in parts.model.parameters())
    widths = " ".join(str(parts.geometry.width_px(bucket)) for bucket in range(len(index.bucket_edges)))
    validates = f"validates every {periods.validate_steps}, " if periods.validate_steps else ""
    lines = [
        f"{'resume' if state.step else 'train'} {beginning.run}: {ranks} on {device.type}"
        f"{beginning.why_cpu and f' ({beginning.why_cpu})'}, {beginning.precision}, {torch.get_num_threads()} threads "
        f"and {parts.train.options.workers} loader workers a rank",
        f"settings: {', '.join(f'{name}={shown(value)}' for name, value in config.to_dict().items())}",
        f"shards {shards}: {index.counts.totals}, {parts.task.describe_outputs()}, widths {widths} x "
        f"{parts.geometry.height} px; {parts.train.decoder.names}",
        f"model {config.model}: {parameters:,} parameters; {state.steps_per_epoch} steps an epoch, steps {state.step} "
        f"to {state.total_steps}; {validates}saves every {periods.save_steps}",
    ]
    remarks = [
        None if parts.val else unvalidated_line(shards, index),
        fewer_frames_line(shards, index, parts),
        parts.task.opening_remark(),
    ]
    return [*lines, *filter(None, remarks)]


def shown(value: object) -> object:
    return "-" if value is None else value


def fewer_frames_line(shards: str, index: ShardIndex, parts: Parts) -> str | None:
    """A warning if the model makes fewer frames of an image than labels were checked against at sharding."""
    checked, height, stride = index.frames, parts.geometry.height, parts.model.frame_stride_px
    if index.kind != parts.task.kind or height * checked.frame_px >= checked.height_px * stride:
        return None
    return (
        f"warning: labels of {shards} were checked against frames of {checked.frame_px} px at a height of "
        f"{checked.height_px} px, and this model makes fewer, of {stride} px at {height} px: labels that do not fit "
        f"are counted below; shard with --model-height {height} --frame-px {stride} to reject them"
    )


def finished_line(run: Path, total_steps: int, index: ShardIndex) -> str:
    """With the command that comes next."""
    split = unseen_split(index)
    reads = f"; read the {split} split with: horovod-ocr eval" if split else ""
    return f"done: {total_steps} steps; {run}{reads}"
