"""The task of a shard set, or of a checkpoint."""

from typing import Any

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ConfigError
from horovod_ocr.models.build import MODELS
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.classes import ClassTask
from horovod_ocr.tasks.words import WordTask
from sharding.format.index import ShardIndex

TASKS: dict[str, type[Task]] = {task.kind: task for task in (WordTask, ClassTask)}


def task_of(index: ShardIndex, config: TrainConfig) -> Task:
    """The task that a shard set is for. ConfigError if there is none, or if the config does not go with it."""
    if index.kind not in TASKS:
        raise ConfigError(f"{index.root} holds {index.kind}, and this version trains {' and '.join(TASKS)}")
    task = TASKS[index.kind].of(index, config)
    check_model(task, config.network.model)
    return task


def check_model(task: Task, model: str) -> None:
    """ConfigError for a model of another kind than the task needs. A name that no model has is `build_model`'s."""
    fitting = [name for name, kind in MODELS.items() if issubclass(kind, task.model_kind)]
    if model in MODELS and model not in fitting:
        raise ConfigError(f"model {model} does not learn {task.kind}; those that do: {', '.join(fitting)}")


def task_from_dict(values: dict[str, Any]) -> Task:
    """The task of a checkpoint. LookupError, TypeError or ValueError if the values are not those of a task."""
    return TASKS[values["kind"]].from_dict(values)
