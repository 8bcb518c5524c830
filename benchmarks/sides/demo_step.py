"""The demo's training step as the trainer takes it, for benchmarks. Only this file knows how the trainer is built."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.device import choose_precision
from horovod_ocr.distributed.exchange.allreduce import Allreduce
from horovod_ocr.distributed.votes import StopSaveVote
from horovod_ocr.distributed.world import World
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.build import build_model
from horovod_ocr.tasks.base import Task
from horovod_ocr.training.gradients import Gradients
from horovod_ocr.training.optim import build_optimizer, decay_groups
from horovod_ocr.training.update import Schedule, Update

CPU = torch.device("cpu")
ENDLESS = 10**9  # steps: the learning rate stays at its peak


class DdpModel(DistributedDataParallel):
    """A model whose gradients torch averages over the ranks. BatchNorm's running statistics stay each rank's own."""

    def __init__(self, model: ImageModel) -> None:
        super().__init__(model, forward_sync_buffers=False)


@dataclass
class DemoStep:
    """Takes the demo's training steps."""

    world: World
    gradients: Gradients
    scale: int = 1
    """Factor of the loss."""
    steps: int = 0
    """Taken so far."""

    def take(self, batch: Batch) -> None:
        """One step, with everything that ranks do together in each step."""
        vote = StopSaveVote(self.world, None, False)
        self.gradients.compute(replace(batch, global_samples=batch.global_samples / self.scale))
        self.gradients.update.take(self.steps, len(batch))
        self.steps += 1
        vote.agree()


def build_step(
    config: TrainConfig,
    task: Task,
    world: World | None = None,
    wrap: Callable[[ImageModel], nn.Module] | None = None,
    scale: int = 1,
) -> DemoStep:
    """A new model, ready to train.

    world: None for a world of one. wrap: wraps the model for the forward passes, instead of the world. scale: of the
    loss.
    """
    world = world or AloneWorld()
    network = config.network
    model = build_model(network.model, task.outputs, network.height, **network.model_options).train()
    exchange = Allreduce(world, model, decay_groups(model, config.optimizer.weight_decay), build_optimizer)
    if wrap:
        exchange.model = wrap(model)
    schedule = Schedule(config.optimizer.lr, 0.0, ENDLESS)
    update = Update(model, exchange, schedule, config.optimizer.clip_norm, has_other_ranks=world.world_size > 1)
    if world.world_size == 1:  # only ours keeps them, in case an update fails
        update.statistics = update.statistics_before = []
    precision = choose_precision(config.ranks.precision, CPU, AloneWorld())
    return DemoStep(world, Gradients(model, task, update, precision, accumulate=1, needs_every_rank=False), scale)
