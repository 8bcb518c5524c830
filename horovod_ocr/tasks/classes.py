"""Classes: what an image shows, learnt by cross-entropy.

Shapes: N images, C classes.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from horovod_ocr.config.train import LossConfig, TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError, ConfigError
from horovod_ocr.models.base import Classifier, ImageModel
from horovod_ocr.models.forward import ModelOutput
from horovod_ocr.tasks.base import Losses
from horovod_ocr.tasks.class_metrics import area_under_curve, most_confused, scores_by_class, scores_of
from horovod_ocr.tasks.figures import CLASSES, TaskFigures
from horovod_ocr.tasks.readers import MOST_SHOWN, ClassReader, ClassReading
from sharding.format.index import ShardIndex
from sharding.wording import some_names

MOST_CONFUSED = 20
MOST_WORST = 30  # samples kept to look at
MOST_KNOWN = 50  # classes of a model that does not fit a set
LEAST = float(np.finfo(np.float64).tiny)  # taken for a probability of 0, which has no logarithm


@dataclass(frozen=True)
class ClassTask:
    """Classes, learnt by cross-entropy. See `tasks.base.Task`."""

    classes: tuple[str, ...]
    """Their names, sorted; the outputs of the model's head."""
    label_smoothing: float = 0.0
    """As in `LossConfig`."""
    weights: tuple[float, ...] = ()
    """Of each class in the loss; empty: 1."""
    kind: ClassVar[str] = ClassReader.kind
    """Sets whose labels are positions in a list of names."""
    model_kind: ClassVar[type[ImageModel]] = Classifier
    """Reads an image as a whole."""
    figures: ClassVar[TaskFigures] = CLASSES
    """The lowest error rate is the best."""
    kept_in_a_run: ClassVar[str] = "list of classes"
    """What the outputs mean depends on it."""
    log_sums: ClassVar[tuple[str, ...]] = ("right", "read")
    """Samples whose best output is their class, and all samples."""

    @classmethod
    def of(cls, index: ShardIndex, config: TrainConfig) -> "ClassTask":
        """The task for a set of classes. ConfigError if the set does not say how many samples a class has, and they are
        to be balanced."""
        loss = config.loss
        return cls(index.classes, loss.label_smoothing, class_weights(index, loss))

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def output_names(self) -> list[str]:
        return list(self.classes)

    def loss(self, output: ModelOutput, labels: Sequence[str]) -> Losses:
        """Cross-entropy of each sample, with smoothed targets, times the weight of its class."""
        logits_NC = output.logits
        targets_N = torch.tensor([int(label) for label in labels], dtype=torch.int64, device=logits_NC.device)
        losses_N = functional.cross_entropy(
            logits_NC, targets_N, reduction="none", label_smoothing=self.label_smoothing
        )
        if self.weights:
            losses_N = losses_N * logits_NC.new_tensor(self.weights)[targets_N]
        logits_NC = logits_NC.detach()
        return Losses(
            losses_N,
            losses_N.detach().isfinite() & logits_NC.isfinite().all(1),
            {"right": (logits_NC.argmax(1) == targets_N).sum(), "read": len(labels)},
        )

    @property
    def reader(self) -> ClassReader:
        return ClassReader(self.classes)

    def empty_scores(self, index: ShardIndex) -> "ClassScores":
        return ClassScores(self.classes, index)

    def log_values(self, sums: dict[str, float]) -> dict[str, float]:
        """train_accuracy, of the samples as they were augmented."""
        return {"train_accuracy": sums["right"] / max(1, sums["read"])}

    def log_text(self, values: dict[str, float]) -> tuple[str, None]:
        return f"right {values['train_accuracy']:.2f}", None

    def describe_outputs(self) -> str:
        return f"{len(self.classes)} classes ({some_names(self.classes, MOST_SHOWN)})"

    def opening_remarks(self, index: ShardIndex, model: ImageModel, geometry: Geometry) -> list[str]:
        """Warnings of classes that cannot be learnt or scored; and what `right` means."""
        train = dict(zip(index.classes, index.counts.class_samples.get("train", ()), strict=False))
        used = dict.fromkeys(classes_with_samples(index))
        missing = [name for name in used if not train.get(name, 1)]
        unused = [name for name in index.classes if name not in used]
        remarks = []
        if unused:
            remarks.append(
                f"warning: no image of {some_names(unused, MOST_SHOWN)} could be packed: the model has an output for "
                "every class, but never learns to read these"
            )
        if missing:
            remarks.append(
                f"warning: the train split has no image of {some_names(missing, MOST_SHOWN)}: such an image of another "
                "split is never read right"
            )
        remarks.append("right is the share of the training samples, as they were augmented, whose class was read")
        return remarks

    def check_readable(self, index: ShardIndex) -> None:
        """CheckpointError if the set has samples of classes that the model does not know. It may lack some."""
        if unknown := [name for name in classes_with_samples(index) if name not in self.classes]:
            raise CheckpointError(
                f"{index.root} has classes that the model was not trained on: {some_names(unknown, MOST_SHOWN)}; "
                f"it knows: {some_names(self.classes, MOST_KNOWN)}"
            )

    def to_dict(self) -> dict[str, Any]:
        return self.reader.to_dict()

    @classmethod
    def of_reader(cls, reader: ClassReader) -> "ClassTask":
        return cls(reader.classes)


