"""The task of a shard set, or of a checkpoint; and a model for it."""

from typing import Any

from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import ConfigError
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.build import MODELS, build_model
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.words import WordTask
from sharding.format.index import ShardIndex

TASKS: dict[str, type[Task]] = {task.kind: task for task in (WordTask,)}


def task_of(index: ShardIndex) -> Task:
    """The task that a shard set is for. ConfigError if there is none."""
    if index.kind not in TASKS:
        raise ConfigError(
            f"{index.root} holds {index.kind}, and this version trains words: shard images with a text each"
        )
    return TASKS[index.kind].of(index)


def task_from_dict(values: dict[str, Any]) -> Task:
    """The task of a checkpoint. LookupError, TypeError or ValueError if the values are not those of a task."""
    return TASKS[values["kind"]].from_dict(values)


def build_model_for(task: Task, geometry: Geometry, name: str, options: dict[str, Any]) -> ImageModel:
    """A new model with random weights for the samples of a task.

    Raises ConfigError as `build_model`, and for a model that does not read such samples.
    """
    fitting = [each for each, model in MODELS.items() if issubclass(model, task.model_type)]
    if name in MODELS and name not in fitting:
        raise ConfigError(f"model {name} reads no {task.kind}; give one that does: {', '.join(fitting)}")
    return build_model(name, task.outputs, geometry.height, geometry.channels, **options)
