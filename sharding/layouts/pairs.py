"""Which text is the label of which picture, by their names: one rule for folders and for tars.

`word.gt.txt`, `word.txt` or `word.label` is the label of `word.png`, and of `word.bin.png`, `word.nrm.png`,
`word.raw.png` and `word.dew.png`, which Tesseract, Calamari and OCRopus write; suffixes in capitals are the same.
Beside a `.gt.txt` every other text of the name is something else, mostly what a program has read.
"""

from collections.abc import Iterable
from typing import NamedTuple

_GT_SUFFIX = b".gt.txt"
TEXT_SUFFIXES = (_GT_SUFFIX, b".txt", b".label")
_VARIANTS = frozenset((b".bin", b".nrm", b".raw", b".dew"))


class Pair(NamedTuple):
    """A picture and its label."""

    picture: bytes
    """Its name, as `pair_names` got it."""
    text: bytes | None
    """The file that is its label; None if there is none."""
    problem: str = ""
    """As in an Entry."""
    detail: bytes | None = None
    """As in an Entry."""


class Left(NamedTuple):
    """A text that is not a label."""

    text: bytes
    """Its name, as `pair_names` got it."""
    problem: str
    """As in an Entry."""
    detail: bytes | None = None
    """As in an Entry."""


class _Choice(NamedTuple):
    """Which of the texts of one stem is the label."""

    text: bytes | None
    """The file that is the label; None if several may be it."""
    left: list[Left]
    """The other texts; if none is chosen, all of them."""
    problem: str = ""
    """As in an Entry; all pictures of the stem get it."""
    detail: bytes | None = None
    """As in an Entry; all pictures of the stem get it."""


def is_text(name: bytes) -> bool:
    """Does a file's name end like that of a text beside a picture?"""
    return name.lower().endswith(TEXT_SUFFIXES)


def text_stem(name: bytes) -> bytes:
    """The name of a text without its suffix; of another file without its last suffix."""
    if name[-len(_GT_SUFFIX) :].lower() == _GT_SUFFIX:
        return name[: -len(_GT_SUFFIX)]
    return name[: name.rfind(b".")]


def pair_names(pictures: Iterable[bytes], texts: Iterable[bytes]) -> tuple[list[Pair], list[Left]]:
    """Pairs, one for each picture, and the texts that are left. Each name is given once."""
    by_stem: dict[bytes, list[bytes]] = {}
    for text in texts:
        by_stem.setdefault(text_stem(text), []).append(text)
    choices: dict[bytes, _Choice] = {}
    pairs = []
    for picture in pictures:
        stem = picture[: picture.rfind(b".")]
        if stem not in by_stem and stem[-4:].lower() in _VARIANTS:
            stem = stem[:-4]
        names = by_stem.get(stem)
        if names is None:
            pairs.append(Pair(picture, None))
            continue
        if (choice := choices.get(stem)) is None:
            choice = choices[stem] = choose(names)
        pairs.append(Pair(picture, choice.text, choice.problem, choice.detail))
    left = []
    for stem, names in by_stem.items():
        left += choices[stem].left if stem in choices else [Left(name, "missing image") for name in names]
    return pairs, left


def choose(texts: list[bytes]) -> _Choice:
    """The label among the texts of one stem: the only one, or the only .gt.txt."""
    if len(texts) == 1:
        return _Choice(texts[0], [])
    best = [name for name in texts if name[-len(_GT_SUFFIX) :].lower() == _GT_SUFFIX] or texts
    if len(best) == 1:
        return _Choice(best[0], [Left(name, "another text is the label", best[0]) for name in texts if name != best[0]])
    shown = b" and ".join(sorted(texts))
    return _Choice(None, [Left(name, "two labels", shown) for name in texts], "two labels", shown)
