"""Labels to targets and back. Only this file converts between logical order and reading order."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from horovod_ocr.errors import CheckpointError, LabelError
from sharding.format.script.profile import ScriptProfile

BLANK_ID = 0  # torch's default for CTC, and checkpoints depend on it


@dataclass(frozen=True)
class Charset:
    """The letters a model can write, and the script profile that orders them."""

    letters: tuple[str, ...]
    """Distinct characters, sorted. Letter i has id i + 1; the blank is 0."""
    profile: ScriptProfile
    """It says in which order the letters of a label are read."""

    @classmethod
    def build(cls, alphabet: Iterable[str], profile: ScriptProfile) -> "Charset":
        """From an index's alphabet."""
        return cls(tuple(sorted(alphabet)), profile)

    def __len__(self) -> int:
        """The outputs of the model's head: the letters and the blank."""
        return len(self.letters) + 1

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each letter."""
        return {letter: number for number, letter in enumerate(self.letters, start=1)}

    def encode(self, label: str) -> list[int]:
        """A normalised label to ids, in the order in which the image is scanned, left to right.

        Raises:
            LabelError: a letter is not in the charset.
        """
        try:
            return list(map(self.ids.__getitem__, self.profile.reading_order(label)))
        except KeyError as error:
            raise LabelError(f"label {label!r}: letter {error.args[0]!r} is not in the charset") from error

    def decode(self, ids: Iterable[int]) -> str:
        """Ids in reading order, without blanks, to a label in logical order."""
        return self.profile.logical_order("".join(self.letters[number - 1] for number in ids))

    def require(self, alphabet: Iterable[str], source: str) -> None:
        """Check that the charset has every letter of `alphabet`. source: what holds them, for the sentence.

        Raises:
            CheckpointError: a letter is missing.
        """
        missing = sorted(set(alphabet) - set(self.letters))
        if missing:
            shown = " ".join(missing[:20])
            raise CheckpointError(
                f"{source} holds {len(missing)} letters that this checkpoint's charset lacks: {shown}; "
                "evaluate it on the shards it was trained with, or train anew on these"
            )

    def to_dict(self) -> dict[str, Any]:
        return {"letters": list(self.letters), "profile": self.profile.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Charset":
        """From `to_dict`. LookupError, TypeError, ValueError or ConfigError if the values are not those of one."""
        letters = tuple(values["letters"])
        are_letters = all(isinstance(letter, str) and len(letter) == 1 for letter in letters)
        if not are_letters or len(set(letters)) < len(letters):
            raise ValueError("letters are different characters")
        return cls(letters, ScriptProfile.from_dict(values["profile"]))