def classes_with_samples(index: ShardIndex) -> list[str]:
    """The classes of a set without those of which it holds no sample in any split: every image of such a class was
    rejected. All of them if the set does not say how many samples a class has."""
    if not index.counts.class_samples:
        return list(index.classes)
    in_all = zip(*index.counts.class_samples.values(), strict=True)
    return [name for name, counts in zip(index.classes, in_all, strict=True) if any(counts)]


def class_weights(index: ShardIndex, loss: LossConfig) -> tuple[float, ...]:
    """Balanced: samples / (classes x samples of the class), so that all classes weigh the same, and the mean over the
    samples is 1. A class without samples weighs nothing."""
    if loss.class_weights == "none":
        return ()
    counts = index.counts.class_samples.get("train")
    if not counts:
        raise ConfigError(
            f"class_weights is balanced, and {index.root} does not say how many samples each class has: it is of an "
            "earlier version; shard again, or leave class_weights out"
        )
    present = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)


def log_odds_of(reading: ClassReading) -> float:
    """log (p of the second class / p of the first one) of a reading of two classes: the difference of their logits."""
    first, second = (math.log(max(float(p), LEAST)) for p in reading.probabilities_C)
    return second - first


class Mistake(NamedTuple):
    """A sample that was read as another class."""

    confidence: float
    """Probability of the class that was read."""
    label: str
    """Its class."""
    reading: str
    """The class that was read."""
    shard: int
    """Number of its shard among those of the split."""
    row: int
    """In the shard."""


class ClassScores:
    """Confusions, odds and the worst mistakes of a split. See `tasks.base.Scores`."""

    def __init__(self, classes: tuple[str, ...], index: ShardIndex):
        """classes: of the model. index: of the set that is read; its classes are among them."""
        self.classes, self.index = classes, index
        self.numbers = {name: number for number, name in enumerate(classes)}
        self.reset()

    def reset(self) -> None:
        """No samples."""
        size = len(self.classes)
        self.confusions: dict[int, NDArray[np.int64]] = defaultdict(lambda: np.zeros((size, size), np.int64))
        self.log_loss = 0.0
        # of two classes: the log odds of the second one, for each sample of either; the probabilities of sure readings
        # would all round to 1
        self.log_odds: tuple[list[float], list[float]] = ([], [])
        self.worst: list[Mistake] = []

    def right(self, readings: Sequence[ClassReading], batch: Batch) -> list[bool]:
        names = self.index.classes
        return [reading.text == names[int(label)] for reading, label in zip(readings, batch.labels, strict=True)]

    def add(self, readings: Sequence[ClassReading], batch: Batch) -> None:
        names = self.index.classes
        for position, (reading, label) in enumerate(zip(readings, batch.labels, strict=True)):
            name = names[int(label)]
            number = self.numbers[name]
            self.confusions[int(batch.subsets_N[position])][number, self.numbers[reading.text]] += 1
            self.log_loss -= math.log(max(float(reading.probabilities_C[number]), 1e-12))
            if len(self.classes) == 2:
                self.log_odds[number].append(log_odds_of(reading))
            if reading.text != name:
                shard, row = int(batch.shards_N[position]), int(batch.rows_N[position])
                self.worst.append(Mistake(reading.confidence, name, reading.text, shard, row))
        self.keep_worst()

    def keep_worst(self) -> None:
        self.worst = sorted(self.worst, key=lambda mistake: (-mistake.confidence, *mistake[3:]))[:MOST_WORST]

    def state(self) -> Any:
        return dict(self.confusions), self.log_loss, self.log_odds, self.worst

    def merge(self, states: Sequence[Any]) -> None:
        self.reset()
        for confusions, log_loss, log_odds, worst in states:
            for subset, confusion in confusions.items():
                self.confusions[subset] += confusion
            self.log_loss += log_loss
            for mine, theirs in zip(self.log_odds, log_odds, strict=True):
                mine += theirs
            self.worst += worst
        self.keep_worst()

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Of the whole split."""
        return sum(self.confusions.values(), np.zeros((len(self.classes),) * 2, np.int64))

    def values(self) -> dict[str, float]:
        """accuracy, error_rate, macro_f1, log_loss and samples; of two classes auc, auc_low and auc_high too."""
        values = scores_of(self.confusion)
        values["log_loss"] = self.log_loss / max(1, values["samples"])
        negative, positive = (np.array(each, np.float64) for each in self.log_odds)
        if area := area_under_curve(positive, negative):
            values |= {"auc": area.value, "auc_low": area.low, "auc_high": area.high}
        return values

    def report(self, split: str) -> dict[str, Any]:
        """`values`; `classes`, their names; `confusion`, by class of the label, then by class read; `by_class`;
        `confused`, the most frequent, as [class of the label, class read, times]; `subsets`: the scores of each subset
        with a name; `worst`: the mistakes of the highest confidence, with shard and row."""
        shards, confusion = self.index.of(split), self.confusion
        named = {self.index.subsets[number]: each for number, each in sorted(self.confusions.items())}
        return {
            **self.values(),
            "classes": list(self.classes),
            "confusion": confusion.tolist(),
            "by_class": dict(zip(self.classes, scores_by_class(confusion), strict=True)),
            "confused": [
                [self.classes[label], self.classes[read], times]
                for label, read, times in most_confused(confusion, MOST_CONFUSED)
            ],
            "subsets": {name: scores_of(each) for name, each in named.items() if name},
            "worst": [mistake._asdict() | {"shard": shards[mistake.shard].name} for mistake in self.worst],
        }
