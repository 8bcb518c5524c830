"""WebDataset tars of anybody: read once here, for their labels; images are found again by offset.

Pictures and texts are paired by their full names, as in folders (pairs.py). Those of one key (webdataset's: the name up
to its first dot) that stand side by side, as in a tar that was made for training, are settled at once. The others, as
`tar cf` of a folder leaves them, wait for the end of the tar, where its headers are read a second time for them.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sharding.errors import SourceError
from sharding.layouts.entry import Entry
from sharding.layouts.files import LINE_ENDS, MAX_IMAGE_BYTES, MAX_TEXT_BYTES, line_of
from sharding.layouts.folders import is_image, is_note
from sharding.layouts.given_splits import splits_of_files, splits_of_parts
from sharding.layouts.naming import is_label_file
from sharding.layouts.pairs import Left, Pair, choose, is_text, pair_names, text_stem
from sharding.layouts.record_files import COMPRESSED_TARS, find_records, is_record_file, loose_files
from sharding.layouts.tar_members import BLOCK, DamagedTarError, Member, Window, read_members
from sharding.layouts.tar_sets import TarsSource
from sharding.reasons import Rejected

CLASS_SUFFIX = b".cls"
_NOT_READ = b"%s inside a tar is not read; unpack the tar"
_LOOK_MEMBERS = 5_000
_LOOK_TARS = 3
_MOST_FOLDERS = 10_000
_MOST_HELD = 300_000  # keys of a tar that wait for its end, some hundred bytes each
_MOST_FIRSTS = 100_000  # pictures of a tar whose places are remembered; of more, those that come again are two labels
_SIZE = slice(124, 136)  # in a header
_Key = tuple[bytes, bytes]  # folder, and the name up to its first dot


class _Text(NamedTuple):
    """content: None of a link, and where it is too large for a text."""

    member: Member
    content: bytes | None


@dataclass
class _Group:
    """Pictures and texts of one key. others: label files and the like, unless a picture of this key is there."""

    key: _Key
    pictures: list[Member] = field(default_factory=list)
    texts: list[_Text] = field(default_factory=list)
    others: list[Member] = field(default_factory=list)


class _Firsts:
    """Where each picture of a tar comes first, up to a limit, to see those that come again."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._at: dict[int, int] = {}

    def place(self, member: Member) -> Member:
        """A picture that comes again with the same bytes, as `tar rf` writes it, has the place of the first: the same
        entry twice, and not two of one name."""
        key = hash(member.name)
        first = self._at.get(key, member.at)
        if first == member.at:
            if len(self._at) < _MOST_FIRSTS:
                self._at[key] = first
            return member
        header, other = (self._window.read(at - BLOCK, BLOCK)[_SIZE] for at in (first, member.at))
        if header != other or member.link or member.size > MAX_IMAGE_BYTES:
            return member
        is_same = self._window.read(first, member.size) == self._window.read(member.at, member.size)
        return member._replace(at=first) if is_same else member


@dataclass(frozen=True)
class WebDatasetSource(TarsSource):
    """kind "words": .txt, .gt.txt or .label is the label; "classes": .cls."""

    doubt: str = ""
    _folders: dict[tuple[str, str], None] = field(default_factory=dict, init=False, repr=False, compare=False)

    def notes(self) -> list[str]:
        """Splits in folders behind those that `doubt` has looked at."""
        sentence = _several_splits(self.root, self._folders) if not (self.splits or self.doubt) else ""
        return [sentence] if sentence else []

    def entries(self) -> Iterator[Entry]:
        """Of all tars; then what lies loose beside them."""
        self._folders.clear()
        yield from super().entries()
        yield from loose_files(self.root, {*self.tars})

    def samples(self, window: Window, place: int) -> Iterator[Entry]:
        tar, split = self.root / self.tars[place], self.splits[place] if self.splits else ""
        prefix = os.fsencode(self.tars[place]) + b"/"
        held: set[int] = set()
        firsts = _Firsts(window)
        damage = None
        folder = None
        try:
            for group in _groups(window, self.kind, tar, firsts):
                if group.key[0] != folder and group.pictures:
                    folder = group.key[0]
                    if len(self._folders) < _MOST_FOLDERS:
                        self._folders[self.tars[place], _folder_of(os.fsdecode(folder) + "/")] = None
                is_settled, entries = _entries_of(group, prefix, split)
                if is_settled:
                    yield from entries
                else:
                    held.add(hash(group.key))
                    if len(held) > _MOST_HELD:
                        raise SourceError(
                            f"{tar}: more than {_MOST_HELD:,} pictures and texts do not stand beside what they belong "
                            "to; write it in the order of the names (tar --sort=name), and several smaller ones"
                        )
        except DamagedTarError as error:
            damage = error
        if held:
            yield from _entries_of_held(_groups(window, self.kind, tar, firsts), held, prefix, split)
        if damage:
            raise damage


