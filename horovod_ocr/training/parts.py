"""What a run is made of, before the ranks have met for the first time."""

from dataclasses import dataclass
from typing import Any

import torch

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.forecast import steps_of_run
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.world import World
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.batchnorm import synchronise_batchnorm
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.build import build_model_for, task_of
from horovod_ocr.tasks.geometry import geometry_of
from horovod_ocr.training.begin import Beginning
from horovod_ocr.training.identity import check_resumable, identity_of
from horovod_ocr.training.streams import open_streams


@dataclass(frozen=True)
class RunParts:
    """One rank's parts of a run."""

    task: Task
    """What is learnt."""
    geometry: Geometry
    """The sizes of images."""
    train: Stream
    """The train split."""
    val: Stream | None
    """The val split; None: the set has none."""
    total_steps: int
    """Updates of the whole run."""
    identity: dict[str, Any]
    """What the run must keep to be resumed: `identity.identity_of`."""
    model: ImageModel
    """On the device of this rank."""


def build_parts(config: TrainConfig, world: World, beginning: Beginning) -> RunParts:
    """Not collective; with sync_batchnorm the forward of several ranks is.

    Raises OcrError for settings and shards that do not go together.
    """
    c, index, device = config, beginning.store.index, beginning.device
    task, network = task_of(index, c), c.network
    geometry = geometry_of(index.kind, network, index.bucket_edges)
    train, val = open_streams(c, world, beginning.store, geometry, device.type == "cuda", beginning.cores)
    total_steps = steps_of_run(c.plan.steps, c.plan.epochs, c.plan.min_steps, train.steps)
    torch.manual_seed(c.seed)
    model = build_model_for(task, geometry, network.model, network.model_options)
    model.to(device, torch.float64 if beginning.precision == "fp64" else torch.float32)
    if c.ranks.sync_batchnorm and world.world_size > 1:  # torch's own takes a third of a step less
        synchronise_batchnorm(model, world.sum, world.rank, world.world_size)
    identity = identity_of(c, task.to_dict(), geometry, index.digest)
    if beginning.payload:
        kept = task.kept_in_a_run
        check_resumable(beginning.payload, identity, str(beginning.run), c.data.shards, total_steps, kept)
    return RunParts(task, geometry, train, val, total_steps, identity, model)
