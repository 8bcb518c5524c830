"""WebDataset tars of any origin: read once here, for their labels; images are found again by offset.

Pictures and texts are paired by their full names, as in folders (pairs.py). Those of one key (webdataset's: the name up
to its first dot) that are side by side, as in a tar that was made for training, are settled at once. The others, as
`tar cf` of a folder leaves them, wait for the end of the tar, when its headers are read a second time for them.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sharding.errors import SourceError
from sharding.format.tar import BLOCK
from sharding.layouts.entry import Entry
from sharding.layouts.files import MAX_IMAGE_BYTES, MAX_TEXT_BYTES
from sharding.layouts.folders import is_image
from sharding.layouts.given_splits import splits_of_files, splits_of_parts
from sharding.layouts.naming import is_label_file
from sharding.layouts.pairs import is_text
from sharding.layouts.record_files import COMPRESSED_TARS, find_records, is_record_file, loose_files
from sharding.layouts.tar_groups import CLASS_SUFFIX, Group, Key, Text, entries_of
from sharding.layouts.tar_members import BufferedFile, DamagedTarError, Member, read_members
from sharding.layouts.tar_sets import TarsSource

_LOOK_MEMBERS = 5_000
_LOOK_TARS = 3
_MOST_FOLDERS = 10_000
_MOST_HELD = 300_000  # keys of a tar that wait for its end, some hundred bytes each
_MOST_FIRSTS = 100_000  # pictures of a tar whose offsets are remembered; beyond that, repeated ones are two labels
_SIZE = slice(124, 136)  # in a header


class _Firsts:
    """Where each picture of a tar occurs first, up to a limit, to notice repeated ones."""

    def __init__(self, file: BufferedFile) -> None:
        self._file = file
        self._at: dict[int, int] = {}

    def as_first(self, member: Member) -> Member:
        """A picture that is repeated with the same bytes, as `tar rf` writes it, gets the offset of the first: the same
        entry twice, and not two of one name."""
        key = hash(member.name)
        first = self._at.get(key, member.at)
        if first == member.at:
            if len(self._at) < _MOST_FIRSTS:
                self._at[key] = first
            return member
        header, other = (self._file.read(at - BLOCK, BLOCK)[_SIZE] for at in (first, member.at))
        if header != other or member.link or member.size > MAX_IMAGE_BYTES:
            return member
        is_same = self._file.read(first, member.size) == self._file.read(member.at, member.size)
        return member._replace(at=first) if is_same else member


@dataclass(frozen=True)
class WebDatasetSource(TarsSource):
    """kind "words": .txt, .gt.txt or .label is the label; "classes": .cls."""

    doubt: str = ""
    """As in `Source`; also if folders inside the first tars are named after several splits."""
    _folders: dict[tuple[str, str], None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """(tar, folder in it) of pictures that the last `entries` met, in their order; the values are not used."""

    def notes(self) -> list[str]:
        """Splits in folders after those that `doubt` has covered."""
        sentence = _several_splits(self.root, self._folders) if not (self.splits or self.doubt) else ""
        return [sentence] if sentence else []

    def entries(self) -> Iterator[Entry]:
        """Of all tars; then what is loose beside them."""
        self._folders.clear()
        yield from super().entries()
        yield from loose_files(self.root, {*self.tars})

    def samples(self, file: BufferedFile, position: int) -> Iterator[Entry]:
        tar, split = self.root / self.tars[position], self.splits[position] if self.splits else ""
        prefix = os.fsencode(self.tars[position]) + b"/"
        held: set[int] = set()
        firsts = _Firsts(file)
        damage = None
        folder = None
        try:
            for group in _groups(file, self.kind, tar, firsts):
                if group.key[0] != folder and group.pictures:
                    folder = group.key[0]
                    if len(self._folders) < _MOST_FOLDERS:
                        self._folders[self.tars[position], _folder_of(os.fsdecode(folder) + "/")] = None
                is_settled, entries = entries_of(group, prefix, split)
                if is_settled:
                    yield from entries
                else:
                    held.add(hash(group.key))
                    if len(held) > _MOST_HELD:
                        raise SourceError(
                            f"{tar}: more than {_MOST_HELD:,} pictures and texts are not beside what they belong "
                            "to; write it in the order of the names (tar --sort=name), and several smaller ones"
                        )
        except DamagedTarError as error:
            damage = error
        if held:
            yield from _entries_of_held(_groups(file, self.kind, tar, firsts), held, prefix, split)
        if damage:
            raise damage


def find_webdataset(root: Path, named: bool = False) -> WebDatasetSource | None:
    """Tars at the top and in folders below. SourceError if any is compressed: it could not be read by offset."""
    paths = [*map(os.fsdecode, find_records(root, (b".tar", *COMPRESSED_TARS), named, among_images=True))]
    tars = tuple(path for path in paths if path.lower().endswith(".tar"))
    if len(tars) < len(paths):
        compressed = [path for path in paths if path not in tars]
        raise SourceError(
            f"{root / compressed[0]} is compressed, as {len(compressed):,} tars there are; unpack them (gunzip, unxz, "
            "unzstd) to plain .tar: images hardly shrink, and only in those are they found by offset"
        )
    if not tars:
        return None
    splits, doubt = splits_of_files(root, tars)
    if not splits:
        doubt = doubt or _splits_inside(root, tars)
    return WebDatasetSource(root, "webdataset", tars, _kind_of(root, tars), splits, doubt=doubt)


def _kind_of(root: Path, tars: tuple[str, ...]) -> str:
    """By the first label there is."""
    for tar in tars:
        try:
            with (root / tar).open("rb") as file:
                for member in islice(read_members(BufferedFile(file.fileno())), _LOOK_MEMBERS):
                    if is_text(member.name):
                        return "words"
                    if member.name.lower().endswith(CLASS_SUFFIX):
                        return "classes"
        except (OSError, DamagedTarError):
            pass  # entries() reports it
    return "words"


def _splits_inside(root: Path, tars: tuple[str, ...]) -> str:
    """A doubt if pictures in the first tars are in folders of several splits."""
    found: dict[tuple[str, str], None] = {}  # tar, folder
    for tar in tars[:_LOOK_TARS]:
        try:
            with (root / tar).open("rb") as file:
                members = islice(read_members(BufferedFile(file.fileno())), _LOOK_MEMBERS)
                names = (os.fsdecode(member.name) for member in members if is_image(member.name))
                found |= {(tar, _folder_of(name)): None for name in names}
        except (OSError, DamagedTarError):
            pass  # entries() reports it
    return _several_splits(root, found)


def _folder_of(name: str) -> str:
    return name.removeprefix("./").rpartition("/")[0]


def _several_splits(root: Path, found: dict[tuple[str, str], None]) -> str:
    """A sentence if folders in tars are named after several splits, else "". found: tars, and folders in them."""
    splits: dict[str, tuple[str, str]] = {}
    for (tar, _), (split, folder) in zip(found, splits_of_parts([f"{folder}/" for _, folder in found]), strict=True):
        if split:
            splits.setdefault(split, (tar, folder))
    if len(splits) < 2:
        return ""
    (tar, folder), (other_tar, other) = islice(splits.values(), 2)
    shown = f"{folder}/ and {other}/" if tar == other_tar else f"{folder}/, and {other_tar} holds {other}/"
    return (
        f"{root / tar} holds {shown}; folders inside a tar are not read as splits: unpack it, write a tar for each "
        "split, or let the rule decide for all: --split label or --split file"
    )


def _groups(file: BufferedFile, kind: str, tar: Path, firsts: _Firsts) -> Iterator[Group]:
    """Members of one key that are side by side. Before DamagedTarError, what was whole. SourceError if texts and
    classes meet."""
    group: Group | None = None
    try:
        for member in read_members(file):
            folder, _, name = member.name.rpartition(b"/")
            stem, dot, _ = name.partition(b".")
            if not stem or not dot:
                continue
            text, is_class = is_text(name), name.lower().endswith(CLASS_SUFFIX)
            is_picture = is_image(name)
            if not (text or is_class or is_picture or is_label_file(name) or is_record_file(name)):
                continue
            if (text and kind != "words") or (is_class and kind == "words"):
                raise SourceError(
                    f"{tar} holds {os.fsdecode(member.name)}, but before it (or in a tar before this one) are "
                    f"{'texts' if is_class else 'classes (.cls)'}: words and classes do not go into one set; write the "
                    "tars without the ones or the others"
                )
            if group is None or group.key != (folder, stem):
                if group:
                    yield group
                group = Group((folder, stem))
            if text or is_class:
                is_readable = not member.link and member.size <= MAX_TEXT_BYTES
                group.texts.append(Text(member, file.read(member.at, member.size) if is_readable else None))
            elif is_picture:
                group.pictures.append(firsts.as_first(member))
            else:
                group.others.append(member)
    except DamagedTarError:
        if group:
            yield group
        raise
    if group:
        yield group


def _entries_of_held(groups: Iterator[Group], held: set[int], prefix: bytes, split: str) -> Iterator[Entry]:
    """The entries of the keys that could not be settled while the tar was read. groups: all there are, from the start.
    held: their hashes.

    If what came late changes what was given before, the picture is given again: named in two ways, it is refused.
    """
    parts: dict[Key, list[Group]] = {}
    try:
        for group in groups:
            if hash(group.key) in held:
                parts.setdefault(group.key, []).append(group)
    except DamagedTarError:
        pass
    for key, some in parts.items():
        given: Counter[Entry] = Counter()
        whole = Group(key)
        for group in some:
            is_settled, entries = entries_of(group, prefix, split)
            if is_settled:
                given.update(entries)
            whole.pictures += group.pictures
            whole.texts += group.texts
            whole.others += group.others
        for entry in entries_of(whole, prefix, split, is_whole=True)[1]:
            if given[entry]:
                given[entry] -= 1
            else:
                yield entry