def find_webdataset(root: Path, named: bool = False) -> WebDatasetSource | None:
    """Tars at the top and in folders below. SourceError where any is compressed: it could not be read by offset."""
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
                for member in islice(read_members(Window(file.fileno())), _LOOK_MEMBERS):
                    if is_text(member.name):
                        return "words"
                    if member.name.lower().endswith(CLASS_SUFFIX):
                        return "classes"
        except (OSError, DamagedTarError):
            pass  # entries() says so
    return "words"


def _splits_inside(root: Path, tars: tuple[str, ...]) -> str:
    """A doubt if pictures in the first tars lie in folders of several splits."""
    found: dict[tuple[str, str], None] = {}  # tar, folder
    for tar in tars[:_LOOK_TARS]:
        try:
            with (root / tar).open("rb") as file:
                members = islice(read_members(Window(file.fileno())), _LOOK_MEMBERS)
                names = (os.fsdecode(member.name) for member in members if is_image(member.name))
                found |= {(tar, _folder_of(name)): None for name in names}
        except (OSError, DamagedTarError):
            pass  # entries() says so
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


def _groups(window: Window, kind: str, tar: Path, firsts: _Firsts) -> Iterator[_Group]:
    """Members of one key that stand side by side. Before DamagedTarError, what was whole. SourceError where texts and
    classes meet."""
    group: _Group | None = None
    try:
        for member in read_members(window):
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
                    f"{tar} holds {os.fsdecode(member.name)}, but before it (or in a tar before this one) stand "
                    f"{'texts' if is_class else 'classes (.cls)'}: words and classes do not go into one set; write the "
                    "tars without the ones or the others"
                )
            if group is None or group.key != (folder, stem):
                if group:
                    yield group
                group = _Group((folder, stem))
            if text or is_class:
                is_readable = not member.link and member.size <= MAX_TEXT_BYTES
                group.texts.append(_Text(member, window.read(member.at, member.size) if is_readable else None))
            elif is_picture:
                group.pictures.append(firsts.place(member))
            else:
                group.others.append(member)
    except DamagedTarError:
        if group:
            yield group
        raise
    if group:
        yield group


def _entries_of_held(groups: Iterator[_Group], held: set[int], prefix: bytes, split: str) -> Iterator[Entry]:
    """The entries of the keys that could not be settled while the tar was read. groups: all there are, from the start.
    held: their hashes.

    Where what came late changes what was given before, the picture is given again: named in two ways, it is refused.
    """
    parts: dict[_Key, list[_Group]] = {}
    try:
        for group in groups:
            if hash(group.key) in held:
                parts.setdefault(group.key, []).append(group)
    except DamagedTarError:
        pass
    for key, some in parts.items():
        given: Counter[Entry] = Counter()
        whole = _Group(key)
        for group in some:
            is_settled, entries = _entries_of(group, prefix, split)
            if is_settled:
                given.update(entries)
            whole.pictures += group.pictures
            whole.texts += group.texts
            whole.others += group.others
        for entry in _entries_of(whole, prefix, split, is_whole=True)[1]:
            if given[entry]:
                given[entry] -= 1
            else:
                yield entry


