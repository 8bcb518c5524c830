"""One entry of the catalogue, read once: a sample that can be packed, or the reason why not."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from sharding.format.idx import digest_of
from sharding.format.script.profile import ScriptProfile
from sharding.images.limits import Limits
from sharding.images.read import ImageRule, build_reader
from sharding.layouts.entry import Reader, Source
from sharding.reading.catalogue import Listed
from sharding.reading.labels import LabelCounts, check_fits, check_label
from sharding.reading.split import UNDECIDED, SplitRule
from sharding.reasons import Rejected

_KEPT_LABELS = 100_000  # words repeat: what was found out of a label is kept


@dataclass(frozen=True)
class Rules:
    """What a sample must keep to, and what becomes of it. classes: sorted names; empty for words."""

    sources: tuple[Source, ...]
    profile: ScriptProfile
    classes: tuple[str, ...]
    limits: Limits
    image: ImageRule
    split: SplitRule


class Sample(NamedTuple):
    """A sample as a shard will hold it. entry: its number in the catalogue. split: place in SPLITS. label_hash: equal
    for equal labels. length: letters of a word's label; 0 for classes."""

    image: bytes
    label: bytes
    entry: int
    subset: int
    split: int
    length: int
    label_hash: int
    width: int  # px
    height: int
    image_format: int
    digest: int  # of the image's bytes
    read_bytes: int  # of the source image


class _Label(NamedTuple):
    text: str
    content: bytes
    length: int
    hash: int
    split: int  # where the label decides it
    folded: dict[str, int]  # "ي → ی" -> how often


_make = tuple.__new__  # a NamedTuple without the check of its arguments: half the time, at 35 M samples


class SampleReader:
    """Reads and checks entries. One a process; `close` lets go of what the readers hold open."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._readers: list[Reader] = [source.open() for source in rules.sources]
        self._apart = [source.labels_apart for source in rules.sources]
        self._class_numbers = {name: number for number, name in enumerate(rules.classes)}
        self._limits, self._read_image = rules.limits, build_reader(rules.limits, rules.image)
        self._simple = rules.profile.simple_letters
        # With so much of its height in width for each letter, a label fits even where all of its letters are equal.
        self._px_a_letter = 2 * rules.limits.frame_px / rules.limits.height_px
        self._by_label = rules.split.by == "label"
        self._labels: dict[bytes | None, _Label | Rejected] = {}
        self._counts = LabelCounts(Counter(), Counter())

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def take_counts(self) -> LabelCounts:
        """What was counted since this was called last."""
        counts, self._counts = self._counts, LabelCounts(Counter(), Counter())
        return counts

    def read(self, entry: Listed) -> Sample:
        """The sample of an entry; Rejected where it cannot be used. The label first: that costs the least."""
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
        text, label, length, label_hash, split_of_label, folded = known
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
            label,
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
        return _make(Sample, seen)

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
        rules, folded = self.rules, {}
        written = None if label is None else label.decode("utf-8", "surrogateescape")
        if rules.classes:
            if written is None:
                raise Rejected("no label", "it lies in no class folder")
            if written not in self._class_numbers:
                raise Rejected("label is not UTF-8", repr(written))
            text, length, content, unit = written, 0, b"%d" % self._class_numbers[written], label
        elif written and self._simple.issuperset(written) and not 0 < rules.limits.max_label < len(written):
            text, length, content, unit = written, len(written), label, label  # most words: nothing to normalise
        else:
            text = check_label(written, rules.profile, rules.limits)
            length, content = len(text), text.encode()
            unit = content
            folded = {} if text == written else rules.profile.folded(written)
        number, split = rules.split.decide(unit)
        return _make(_Label, (text, content, length, number, split if self._by_label else UNDECIDED, folded))


_open: list[SampleReader] = []  # of this process: at most one


def open_sample_reader(rules: Rules) -> SampleReader:
    """The inspector of this process, which keeps its readers from one task to the next."""
    if not _open or _open[0].rules != rules:
        close_sample_reader()
        _open.append(SampleReader(rules))
    return _open[0]


def close_sample_reader() -> None:
    while _open:
        _open.pop().close()
