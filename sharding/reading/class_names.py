"""Names of classes: of all sources together, whatever their layouts."""

import unicodedata
from collections.abc import Callable, Iterable

from sharding.errors import SourceError
from sharding.wording import breaks_lines, some_names

_SHOWN = 3


def check_class_names(names: Iterable[str]) -> list[str]:
    """A note if names differ only in case. SourceError if names look the same: nobody could tell these classes apart in
    a table or in what a model reads; and for names that hold a tab or a new line, which would break both."""
    names = sorted(names)
    if broken := [name for name in names if breaks_lines(name)]:
        raise SourceError(
            "names of classes hold a control character, such as a tab or a new line: "
            f"{some_names([*map(ascii, broken)], _SHOWN)}; rename these classes"
        )
    if same := _alike(names, _as_seen):
        raise SourceError(
            f"the names of the classes {' and '.join(map(ascii, same[0]))} look the same, and are written with other "
            "characters; write them in one way"
        )
    if similar := _alike(names, lambda name: _as_seen(name).casefold()):
        shown = some_names([", ".join(twins) for twins in similar], _SHOWN, "; ")
        return [f"names of classes differ only in case, perhaps by mistake: {shown}"]
    return []


def _as_seen(name: str) -> str:
    """One spelling of Unicode and of white space."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    """The names that have their key in common with others."""
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(key(name), []).append(name)
    return [alike for alike in by_key.values() if len(alike) > 1]
