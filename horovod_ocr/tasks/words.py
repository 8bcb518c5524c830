"""What is trained: targets, loss, decoding and scores of one kind of sample. Nothing else asks which kind it is.

Shapes: T frames, N images, C classes, S targets of all images one after another.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from horovod_ocr.errors import ConfigError
from horovod_ocr.text.charset import BLANK_ID, Charset
from horovod_ocr.text.decode import Reading, greedy_decode
from horovod_ocr.text.metrics import build_counts, count_reading
from sharding.format.index import ShardIndex

EXAMPLES = 10  # readings kept to look at


@dataclass
class Scores:
    """Sums over samples, to be added over ranks. counts: see text.metrics. examples: (label, reading) of the first.
    unreadable: damaged samples, which are left out."""

    counts: np.ndarray
    confusions: Counter = field(default_factory=Counter)
    examples: list[tuple[str, str]] = field(default_factory=list)
    unreadable: int = 0


@dataclass(frozen=True)
class WordTask:
    """Words and lines, learnt by CTC (Graves et al., 2006) over a charset."""

    charset: Charset

    @classmethod
    def of(cls, index: ShardIndex) -> "WordTask":
        """The task that a shard set holds."""
        if index.kind != "words":
            raise ConfigError(
                f"{index.root} holds {index.kind}, and this version trains words: shard images with a text each"
            )
        return cls(Charset.build(index.alphabet, index.profile))

    @property
    def outputs(self) -> int:
        """Width of the model's head."""
        return len(self.charset)

    def targets(self, labels: list[str]) -> tuple[Tensor, Tensor]:
        """Labels to targets_S (int64, end to end) and lengths_N."""
        encoded = [self.charset.encode(label) for label in labels]
        # by way of numpy: three times as fast as torch.tensor
        lengths_N = np.fromiter(map(len, encoded), np.int64, len(encoded))
        targets_S = np.fromiter(chain.from_iterable(encoded), np.int64, int(lengths_N.sum()))
        return torch.from_numpy(targets_S), torch.from_numpy(lengths_N)

    def losses(self, logits_TNC: Tensor, frames_N: Tensor, labels: list[str]) -> tuple[Tensor, int]:
        """CTC loss of each sample, and how many labels are too long for T frames: their loss is zero."""
        if not labels:
            return logits_TNC.sum((0, 2)) * 0, 0  # still a graph: synchronised BatchNorm needs this rank's backward
        targets_S, lengths_N = self.targets(labels)
        # scaled down at random, a sample may need a few frames of its padding
        needed_N, frames = lengths_N + count_repeats(targets_S, lengths_N), logits_TNC.shape[0]
        frames_N = torch.maximum(frames_N, needed_N).clamp(max=frames)
        log_probs_TNC = logits_TNC.log_softmax(-1)
        losses_N = functional.ctc_loss(
            log_probs_TNC, targets_S, frames_N, lengths_N, BLANK_ID, reduction="none", zero_infinity=True
        )
        return losses_N, int((needed_N > frames).sum())

    def decode(self, logits_TNC: Tensor, frames_N: Tensor) -> list[Reading]:
        """Readings, normalised as labels are."""
        normalise = self.charset.profile.normalise
        return [Reading(normalise(r.text), r.confidence) for r in greedy_decode(logits_TNC, frames_N, self.charset)]

    def empty_scores(self, subsets: int) -> Scores:
        return Scores(build_counts(subsets))

    def score(self, scores: Scores, readings: list[Reading], labels: list[str], subsets_N: np.ndarray) -> None:
        """Add a batch to the sums. Of labels that stand in an image alike, one is what a reading can be."""
        labels = map(self.charset.profile.as_read, labels)
        for reading, label, subset in zip(readings, labels, subsets_N.tolist(), strict=True):
            count_reading(scores.counts, scores.confusions, subset, reading.text, label)
            if len(scores.examples) < EXAMPLES:
                scores.examples.append((label, reading.text))

    def to_dict(self) -> dict:
        return {"kind": "words", "charset": self.charset.to_dict()}

    @classmethod
    def from_dict(cls, values: dict) -> "WordTask":
        return cls(Charset.from_dict(values["charset"]))


def count_repeats(targets_S: Tensor, lengths_N: Tensor) -> Tensor:
    """Adjacent equal targets of each label (int64, N): CTC needs a blank frame between them."""
    ends_N = lengths_N.cumsum(0)
    seconds_N = torch.minimum(ends_N - lengths_N + 1, ends_N)  # where each label's second target is; it may have none
    # before[s]: repeats at the places below s, with those between labels, which are left out in what is subtracted
    before = functional.pad((targets_S[1:] == targets_S[:-1]).cumsum(0), (2, 0))
    return before[ends_N] - before[seconds_N]
