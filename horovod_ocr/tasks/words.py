"""Words and lines, learnt by CTC.

Shapes: T frames, N images, C outputs, S targets of all images one after another.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from horovod_ocr.config.train import LossConfig, TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.image import Geometry
from horovod_ocr.errors import CheckpointError, ConfigError
from horovod_ocr.models.base import FrameModel, ImageModel
from horovod_ocr.models.forward import ModelOutput
from horovod_ocr.tasks.base import Losses
from horovod_ocr.tasks.figures import WORDS, TaskFigures
from horovod_ocr.tasks.readers import WordReader
from horovod_ocr.text.charset import BLANK_ID, Charset
from horovod_ocr.text.decode import Reading
from horovod_ocr.text.metrics import build_counts, count_reading, scores_by_length, scores_of
from sharding.format.frames import Frames
from sharding.format.index import ShardIndex
from sharding.format.script.letters import PROFILES
from sharding.format.script.profile import ScriptProfile

EXAMPLES = 10  # readings kept to look at
MOST_CONFUSED = 20


@dataclass(frozen=True)
class WordTask:
    """Words and lines, learnt by CTC (Graves et al., 2006) over a charset. See `tasks.base.Task`."""

    charset: Charset
    """Its letters and the blank are the outputs of the model's head."""
    kind: ClassVar[str] = WordReader.kind
    """Sets whose labels are texts."""
    model_kind: ClassVar[type[ImageModel]] = FrameModel
    """CTC needs frames."""
    figures: ClassVar[TaskFigures] = WORDS
    """The lowest CER is the best."""
    kept_in_a_run: ClassVar[str] = "charset or script profile"
    """What the outputs mean depends on both."""
    log_sums: ClassVar[tuple[str, ...]] = ("blank_frames", "frames", "too_long")
    """Frames whose best output is the blank, all frames, labels that need more frames than there are."""

    @classmethod
    def of(cls, index: ShardIndex, config: TrainConfig) -> "WordTask":
        """The task for a set of words. ConfigError for settings of classes."""
        if config.loss != LossConfig():
            raise ConfigError(f"label_smoothing and class_weights are for classes, and {index.root} holds words")
        return cls(charset_of(index))

    @property
    def outputs(self) -> int:
        return len(self.charset)

    def output_names(self) -> list[str]:
        """`blank`, then the letters."""
        return ["blank", *self.charset.letters]

    def targets(self, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Labels to targets_S (int64, end to end) and lengths_N."""
        encoded = [self.charset.encode(label) for label in labels]
        # by way of numpy: three times as fast as torch.tensor
        lengths_N = np.fromiter(map(len, encoded), np.int64, len(encoded))
        targets_S = np.fromiter(chain.from_iterable(encoded), np.int64, int(lengths_N.sum()))
        return torch.from_numpy(targets_S), torch.from_numpy(lengths_N)

    def loss(self, output: ModelOutput, labels: Sequence[str]) -> Losses:
        """CTC loss of each sample. `too_long`: labels that need more than T frames; their loss is zero."""
        logits_TNC, frames_N = output.logits, frames_of(output)
        if labels:
            losses_N, too_long = self.ctc_losses(logits_TNC, frames_N, labels)
        else:  # still a graph: synchronised BatchNorm needs this rank's backward
            losses_N, too_long = logits_TNC.sum((0, 2)) * 0, 0
        logits_TNC = logits_TNC.detach()
        return Losses(
            losses_N,
            # of the logits, too: CTC finds no path through logits that are not finite, which counts as a loss of zero
            losses_N.detach().isfinite() & logits_TNC.isfinite().all(2).all(0),
            {
                "blank_frames": (logits_TNC.argmax(-1) == BLANK_ID).sum(),
                "frames": logits_TNC.shape[0] * logits_TNC.shape[1],
                "too_long": too_long,
            },
        )

    def ctc_losses(self, logits_TNC: Tensor, frames_N: Tensor, labels: Sequence[str]) -> tuple[Tensor, int]:
        """losses_N, and how many labels are too long for T frames. At least one label."""
        targets_S, lengths_N = self.targets(labels)
        # scaled down at random, a sample may need a few frames of its padding
        needed_N, frames = lengths_N + count_repeats(targets_S, lengths_N), logits_TNC.shape[0]
        frames_N = torch.maximum(frames_N, needed_N).clamp(max=frames)
        log_probs_TNC = logits_TNC.log_softmax(-1)
        losses_N = functional.ctc_loss(
            log_probs_TNC, targets_S, frames_N, lengths_N, BLANK_ID, reduction="none", zero_infinity=True
        )
        return losses_N, int((needed_N > frames).sum())

    @property
    def reader(self) -> WordReader:
        return WordReader(self.charset)

    def empty_scores(self, index: ShardIndex) -> "WordScores":
        return WordScores(self.charset.profile, index.subsets)

    def log_values(self, sums: dict[str, float]) -> dict[str, float]:
        """blank_share, of all frames; too_long."""
        return {"blank_share": sums["blank_frames"] / max(1, sums["frames"]), "too_long": int(sums["too_long"])}

    def log_text(self, values: dict[str, float]) -> tuple[str, str | None]:
        too_long = f"{values['too_long']} labels too long for their frames" if values["too_long"] else None
        return f"blank {values['blank_share']:.2f}", too_long

    def describe_outputs(self) -> str:
        profile = self.charset.profile
        return f"{len(self.charset.letters)} letters, profile {profile.name} ({profile.direction})"

    def opening_remarks(self, index: ShardIndex, model: ImageModel, geometry: Geometry) -> list[str]:
        """A warning if the model makes fewer frames of an image than labels were checked against at sharding; and what
        blank means."""
        assert isinstance(model, FrameModel), "words need a model that reads frames"
        remarks = []
        checked, frames = index.frames, Frames(geometry.height, model.frame_stride_px)
        if frames.height_px * checked.frame_px < checked.height_px * frames.frame_px:
            remarks.append(
                f"warning: labels of {index.root} were checked against frames of {checked.frame_px} px at a height of "
                f"{checked.height_px} px, and this model makes fewer, of {frames.frame_px} px at {frames.height_px} "
                "px: labels that do not fit are counted below; shard with "
                f"--model-height {frames.height_px} --frame-px {frames.frame_px} to reject them"
            )
        remarks.append(
            "blank is the share of frames without a letter: near 1 for the first few hundred steps, then it falls"
        )
        return remarks

    def check_readable(self, index: ShardIndex) -> None:
        """CheckpointError if the model cannot write the labels, or they were normalised in another way."""
        mine = charset_of(index)
        self.charset.require(mine.letters, str(index.root))
        theirs = self.charset.profile
        if mine.profile.to_dict() != theirs.to_dict():
            named = theirs.name if theirs.name in PROFILES else f"FILE (of {theirs.name})"
            raise CheckpointError(
                f"{index.root} was normalised as {mine.profile.name} ({mine.profile.direction}), the checkpoint's "
                f"labels as {theirs.name} ({theirs.direction}) with its own letters and folds; shard these images with "
                f"--profile {named} --direction {theirs.direction}"
            )

    def to_dict(self) -> dict[str, Any]:
        return self.reader.to_dict()

    @classmethod
    def of_reader(cls, reader: WordReader) -> "WordTask":
        return cls(reader.charset)


def charset_of(index: ShardIndex) -> Charset:
    """The charset of a set of words."""
    return Charset.build(index.alphabet, index.profile)


def frames_of(output: ModelOutput) -> Tensor:
    """frames_N of a model that reads frames: `build_model_for` builds no other one for words."""
    assert output.frames_N is not None, "words need a model that reads frames"
    return output.frames_N


class WordScores:
    """Edits, confusions and examples of a split. See `tasks.base.Scores`."""

    def __init__(self, profile: ScriptProfile, subsets: Sequence[str]):
        """profile: of the model's charset. subsets: names of those of the set that is read."""
        self.profile, self.subsets = profile, subsets
        self.counts = build_counts(len(subsets))
        self.confusions: Counter[tuple[str, str]] = Counter()  # (letter of the label, letter read)
        self.examples: list[tuple[str, str]] = []  # (label, reading) of the first samples

    def right(self, readings: Sequence[Reading], batch: Batch) -> list[bool]:
        as_read = map(self.profile.as_read, batch.labels)
        return [reading.text == label for reading, label in zip(readings, as_read, strict=True)]

    def add(self, readings: Sequence[Reading], batch: Batch) -> None:
        """Of labels that look alike in an image, one is what a reading can be: `ScriptProfile.as_read`."""
        as_read = map(self.profile.as_read, batch.labels)
        for reading, label, subset in zip(readings, as_read, batch.subsets_N.tolist(), strict=True):
            count_reading(self.counts, self.confusions, subset, reading.text, label)
            if len(self.examples) < EXAMPLES:
                self.examples.append((label, reading.text))

    def state(self) -> tuple[np.ndarray, Counter[tuple[str, str]], list[tuple[str, str]]]:
        return self.counts, self.confusions, self.examples

    def merge(self, states: Sequence[tuple[np.ndarray, Counter[tuple[str, str]], list[tuple[str, str]]]]) -> None:
        self.counts = np.sum([counts for counts, _, _ in states], axis=0)
        self.confusions = sum((confusions for _, confusions, _ in states), Counter())
        self.examples = [example for _, _, examples in states for example in examples][:EXAMPLES]

    def values(self) -> dict[str, float]:
        """word_accuracy, cer, one_minus_ned and samples."""
        return scores_of(self.counts)

    def report(self, split: str) -> dict[str, Any]:
        """`values` and `by_length` over the whole split; `subsets`: the same for each subset with a name; `confusions`:
        the most frequent, as [letter of the label, letter read, times], "" for a letter left out or put in;
        `examples`."""
        named = {name: self.counts[number] for number, name in enumerate(self.subsets) if name}
        confused = sorted(self.confusions.items(), key=lambda item: (-item[1], item[0]))[:MOST_CONFUSED]
        return {
            **self.values(),
            "by_length": scores_by_length(self.counts),
            "subsets": {
                name: {**scores_of(counts), "by_length": scores_by_length(counts)}
                for name, counts in named.items()
                if counts.any()
            },
            "confusions": [[wanted, read, times] for (wanted, read), times in confused],
            "examples": [{"label": label, "reading": reading} for label, reading in self.examples],
        }


def count_repeats(targets_S: Tensor, lengths_N: Tensor) -> Tensor:
    """Adjacent equal targets of each label (int64, N): CTC needs a blank frame between them."""
    ends_N = lengths_N.cumsum(0)
    seconds_N = torch.minimum(ends_N - lengths_N + 1, ends_N)  # where each label's second target is, if it has one
    # before[s]: repeats before target s, also those between labels, which the difference leaves out
    before = functional.pad((targets_S[1:] == targets_S[:-1]).cumsum(0), (2, 0))
    return before[ends_N] - before[seconds_N]
