"""Scores of a model to readings, by the kind of sample. No torch: an exported model is read with this too.

Shapes: T frames, N images, C outputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from horovod_ocr.errors import LabelError
from horovod_ocr.text.align import LetterSpan, align_text
from horovod_ocr.text.beam import beam_search
from horovod_ocr.text.charset import Charset
from horovod_ocr.text.decode import Letter, Reading, greedy_decode
from sharding.wording import some_names

MOST_SHOWN = 5  # classes in a reading
MOST_NAMED = 30  # classes in a summary


class AnyReading(Protocol):
    """What every reading has."""

    @property
    def text(self) -> str:
        """What was read; of classes the name of one."""

    @property
    def confidence(self) -> float:
        """0 to 1."""

    @property
    def letters(self) -> tuple[Letter, ...]:
        """In the order in which people read them; of classes none."""

    def with_letters(self, letters: tuple[Letter, ...]) -> "AnyReading":
        """The same with other letters."""


class Reader(Protocol):
    """What the outputs of a model mean."""

    kind: ClassVar[str]
    """As in `tasks.base.Task`."""

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become confidences; 1 until it is fitted."""

    column: ClassVar[str]
    """What the text of a reading is, as the head of a column."""
    has_frames: ClassVar[bool]
    """Whether it reads the scores of frames."""

    def summary(self) -> str:
        """What it reads, as a sentence."""

    def at(self, temperature: float) -> "Reader":
        """The same with another temperature."""

    @property
    def outputs(self) -> int:
        """Width of the model's head."""

    def read(self, logits: np.ndarray, frames_N: np.ndarray | None) -> Sequence[AnyReading]:
        """What the model reads in each image. logits, frames_N: as in `models.forward.ModelOutput`, on numpy."""

    def letters(self, reading: AnyReading, logits: np.ndarray) -> list[LetterSpan]:
        """Where in an image each letter of its reading is; empty for classes. logits: of this image, no padding."""

    def alternatives(self, reading: AnyReading, logits: np.ndarray, most: int) -> list[Reading]:
        """What else the image may say, the most probable first; empty for classes, which have probabilities. logits:
        of this image, without padding. most: how many."""

    def describe(self, reading: AnyReading) -> dict[str, Any]:
        """A reading as the fields of a JSON object."""

    def line_of(self, reading: AnyReading) -> str:
        """A reading as a person reads it, on one line."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, for `reader_from_dict`."""


@dataclass(frozen=True)
class WordReader:
    """Words and lines. See `Reader`."""

    charset: Charset
    """Its letters and the blank are the outputs."""
    temperature: float = 1.0
    """As in `Reader`."""
    kind: ClassVar[str] = "words"
    """Sets whose labels are texts."""
    column: ClassVar[str] = "text"
    """As in `Reader`."""
    has_frames: ClassVar[bool] = True
    """As in `Reader`."""

    def summary(self) -> str:
        profile = self.charset.profile
        letters = len(self.charset.letters)
        return (
            f"Reads images of words or lines: {letters} letters, script profile {profile.name} ({profile.direction})."
        )

    def at(self, temperature: float) -> "WordReader":
        return replace(self, temperature=temperature)

    @property
    def outputs(self) -> int:
        return len(self.charset)

    def read(self, logits: np.ndarray, frames_N: np.ndarray | None) -> list[Reading]:
        """Readings, normalised as labels are."""
        assert frames_N is not None, "words need a model that reads frames"
        normalise = self.charset.profile.normalise
        readings = greedy_decode(logits, frames_N, self.charset, self.temperature)
        return [Reading(normalise(reading.text), reading.confidence) for reading in readings]

    def letters(self, reading: AnyReading, logits: np.ndarray) -> list[LetterSpan]:
        """Empty for the rare text that normalising has given a letter which the charset lacks."""
        try:
            return align_text(logits, reading.text, self.charset, self.temperature)
        except LabelError:
            return []

    def alternatives(self, reading: AnyReading, logits: np.ndarray, most: int) -> list[Reading]:
        """Their confidences are probabilities over all paths that spell them, as `text.beam` finds them."""
        confidences: dict[str, float] = {}
        for ids, probability in beam_search(logits, self.temperature):
            text = self.charset.profile.normalise(self.charset.decode(ids))
            confidences[text] = confidences.get(text, 0.0) + probability
        others = [Reading(text, min(1.0, p)) for text, p in confidences.items() if text and text != reading.text]
        return sorted(others, key=lambda other: -other.confidence)[:most]

    def describe(self, reading: AnyReading) -> dict[str, Any]:
        """text and confidence; letters with a box each, if the reading has them."""
        described: dict[str, Any] = {"text": reading.text, "confidence": round(reading.confidence, 4)}
        if reading.letters:
            described["letters"] = [letter.to_dict() for letter in reading.letters]
        return described

    def line_of(self, reading: AnyReading) -> str:
        return reading.text

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "charset": self.charset.to_dict()}


