"""Does an exported model read as its checkpoint does, how well does it score, and what are its confidences worth?

Shapes: N images, T frames.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from horovod_ocr.data.batch import Batch
from horovod_ocr.data.image import RUN_STEP_PX, Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.store import ShardStore
from horovod_ocr.data.stream import Stream
from horovod_ocr.errors import ExportError
from horovod_ocr.evaluation.calibration import Rejection, calibration_error, fit_temperature, rejections
from horovod_ocr.recognizer.network import Network
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.readers import Reader

TIMED = 60  # images read one by one
MOST_DIFFERENCE = 1e-3  # of a logit of float32, relative to the largest one


class Output(NamedTuple):
    """What a model says of some rows of a batch."""

    rows: NDArray[np.int64]
    """Their numbers."""
    logits: NDArray[np.float32]
    """As of `Network.logits`."""
    frames_N: NDArray[np.int64] | None
    """The frames of each image that are not padding."""


@dataclass(frozen=True)
class Trial:
    """A model, and how its images are read."""

    network: Network
    """The model."""
    reader: Reader
    """Scores to readings, at the temperature of the export."""
    frame_px: int | None
    """As in `Recognizer`."""

    def outputs(self, batch: Batch) -> list[Output]:
        """What the model says of a batch, at the widths that a recogniser reads at."""
        images, valid_width_N = batch.images_NHWC.numpy(), batch.valid_width_N.numpy()
        whole = images.shape[2]
        width_N = np.minimum(-(-valid_width_N // RUN_STEP_PX) * RUN_STEP_PX, whole) if self.frame_px else None
        if self.frame_px is None or width_N is None:
            return [Output(np.arange(len(images)), self.network.logits(images), None)]
        found = []
        for width in np.unique(width_N):
            rows = np.flatnonzero(width_N == width)
            logits = self.network.logits(np.ascontiguousarray(images[rows, :, :width]))
            found.append(Output(rows, logits, -(-valid_width_N[rows] // self.frame_px)))
        return found

    def read(self, batch: Batch) -> list[Any]:
        """The readings of a batch."""
        return readings_of(self.outputs(batch), self.reader)


def readings_of(outputs: list[Output], reader: Reader) -> list[Any]:
    """The readings of a batch, in its order."""
    read = {
        row: one
        for rows, logits, frames_N in outputs
        for row, one in zip(rows, reader.read(logits, frames_N), strict=True)
    }
    return [read[row] for row in range(len(read))]


def some_batches(store: ShardStore, geometry: Geometry, split: str, most: int) -> Iterator[Batch]:
    """Up to about `most` samples of a split, unchanged, in an order that is always the same; each batch of one width.

    ShardError if the split holds none.
    """
    stream = Stream(store, geometry, StreamOptions(split, replaces_damaged=False))
    read = 0
    with closing(stream.batches()) as batches:
        for batch in batches:
            if len(batch):
                yield batch.cut()
            read += len(batch)
            if read >= most:
                return


@dataclass(frozen=True)
class Parity:
    """An exported model beside its checkpoint."""

    compared: int
    """Samples."""
    largest_difference: float
    """Between two logits."""


def compare(checkpoint: Trial, exported: Trial, batches: list[Batch]) -> Parity:
    """ExportError if the two do not read the same in every sample, or if their logits differ by more than rounding."""
    compared, largest, highest = 0, 0.0, 1.0
    for batch in batches:
        wanted, found = checkpoint.outputs(batch), exported.outputs(batch)
        for one, other in zip(wanted, found, strict=True):
            largest = max(largest, float(np.abs(one.logits - other.logits).max()))
            highest = max(highest, float(np.abs(one.logits).max()))
        pairs = zip(readings_of(wanted, checkpoint.reader), readings_of(found, exported.reader), strict=True)
        for sample, (one, other) in enumerate(pairs):
            if one.text != other.text:
                raise ExportError(
                    f"sample {compared + sample}: the checkpoint reads {one.text!r}, the exported model "
                    f"{other.text!r}; nothing is written"
                )
        compared += len(batch)
    if not largest <= MOST_DIFFERENCE * highest:
        raise ExportError(f"logits differ by {largest:.2g}, far more than rounding does; nothing is written")
    return Parity(compared, largest)


@dataclass(frozen=True)
class Scored:
    """A split read with a model."""

    values: dict[str, float]
    """As of `Scores.values`."""
    confidences_N: NDArray[np.float64]
    """Of each sample."""
    is_right_N: NDArray[np.bool_]
    """Which samples were read right."""

    @property
    def calibration_error(self) -> float:
        return calibration_error(self.confidences_N, self.is_right_N)

    @property
    def rejections(self) -> list[Rejection]:
        return rejections(self.confidences_N, self.is_right_N)


def score(trial: Trial, task: Task, store: ShardStore, batches: Iterator[Batch] | list[Batch]) -> Scored:
    """Every sample read once."""
    scores = task.empty_scores(store.index)
    confidences: list[float] = []
    right: list[bool] = []
    for batch in batches:
        readings = trial.read(batch)
        scores.add(readings, batch)
        confidences += [reading.confidence for reading in readings]
        right += scores.right(readings, batch)
    return Scored(scores.values(), np.array(confidences, np.float64), np.array(right, bool))


def fit(trial: Trial, task: Task, store: ShardStore, batches: list[Batch]) -> float:
    """The temperature for the confidences of a model."""
    outputs = [trial.outputs(batch) for batch in batches]
    is_right_N = score(trial, task, store, batches).is_right_N

    def confidences_at(temperature: float) -> NDArray[np.float64]:
        reader = trial.reader.at(temperature)
        return np.array([each.confidence for some in outputs for each in readings_of(some, reader)])

    return fit_temperature(confidences_at, is_right_N)


def milliseconds(networks: dict[str, Network], batches: list[Batch]) -> dict[str, float]:
    """What the run of one image takes in each model: medians, in turns. Only compare them with each other."""
    images = [batch.images_NHWC[:1].numpy() for batch in batches][:TIMED]
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for image in images:
        for name, network in networks.items():
            network.logits(image)
            began = time.perf_counter()
            network.logits(image)
            taken[name].append(time.perf_counter() - began)
    return {name: median(each) * 1e3 for name, each in taken.items()}


def lost_points(task: Task, fp32: Scored, int8: Scored) -> float:
    """What int8 loses, in points of a hundred: of the first score, or of the one that decides which checkpoint is the
    best, whichever is more."""
    first, best = task.figures.figures[0].key, task.figures.best
    return 100 * max(fp32.values[first] - int8.values[first], int8.values[best] - fp32.values[best])


def at(trial: Trial, temperature: float) -> Trial:
    """The same with another temperature."""
    return replace(trial, reader=trial.reader.at(temperature))