def _entries_of(group: _Group, prefix: bytes, split: str, is_whole: bool = False) -> tuple[bool, list[Entry]]:
    """(has each picture a text, and each text a picture; the entries). is_whole: nothing more of this key follows."""
    entries = []
    texts: dict[bytes, _Text | None] = {}  # None: several of that name, with different contents
    for text in group.texts:
        name = text.member.name
        if name not in texts:
            texts[name] = text
        elif (known := texts[name]) and _is_same(known.content, text.content):
            entries.append(Entry(prefix + name, None, "", split, "listed twice"))
        else:
            texts[name] = None
    pairs, left = pair_names(dict.fromkeys(member.name for member in group.pictures), texts)
    if is_whole:
        pairs, left = _by_the_key(group.key, pairs, left)
    by_picture = {pair.picture: pair for pair in pairs}
    for member in group.pictures:
        entries.append(_entry_of(member, by_picture[member.name], texts, prefix, split))
    for name, problem, detail in left:
        text = texts[name]
        if problem == "missing image" and is_note(_base(name)):
            continue
        if problem == "missing image" and is_label_file(_base(name)):
            problem, detail = "outside", _NOT_READ % b"a label file"
        if text and text.member.link:
            problem, detail = "link in a tar", text.member.link
        entries.append(Entry(prefix + name, detail, "", split, problem))
    if not pairs:
        for member in group.others:
            what = b"a label file" if is_label_file(_base(member.name)) else b"a file of pictures"
            entries.append(Entry(prefix + member.name, _NOT_READ % what, "", split, "outside"))
    is_settled = all(pair.text or pair.problem for pair in pairs) and (bool(pairs) or not group.others)
    return is_settled and all(one.problem != "missing image" for one in left), entries


def _is_same(content: bytes | None, other: bytes | None) -> bool:
    return content is not None and other is not None and content.strip(LINE_ENDS) == other.strip(LINE_ENDS)


def _by_the_key(key: _Key, pairs: list[Pair], left: list[Left]) -> tuple[list[Pair], list[Left]]:
    """A text that is called as the key (`000.txt`) is the label of the only picture of the key (`000.img.png`). Of
    several pictures nobody knows which it reads."""
    folder, stem = key
    bare = [text for text, problem, _ in left if problem == "missing image" and _base(text_stem(text)) == stem]
    if not bare or not pairs or any(pair.text or pair.problem for pair in pairs):
        return pairs, left
    if len(pairs) == 1:
        choice = choose(bare)
        left = [one for one in left if one.text not in bare] + choice.left
        return [Pair(pairs[0].picture, choice.text, choice.problem, choice.detail)], left
    shown = b"%s may be the text of any of %d pictures" % (bare[0], len(pairs))
    left = [one._replace(detail=b"%d pictures may be meant" % len(pairs)) if one.text in bare else one for one in left]
    return [pair._replace(problem="no label", detail=shown) for pair in pairs], left


def _base(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _entry_of(member: Member, pair: Pair, texts: dict[bytes, _Text | None], prefix: bytes, split: str) -> Entry:
    """The entry of one picture."""
    path = prefix + member.name

    def rejected(reason: str, detail: bytes | None) -> Entry:
        return Entry(
            path, detail, "", split, reason, member.at, member.size
        )  # one of two by one name has its own place

    if member.link:
        return rejected("link in a tar", member.link)
    if pair.problem:
        return rejected(pair.problem, pair.detail)
    label = None
    if pair.text is not None:
        text = texts[pair.text]
        if text is None:
            return rejected("two labels", pair.text + b" comes more than once, with different texts")
        if text.member.link:
            return rejected("link in a tar", b"%s is a %s" % (pair.text, text.member.link))
        if text.content is None:
            return rejected("too many letters", b"%s has %d bytes" % (pair.text, text.member.size))
        try:
            label = line_of(text.content, pair.text)
        except Rejected as why:
            return rejected(why.reason, os.fsencode(why.detail))
        if pair.text.lower().endswith(CLASS_SUFFIX):
            if not (label := label.strip()):
                return rejected("no label", pair.text + b" is empty")
    return Entry(path, label, "", split, "", member.at, member.size)
