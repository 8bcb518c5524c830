"""Read one entry of the catalogue: the result is a sample that can be packed, or the reason why not."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sharding.format.idx import digest_of
from sharding.format.script.profile import ScriptProfile
from sharding.images.limits import Limits
from sharding.images.read import ImageRule, build_reader
from sharding.layouts.entry import Reader, Source, make_unchecked
from sharding.reading.catalogue import Listed
from sharding.reading.labels import LabelCounts, check_fits, check_label
from sharding.reading.split import UNDECIDED, SplitRule
from sharding.reasons import Rejected

_KEPT_LABELS = 100_000  # words repeat: what was found out about a label is kept


@dataclass(frozen=True)
class Rules:
    """What a sample must keep to, and what becomes of it."""

    sources: tuple[Source, ...]
    """In the order of their numbers (`Listed.source`)."""
    profile: ScriptProfile
    """Normalises labels and says which letters they may hold."""
    classes: tuple[str, ...]
    """Sorted names; empty for words."""
    limits: Limits
    """Of size, shape and label length."""
    image: ImageRule
    """How images are checked, and how they are stored."""
    split: SplitRule
    """For samples to which no source has given a split."""

    @property
    def class_hashes(self) -> tuple[int, ...]:
        """The `label_hash` of the samples of each class."""
        return tuple(self.split.decide(name.encode())[0] for name in self.classes)


class Sample(NamedTuple):
    """A sample as a shard will hold it."""

    image: bytes
    """Bytes of the file: those of the source, or encoded again."""
    label: bytes
    """Normalised, in UTF-8; of a class its number, as digits."""
    entry: int
    """Its number in the catalogue."""
    subset: int
    """Position in Catalogue.subsets."""
    split: int
    """Position in SPLITS."""
    length: int
    """Letters of a word's label; 0 for classes."""
    label_hash: int
    """Equal for equal labels."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    image_format: int
    """Position in STORED_SUFFIXES."""
    digest: int
    """Of the image's bytes."""
    read_bytes: int
    """Size of the source image."""


class _Label(NamedTuple):
    """What was found out about one label."""

    text: str
    """Normalised; of a class its name."""
    content: bytes
    """As it is stored: UTF-8, or the number of a class as digits."""
    length: int
    """Letters of a word's label; 0 for classes."""
    hash: int
    """As `Sample.label_hash`; it depends on the seed of the split rule, too."""
    split: int
    """Position in SPLITS if the label decides it, else UNDECIDED."""
    folded: Mapping[str, int]
    """"ي → ی" -> how often."""


class SampleReader:
    """Reads and checks entries. One for each process."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._readers: list[Reader] = [source.open() for source in rules.sources]
        self._apart = [source.labels_apart for source in rules.sources]
        self._class_numbers = {name: number for number, name in enumerate(rules.classes)}
        self._limits, self._read_image = rules.limits, build_reader(rules.limits, rules.image)
        self._simple = rules.profile.simple_letters
        # With this much width (in heights) for each letter, a label fits even if all of its letters are equal.
        self._px_a_letter = 2 * rules.limits.frames.frame_px / rules.limits.frames.height_px
        self._by_label = rules.split.by == "label"
        self._labels: dict[bytes | None, _Label | Rejected] = {}
        self._counts = LabelCounts(Counter(), Counter())

    def close(self) -> None:
        """Close what the readers hold open."""
        for reader in self._readers:
            reader.close()

    def take_counts(self) -> LabelCounts:
        """What was counted since the last call."""
        counts, self._counts = self._counts, LabelCounts(Counter(), Counter())
        return counts

    def read(self, entry: Listed) -> Sample:
        """The sample of an entry; Rejected if it cannot be used. The label is checked first: that costs least."""
        number, source, path, label, subset, split, problem, at, size = entry
        if problem:
            raise Rejected(problem, (label or b"").decode("utf-8", "backslashreplace"))
        reader = self._readers[source]
        if self._apart[source] and label is not None:
            label = reader.read_label(label)
        known = self._labels.get(label) or self._remember(label)
        if isinstance(known, Rejected):
            self._counts.refused.update(known.letters)
            raise Rejected(known.reason, known.detail)
        text, stored_label, length, label_hash, split_of_label, folded = known
        if folded:
            self._counts.folded.update(folded)
        if split == UNDECIDED:
            split = split_of_label if split_of_label != UNDECIDED else self.rules.split.choose(text, path)
        content = reader.read_image(path, at, size)
        image, width, height, image_format = self._read_image(content)
        if length * self._px_a_letter * height > width:  # it may not fit: count exactly
            check_fits(text, self.rules.profile, width, height, self._limits)
        seen = (
            image,
            stored_label,
            number,
            subset,
            split,
            length,
            label_hash,
            width,
            height,
            image_format,
            digest_of(image),
            len(content),
        )
        return make_unchecked(Sample, seen)

    def _remember(self, label: bytes | None) -> _Label | Rejected:
        if len(self._labels) >= _KEPT_LABELS:
            self._labels.clear()
        try:
            known: _Label | Rejected = self._check(label)
        except Rejected as why:
            # kept without its traceback, whose frames would keep it alive
            known = Rejected(why.reason, why.detail, why.letters)
        self._labels[label] = known
        return known

    def _check(self, label: bytes | None) -> _Label:
        """What is found out about a label. Rejected if it is not usable."""
        if self.rules.classes:
            return self._check_class(label)
        rules = self.rules
        written = None if label is None else label.decode("utf-8", "surrogateescape")
        if label and written and self._is_plain(written):
            return self._label_of(written, label, len(written), label, {})
        text = check_label(written, rules.profile, rules.limits)
        folded = {} if written is None or text == written else rules.profile.folded(written)
        return self._label_of(text, text.encode(), len(text), text.encode(), folded)

    def _check_class(self, label: bytes | None) -> _Label:
        if label is None:
            raise Rejected("no label", "it is in no class folder")
        name = label.decode("utf-8", "surrogateescape")
        if name not in self._class_numbers:
            raise Rejected("label is not UTF-8", repr(name))
        return self._label_of(name, b"%d" % self._class_numbers[name], 0, label, {})

    def _is_plain(self, written: str) -> bool:
        """Is there nothing to normalise or refuse in this label, as in most words?"""
        return self._simple.issuperset(written) and not 0 < self.rules.limits.max_label < len(written)

    def _label_of(self, text: str, content: bytes, length: int, unit: bytes, folded: Mapping[str, int]) -> _Label:
        """unit: what the split is decided by if labels decide it."""
        number, split = self.rules.split.decide(unit)
        return _Label(text, content, length, number, split if self._by_label else UNDECIDED, folded)


_open: list[SampleReader] = []  # of this process: at most one


def open_sample_reader(rules: Rules) -> SampleReader:
    """The sample reader of this process, which stays open from one task to the next."""
    if not _open or _open[0].rules != rules:
        close_sample_reader()
        _open.append(SampleReader(rules))
    return _open[0]


def close_sample_reader() -> None:
    """Close the sample reader of this process, if there is one."""
    while _open:
        _open.pop().close()