class ClassReading(NamedTuple):
    """What a classifier sees in an image."""

    text: str
    """The most probable class."""
    confidence: float
    """Its probability."""
    probabilities_C: NDArray[np.float64]
    """Of all classes. In float32, the probabilities of sure readings would be equal."""

    @property
    def letters(self) -> tuple[Letter, ...]:
        return ()

    def with_letters(self, letters: tuple[Letter, ...]) -> "ClassReading":
        return self


@dataclass(frozen=True)
class ClassReader:
    """Image classes. See `Reader`."""

    classes: tuple[str, ...]
    """Their names; the outputs."""
    temperature: float = 1.0
    """As in `Reader`."""
    kind: ClassVar[str] = "classes"
    """Sets whose labels are positions in a list of names."""
    column: ClassVar[str] = "class"
    """As in `Reader`."""
    has_frames: ClassVar[bool] = False
    """As in `Reader`."""

    def summary(self) -> str:
        return (
            f"Tells {len(self.classes)} classes of images apart, its outputs: {some_names(self.classes, MOST_NAMED)}."
        )

    def at(self, temperature: float) -> "ClassReader":
        return replace(self, temperature=temperature)

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def read(self, logits: np.ndarray, frames_N: np.ndarray | None) -> list[ClassReading]:
        logits_NC = logits.astype(np.float64) / self.temperature
        odds_NC = np.exp(logits_NC - logits_NC.max(1, keepdims=True))
        probabilities_NC = odds_NC / odds_NC.sum(1, keepdims=True)
        return [ClassReading(self.classes[int(p_C.argmax())], float(p_C.max()), p_C) for p_C in probabilities_NC]

    def letters(self, reading: AnyReading, logits: np.ndarray) -> list[LetterSpan]:
        return []

    def alternatives(self, reading: AnyReading, logits: np.ndarray, most: int) -> list[Reading]:
        return []

    def describe(self, reading: AnyReading) -> dict[str, Any]:
        """class, confidence, and the probabilities of all classes."""
        assert isinstance(reading, ClassReading)
        probabilities = dict(zip(self.classes, (round(p, 4) for p in reading.probabilities_C.tolist()), strict=True))
        return {"class": reading.text, "confidence": round(reading.confidence, 4), "probabilities": probabilities}

    def line_of(self, reading: AnyReading) -> str:
        """The class, a tab, and the most probable classes with their probabilities."""
        assert isinstance(reading, ClassReading)
        first = np.argsort(-reading.probabilities_C, kind="stable")[:MOST_SHOWN].tolist()
        shown = "  ".join(f"{self.classes[number]} {reading.probabilities_C[number]:.1%}" for number in first)
        return f"{reading.text}\t{shown}"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": list(self.classes)}


def reader_from_dict(values: dict[str, Any]) -> Reader:
    """From `Reader.to_dict`. LookupError, TypeError, ValueError or an OcrError if the values are not those of a
    reader."""
    if values["kind"] == WordReader.kind:
        return WordReader(Charset.from_dict(values["charset"]))
    if values["kind"] != ClassReader.kind:
        raise ValueError(f"there is no reader of {values['kind']!r}")
    classes = values["classes"]
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes are a list of names, at least one")
    if len(set(classes)) < len(classes):
        raise ValueError("two classes have one name")
    return ClassReader(tuple(classes))
