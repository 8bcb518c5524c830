"""The task of a shard set, or of a checkpoint; and a model for it."""

from typing import Any

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ConfigError
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.build import MODELS, build_model
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.classes import ClassTask
from horovod_ocr.tasks.readers import reader_from_dict
from horovod_ocr.tasks.words import WordTask
from sharding.format.index import ShardIndex

TASKS: dict[str, type[Task]] = {task.kind: task for task in (WordTask, ClassTask)}


def task_of(index: ShardIndex, config: TrainConfig) -> Task:
    """The task that a shard set is for. ConfigError if there is none, or if the config does not go with it."""
    if index.kind not in TASKS:
        raise ConfigError(f"{index.root} holds {index.kind}, and this version trains {' and '.join(TASKS)}")
    return TASKS[index.kind].of(index, config)


def task_from_dict(values: dict[str, Any]) -> Task:
    """The task of a checkpoint. Raises as `reader_from_dict` if the values are not those of a task."""
    reader = reader_from_dict(values)
    return TASKS[reader.kind].of_reader(reader)


def build_model_for(task: Task, geometry: Geometry, name: str, options: dict[str, Any]) -> ImageModel:
    """A new model with random weights for the samples of a task.

    Raises ConfigError as `build_model`, and for a model of another kind than the task needs.
    """
    fitting = [each for each, model in MODELS.items() if issubclass(model, task.model_kind)]
    if name in MODELS and name not in fitting:
        raise ConfigError(f"model {name} does not learn {task.kind}; those that do: {', '.join(fitting)}")
    return build_model(name, task.outputs, geometry.height, geometry.channels, **options)
