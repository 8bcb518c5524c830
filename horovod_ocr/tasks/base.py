"""What the trainer asks of a task. Nothing outside this package asks which task it is.

Shapes: N images.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.image import Geometry
from horovod_ocr.models.base import ImageModel
from horovod_ocr.models.forward import ModelOutput
from horovod_ocr.tasks.figures import TaskFigures
from horovod_ocr.tasks.readers import Reader
from sharding.format.index import ShardIndex


class Losses(NamedTuple):
    """The losses of some samples."""

    losses_N: Tensor
    """Loss of each sample; it has a gradient."""
    is_finite_N: Tensor
    """bool: whether the sample's loss and logits are all finite."""
    sums: dict[str, Tensor | int]
    """Sums over these samples that the log line is made of, by name: those of `Task.log_sums`."""


class Scores(Protocol):
    """Sums over the samples of a split. They can be added over ranks, and are divided once, at the end."""

    def right(self, readings: Sequence[Any], batch: Batch) -> list[bool]:
        """Which samples of a batch were read right."""

    def add(self, readings: Sequence[Any], batch: Batch) -> None:
        """Add a batch and what was read in it."""

    def state(self) -> Any:
        """What another rank needs to add these sums to its own."""

    def merge(self, states: Sequence[Any]) -> None:
        """Replace the sums by those of all ranks together, in the order of the ranks."""

    def values(self) -> dict[str, float]:
        """The scores over the whole split, as fractions, and `samples`."""

    def report(self, split: str) -> dict[str, Any]:
        """The content of eval.json: `values`, the same for parts of the split, examples. split: that was read.

        `worst`, if there: samples to be looked at, each a dictionary with `label`, `reading`, `confidence`, `shard` and
        `row`.
        """


class Task(Protocol):
    """One kind of sample: its targets, loss, readings and scores. The sizes of its images are in `tasks.geometry`, its
    names for scores in `tasks.figures`, its recipe in `tasks.recipe`: these need no torch."""

    kind: ClassVar[str]
    """The kind of shard set that it is trained on: "words" or "classes"."""
    model_kind: ClassVar[type[ImageModel]]
    """The kind of model that it needs."""
    figures: ClassVar[TaskFigures]
    """Its scores, and the one that decides which checkpoint is the best."""
    kept_in_a_run: ClassVar[str]
    """What a run must keep to be resumed, in words."""
    log_sums: ClassVar[tuple[str, ...]]
    """Names of the sums that `loss` returns for the log line."""

    @classmethod
    def of(cls, index: ShardIndex, config: TrainConfig) -> "Task":
        """The task for a shard set of its kind. ConfigError for settings that do not go with the set."""

    @classmethod
    def of_reader(cls, reader: Any) -> "Task":
        """The task of a checkpoint. reader: one of its kind."""

    @property
    def outputs(self) -> int:
        """Width of the model's head."""

    def output_names(self) -> list[str]:
        """What each output stands for. In another task of this kind the same name stands for the same."""

    def loss(self, output: ModelOutput, labels: Sequence[str]) -> Losses:
        """The loss of each sample. Without samples it is still a graph that reaches the model's weights."""

    @property
    def reader(self) -> Reader:
        """What turns the model's scores into readings."""

    def empty_scores(self, index: ShardIndex) -> Scores:
        """Scores of no samples. index: of the set that will be read."""

    def log_values(self, sums: dict[str, float]) -> dict[str, float]:
        """What metrics.jsonl holds of an interval. sums: of all ranks, by the names of `log_sums`."""

    def log_text(self, values: dict[str, float]) -> tuple[str | None, str | None]:
        """The log line's words about `log_values`: right after the loss, and at the end of the line."""

    def describe_outputs(self) -> str:
        """What the outputs stand for, for the first lines of a run."""

    def opening_remarks(self, index: ShardIndex, model: ImageModel, geometry: Geometry) -> list[str]:
        """Sentences for the first lines of a run: what the log line means, and what of the shard set does not go well
        with the model."""

    def check_readable(self, index: ShardIndex) -> None:
        """CheckpointError if a model of this task cannot write the labels of a set of its kind."""

    def to_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of the task: that of its reader."""


def read_output(task: Task, output: ModelOutput) -> Sequence[Any]:
    """What the model reads in each image."""
    frames_N = None if output.frames_N is None else output.frames_N.cpu().numpy()
    return task.reader.read(output.logits.cpu().numpy(), frames_N)
