"""The task of a shard set, or of a checkpoint."""

from typing import Any

from horovod_ocr.errors import ConfigError
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
