"""What is to be exported, and what was made of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from horovod_ocr.export.trial import Parity, Scored
from horovod_ocr.recognizer.network import OnnxNetwork

MOST_LOST = 0.5  # points


class OnnxModel(NamedTuple):
    """A model as it is written."""

    content: bytes
    """Of its .onnx file."""
    images_a_run: int
    """At most."""

    def network(self) -> OnnxNetwork:
        """The model, loaded."""
        return OnnxNetwork(self.content, self.images_a_run)


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported."""

    run: Path
    """The run's folder; of a checkpoint that is in no run its own."""
    payload: dict[str, Any] = field(repr=False)
    """The checkpoint."""
    out: Path
    """The folder to write; the zip is beside it, and named after it."""
    shards: str | None = None
    """Where the shards are; None: those that the run was trained with."""
    int8: bool = True
    """Whether to make the int8 model."""
    most_lost: float = MOST_LOST
    """How many points the int8 model may lose."""

    @property
    def name(self) -> str:
        return self.run.name


@dataclass
class Exported:
    """What was made, and how good it is."""

    task_kind: str
    """As in `Task`."""
    split: str
    """The split that was scored."""
    temperature: float
    """Of the confidences."""
    parity: Parity
    """The float32 model beside the checkpoint."""
    scored: dict[str, Scored]
    """By precision."""
    models: dict[str, OnnxModel]
    """By precision."""
    ms: dict[str, float]
    """By precision, and `torch`: what one image takes on one core."""
    calibrated_on: str
    """The split that the temperature was fitted on."""
