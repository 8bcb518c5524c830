"""train / val / test: by hash, stable when data grows, the same on any machine; or by lists."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from sharding.errors import ConfigError, SourceError
from sharding.format.splits import SPLITS
from sharding.layouts.naming import LIST_SUFFIXES, SPLIT_OF_NAME
from sharding.layouts.paths import canonical_path
from sharding.layouts.text_files import open_label_file
from sharding.reading.hashes import hash_paths
from sharding.reasons import Rejected

RULES = ("label", "file", "group", "lists")
UNDECIDED = 255  # in arrays of splits: the rule decides
_WHOLE = 1 << 64
_SHOWN = 3  # lines of a list that match nothing
_SHOWN_FROM = 1_000_000  # from this many on, single lines are not looked for


@dataclass(frozen=True)
class SplitRule:
    """What decides the split of a sample to which no source has given one."""

    by: str = "label"
    """"label" (no test word was ever trained on), "file" (its path), "group" (what `pattern` finds in its path: a page,
    a writer; if it has groups, the first of them that takes part), or "lists" (train.txt, val.txt, test.txt)."""
    seed: int = 0
    """At least 0; another seed gives another split."""
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Of train, val and test; they add to 1."""
    pattern: str = ""
    """A regular expression for "group"; empty for all others."""

    def choose(self, label: str, path: bytes) -> int:
        """The position in SPLITS of one sample (label: normalised), if this rule decides it and not a list. It depends
        on nothing but the rule and the unit.

        Rejected if the sample belongs to no group.
        """
        if self.by == "label":
            unit = label
        else:
            unit = self.group_of(path) if self.by == "group" else path.decode("utf-8", "surrogateescape")
        return self.decide(unit.encode("utf-8", "surrogateescape"))[1]

    def group_of(self, path: bytes) -> str:
        """What the pattern finds; of alternatives such as `(a)|(b)`, only one group takes part. Rejected for nothing; a
        group that is empty is something."""
        if not (found := self._compiled.search(path.decode("utf-8", "surrogateescape"))):
            raise Rejected("no group", f"{self.pattern!r} finds nothing")
        if not self._compiled.groups:
            return found[0]
        if (group := next((each for each in found.groups() if each is not None), None)) is None:
            raise Rejected("no group", f"no group of {self.pattern!r} takes part")
        return group

    def decide(self, unit: bytes) -> tuple[int, int]:
        """(the 64-bit number that decides on a unit, the position in SPLITS that follows from it)."""
        number = xxh3_64_intdigest(self._prefix + unit)
        train, val = self._bounds
        return number, 0 if number < train else 1 if number < val else 2

    @cached_property
    def _prefix(self) -> bytes:
        return f"split {self.seed}\0".encode()

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        train, val, _ = self.fractions
        return int(train * _WHOLE), int((train + val) * _WHOLE)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)


def check_split_rule(rule: SplitRule) -> None:
    """ConfigError if a rule makes no sense."""
    if rule.by not in RULES:
        raise ConfigError(f"unknown split rule {rule.by!r}; there are: {', '.join(RULES)}")
    if min(rule.fractions) < 0 or abs(sum(rule.fractions) - 1) > 1e-9:
        raise ConfigError(f"fractions {rule.fractions} of train, val and test; they must add to 1")
    if (rule.by == "group") != bool(rule.pattern):
        raise ConfigError("a split by group takes a pattern, and no other split does: --group-from REGEX")
    try:
        re.compile(rule.pattern)
    except re.error as error:
        raise ConfigError(f"--group-from {rule.pattern!r} is not a regular expression ({error})") from error


class SplitLists:
    """train.txt, val.txt, test.txt of a folder, or files with the other names of splits: one path a line (what follows
    a tab is not read), in any spelling of its slashes and of Unicode. Without a list of train, everything that no list
    names is train."""

    def __init__(self, folder: Path) -> None:
        """Read the lists. SourceError if there are none, or if they name a path in two splits."""
        self._folder = folder
        self._files: dict[int, list[Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not (split := SPLIT_OF_NAME.get(path.stem.lower())) or not path.is_file():
                continue
            if path.suffix.lower() not in LIST_SUFFIXES:
                raise SourceError(
                    f"{path} is named like a list and is not one; write it as {split}.txt, or move it away"
                )
            self._files.setdefault(SPLITS.index(split), []).append(path)
        if not self._files:
            raise SourceError(f"{folder} holds no train.txt, val.txt or test.txt; write one path a line there")
        parts = []
        for number, files in sorted(self._files.items()):
            paths = {canonical_path(path) for file in files for path in _listed_paths(file)}
            parts.append((number, hash_paths(b"list", paths, len(paths))))
        hashes = np.concatenate([values for _, values in parts])
        order = np.argsort(hashes)
        self._hashes = hashes[order]
        self._is_found = np.zeros(len(hashes), bool)
        if repeats := int((self._hashes[1:] == self._hashes[:-1]).sum()):
            raise SourceError(f"the lists in {folder} name {repeats:,} paths in more than one split; keep each in one")
        self._splits = np.repeat([n for n, _ in parts], [len(v) for _, v in parts]).astype(np.uint8)[order]
        self._has_train = 0 in self._files
        otherwise = UNDECIDED if self._has_train else 0
        self._otherwise = np.uint8(otherwise)
        said = self._hashes.tobytes() + self._splits.tobytes() + bytes([otherwise])
        self.digest = hashlib.sha256(said).hexdigest()  # of what the lists say

    def splits_of(self, paths: list[bytes]) -> NDArray[np.uint8]:
        """The position in SPLITS of each path, uint8; UNDECIDED if no list names it. Remembers which were found."""
        if not len(self._hashes):
            return np.full(len(paths), self._otherwise, np.uint8)
        hashes = hash_paths(b"list", map(canonical_path, paths), len(paths))
        positions = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        is_listed = self._hashes[positions] == hashes
        self._is_found[positions[is_listed]] = True
        return np.where(is_listed, self._splits[positions], self._otherwise).astype(np.uint8)

    def check_all_named(self) -> list[str]:
        """A note if lines match no image of the sources; to be called after `splits_of` for all of them. SourceError if
        there is no list of train, because those images would be trained on, and if no line at all matches."""
        left = self._hashes[~self._is_found]
        if not len(left):
            return []
        unmatched = {*left.tolist()} if len(left) < _SHOWN_FROM else None
        named = [shown for file in self._all_files() for shown in islice(_unmatched(file, unmatched), _SHOWN)][:_SHOWN]
        lines = "lines match" if len(left) > 1 else "line matches"
        what = f"{len(left):,} {lines} no image of the source, such as {', '.join(named)}"
        if not self._has_train or not self._is_found.any():
            raise SourceError(
                f"the lists in {self._folder}: {what}; without a match these images would be "
                f"{'in no split' if self._has_train else 'trained on'}: write paths as the source has them"
            )
        return [f"the lists in {self._folder}: {what}"]

    def _all_files(self) -> list[Path]:
        return [file for _, files in sorted(self._files.items()) for file in files]


def _listed_paths(file: Path) -> Iterator[bytes]:
    with open_label_file(file) as lines:
        for line in lines:
            if path := line.split(b"\t", 1)[0].strip():
                yield path


def _unmatched(file: Path, hashes: set[int] | None) -> Iterator[str]:
    """The lines of a list whose hash is among these (None: too many to look for)."""
    for number, path in enumerate(_listed_paths(file), 1):
        if hashes is None or int(hash_paths(b"list", [canonical_path(path)], 1)[0]) in hashes:
            yield f"{path.decode('utf-8', 'backslashreplace')} ({file.name}, line {number})"
