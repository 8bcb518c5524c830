"""What is trained while a study measures: a recipe's model on batches of its shards, or a model that sleeps."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice

import torch
from torch import nn

from horovod_ocr.config.train import TrainConfig, check_ranks
from horovod_ocr.data.batch import Batch, prefetch
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.store import open_store
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.device import choose_precision
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import ShardError
from horovod_ocr.scaling.simulated import SleepingGradients, SleepingModel
from horovod_ocr.tasks.build import build_model_for, task_of
from horovod_ocr.tasks.geometry import geometry_of
from horovod_ocr.training.gradients import Gradients
from horovod_ocr.training.update import Update

BATCHES = 8  # taken in turn


class Subject(ABC):
    """What a rank trains."""

    name: str
    """For people."""
    samples: int
    """Of a rank in a step."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A new model, the same on every rank, on this rank's device."""

    @abstractmethod
    def computation(self, model: nn.Module, update: Update) -> Callable[[], object]:
        """Forward and backward of this rank's next batch. model: of `build_model`."""


class Asleep(Subject):
    """A model that sleeps."""

    def __init__(self, parameters: int, step_s: float, samples: int, device: torch.device):
        """parameters, step_s: see `SleepingModel`. samples: that this time is said to be for."""
        self.parameters, self.step_s, self.samples, self.device = parameters, step_s, samples, device
        self.name = f"a model of {parameters / 1e6:g} M parameters that sleeps"

    def build_model(self) -> nn.Module:
        return SleepingModel(self.parameters, self.step_s).to(self.device)

    def computation(self, model: nn.Module, update: Update) -> Callable[[], object]:
        assert isinstance(model, SleepingModel)
        return SleepingGradients(model, update).compute


class Recipe(Subject):
    """A recipe's model, on batches in memory."""

    def __init__(self, config: TrainConfig, samples: int, world: World, device: torch.device):
        """Reads the batches. Collective. Raises ShardError or ConfigError if that cannot be trained."""
        check_ranks(config.plan.lanes, world.world_size)
        self.config, self.samples, self.device = config, samples, device
        self.precision = choose_precision(config.ranks.precision, device, world)
        data = config.data
        store = world.collectively(lambda: open_store(data.shards, data.cache_dir, data.cache_bytes))
        network = config.network
        self.geometry = geometry_of(store.index.kind, network, store.index.bucket_edges)
        self.task = task_of(store.index, config)
        self.name = f"{network.model} of recipe {config.recipe}"
        options = StreamOptions(
            "train",
            lanes=config.plan.lanes,
            global_batch=samples * world.world_size,
            rank=world.rank,
            world_size=world.world_size,
        )
        stream = Stream(store, self.geometry, options)
        self.batches = world.collectively(lambda: alike(stream, BATCHES))

    def build_model(self) -> nn.Module:
        torch.manual_seed(self.config.seed)
        network = self.config.network
        return build_model_for(self.task, self.geometry, network.model, network.model_options).to(self.device).train()

    def computation(self, model: nn.Module, update: Update) -> Callable[[], object]:
        gradients = Gradients(model, self.task, update, self.precision, 1, needs_every_rank=False)  # type: ignore[arg-type]
        sequence = cycle(list(prefetch(iter(self.batches), self.device)))
        return lambda: gradients.compute(next(sequence))


def alike(stream: Stream, most: int) -> list[Batch]:
    """This rank's shares of whole batches of the most frequent width, at most `most`. ShardError if there is none."""
    whole = stream.options.global_batch
    batches = [
        batch
        for batch in islice(stream.batches(0, stream.steps), 8 * most)
        if batch.global_samples == whole and len(batch)
    ]
    if not batches:
        raise ShardError(f"the train split holds no batch of {whole} samples; give a smaller --global-batch")
    ((width_px, _),) = Counter(batch.images_NHWC.shape[2] for batch in batches).most_common(1)
    return [batch for batch in batches if batch.images_NHWC.shape[2] == width_px][:most]
