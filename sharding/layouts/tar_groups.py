"""Pictures and texts of one key of a tar as entries: which text is whose label, and what is refused by its name."""

import os
from dataclasses import dataclass, field
from typing import NamedTuple

from sharding.layouts.entry import Entry
from sharding.layouts.files import LINE_ENDS, line_of
from sharding.layouts.folders import is_note
from sharding.layouts.naming import is_label_file
from sharding.layouts.pairs import Left, Pair, choose, pair_names, text_stem
from sharding.layouts.tar_members import Member
from sharding.reasons import Rejected

CLASS_SUFFIX = b".cls"
NOT_READ = b"%s inside a tar is not read; unpack the tar"
Key = tuple[bytes, bytes]  # folder, and the name up to its first dot


class Text(NamedTuple):
    """A text in a tar."""

    member: Member
    """Where it is in the tar; its name says which picture it belongs to."""
    content: bytes | None
    """None of a link, and if it is too large for a text."""


@dataclass
class Group:
    """Pictures and texts of one key."""

    key: Key
    """What the paths of its members begin with."""
    pictures: list[Member] = field(default_factory=list)
    """In the order of the tar; a name may be there twice."""
    texts: list[Text] = field(default_factory=list)
    """In the order of the tar, files of classes (.cls) among them; a name may be there twice."""
    others: list[Member] = field(default_factory=list)
    """Label files and the like, which count only if there is no picture of this key."""


def entries_of(group: Group, prefix: bytes, split: str, is_whole: bool = False) -> tuple[bool, list[Entry]]:
    """(has each picture a text, and each text a picture; the entries). is_whole: nothing more of this key follows."""
    entries = []
    texts: dict[bytes, Text | None] = {}  # None: several of that name, with different contents
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
        alone = texts[name]
        if problem == "missing image" and is_note(_base(name)):
            continue
        if problem == "missing image" and is_label_file(_base(name)):
            problem, detail = "outside", NOT_READ % b"a label file"
        if alone and alone.member.link:
            problem, detail = "link in a tar", alone.member.link
        entries.append(Entry(prefix + name, detail, "", split, problem))
    if not pairs:
        for member in group.others:
            what = b"a label file" if is_label_file(_base(member.name)) else b"a file of pictures"
            entries.append(Entry(prefix + member.name, NOT_READ % what, "", split, "outside"))
    is_settled = all(pair.text or pair.problem for pair in pairs) and (bool(pairs) or not group.others)
    return is_settled and all(one.problem != "missing image" for one in left), entries


def _is_same(content: bytes | None, other: bytes | None) -> bool:
    return content is not None and other is not None and content.strip(LINE_ENDS) == other.strip(LINE_ENDS)


def _by_the_key(key: Key, pairs: list[Pair], left: list[Left]) -> tuple[list[Pair], list[Left]]:
    """A text that is named like the key (`000.txt`) is the label of the only picture of the key (`000.img.png`). If
    there are several pictures, nobody knows which it belongs to."""
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


def _entry_of(member: Member, pair: Pair, texts: dict[bytes, Text | None], prefix: bytes, split: str) -> Entry:
    """The entry of one picture."""
    path = prefix + member.name

    def rejected(reason: str, detail: bytes | None) -> Entry:
        # with its offset, because one of two with the same name has its own
        return Entry(path, detail, "", split, reason, member.at, member.size)

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
