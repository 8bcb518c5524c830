"""Steps of training in one way, as the trainer takes them."""

import time

import torch

from horovod_ocr.config.train import ExchangeConfig
from horovod_ocr.distributed.exchange.build import build_exchange
from horovod_ocr.distributed.world import World
from horovod_ocr.scaling.subject import Subject
from horovod_ocr.scaling.ways import Way
from horovod_ocr.training.optim import build_optimizer, decay_groups
from horovod_ocr.training.update import Schedule, Update

ENDLESS = 10**9  # steps: the learning rate stays at its peak


class Steps:
    """A new model that is trained in one way."""

    def __init__(self, subject: Subject, world: World, way: Way, local_steps: int):
        """Collective."""
        model = subject.build_model()
        settings = ExchangeConfig(way.exchange, way.compression, local_steps)  # type: ignore[arg-type]
        exchange = build_exchange(settings, world, model, decay_groups(model, 0.0), build_optimizer, ENDLESS)
        exchange.begin()
        self.update = Update(model, exchange, Schedule(1e-3, 0.0, ENDLESS), 5.0, world.world_size > 1)
        self.compute = subject.computation(model, self.update)
        self.samples = subject.samples
        self.is_on_gpu = next(model.parameters()).is_cuda
        self.round_steps = local_steps if way.is_local else 1
        self.taken = 0
        self.started_s = 0.0

    def take(self) -> float:
        """One step; its seconds. Collective."""
        self.started_s = time.perf_counter()
        self.compute()
        self.update.take(self.taken, self.samples)
        if self.is_on_gpu:
            torch.cuda.synchronize()
        self.taken += 1
        return time.perf_counter() - self.started_s
