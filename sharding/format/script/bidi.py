"""The Unicode bidirectional algorithm (UAX 9) for the line of a label: the order of its units from left to right.

Labels hold no embeddings, overrides or isolates (the fold `invisible` drops them), so X1 to X8 do nothing. What is left
are the weak types (W1 to W7), bracket pairs (N0), neutrals (N1, N2), levels (I1, I2, L1) and the reversal of runs (L2).
Glyphs are not mirrored: only the order of the letters changes. The way back: unturn.py.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

LTR, RTL = 0, 1  # the level of the paragraph
# Isolates are neutral here; embeddings and overrides are ignored (X9), like BN.
_CLASSES = {
    **dict.fromkeys(("LRE", "RLE", "LRO", "RLO", "PDF"), "BN"),
    **dict.fromkeys(("LRI", "RLI", "FSI", "PDI", "B", "S"), "ON"),
    "": "L",  # not assigned
}
_STRONG = {"L": "L", "R": "R", "EN": "R", "AN": "R"}  # as N0 to N2 count them
_LEVELS = ({"L": 0, "R": 1, "EN": 2, "AN": 2}, {"L": 2, "R": 1, "EN": 2, "AN": 2})  # I1, I2
_MOST_OPEN = 63  # brackets at once, BD16


def class_of(letter: str) -> str:
    """The bidi class of a character, as far as it matters here."""
    found = unicodedata.bidirectional(letter)
    return _CLASSES.get(found, found)


def visual_order(units: Sequence[str], base: int) -> list[str]:
    """Units (a base and its marks each) in logical order -> in their order from left to right."""
    return [units[position] for position in visual_positions(levels_of(units, base))]


def levels_of(units: Sequence[str], base: int) -> list[int]:
    """The embedding level of each unit of a line. base: `LTR` or `RTL`."""
    text = "".join(units)
    classes = list(map(class_of, text))
    seen = [position for position, found in enumerate(classes) if found != "BN"]
    original = [classes[position] for position in seen]
    types = original.copy()
    outer = "R" if base else "L"
    _resolve_weak(types, outer)
    _resolve_brackets([text[position] for position in seen], types, original, outer)
    _resolve_neutrals(types, outer)
    levels = [base] * len(text)
    for position, found in zip(seen, types, strict=True):
        levels[position] = _LEVELS[base][found]
    for position, found in zip(reversed(seen), reversed(original), strict=True):  # L1
        if found != "WS":
            break
        levels[position] = base
    firsts, at = [], 0
    for unit in units:
        firsts.append(levels[at])
        at += len(unit)
    return firsts


def visual_positions(levels: Sequence[int]) -> list[int]:
    """L2: for each position from left to right, which of the units with these levels (in logical order) is there."""
    return _reverse_runs(levels, range(max(levels, default=0), 0, -1))


def logical_positions(levels: Sequence[int]) -> list[int]:
    """The inverse of `visual_positions`: of levels in visual order, which unit comes first, and so on."""
    return _reverse_runs(levels, range(1, max(levels, default=0) + 1))


@cache
def bracket_pairs() -> dict[str, str]:
    """Opening bracket -> closing bracket (Bidi_Paired_Bracket): those of category Ps and Pe that are mirrored."""
    pairs = {"\u298d": "\u2990", "\u298f": "\u298e"}
    for letter in map(chr, range(0x28, 0xFF63)):
        if letter not in pairs and unicodedata.category(letter) == "Ps" and unicodedata.mirrored(letter):
            follow = (chr(ord(letter) + step) for step in (1, 2))
            pairs[letter] = next(other for other in follow if unicodedata.category(other) == "Pe")
    return pairs


@cache
def letters_of_classes(*classes: str) -> frozenset[str]:
    """The characters of these bidi classes in all blocks that have letters from right to left, and in those of marks,
    punctuation and signs that such a text holds."""
    blocks = ((0, 0x900), (0x2000, 0x3100), (0xFB1D, 0xFF00), (0x10800, 0x11000), (0x1E800, 0x1F000))
    codes = (code for first, end in blocks for code in range(first, end))
    return frozenset(letter for letter in map(chr, codes) if class_of(letter) in classes)


def _resolve_weak(types: list[str], outer: str) -> None:
    """W1 to W7."""
    before = strong = outer
    for position, found in enumerate(types):
        found = before if found == "NSM" else found
        before = found
        if found in ("L", "R", "AL"):
            strong = found
        types[position] = "AN" if found == "EN" and strong == "AL" else found
    for position, found in enumerate(types):
        if found == "AL":
            types[position] = "R"
        elif found in ("ES", "CS") and 0 < position < len(types) - 1:
            number = types[position - 1]
            if number == types[position + 1] and (number == "EN" or (number == "AN" and found == "CS")):
                types[position] = number
    for start, end in _runs(types, ("ET",)):
        if "EN" in (*types[max(0, start - 1) : start], *types[end : end + 1]):
            types[start:end] = ["EN"] * (end - start)
    strong = outer
    for position, found in enumerate(types):
        if found in ("ES", "ET", "CS"):
            types[position] = "ON"
        elif found in ("L", "R"):
            strong = found
        elif found == "EN" and strong == "L":
            types[position] = "L"


def _resolve_brackets(letters: list[str], types: list[str], original: list[str], outer: str) -> None:
    """N0: both brackets of a pair, and the marks on them, take a direction from what the pair holds."""
    for opening, closing in _positions_of_pairs(letters, types):
        inside = {_STRONG.get(found) for found in types[opening + 1 : closing]} - {None}
        if not inside:
            continue
        direction = outer
        if outer not in inside:
            direction = next((_STRONG[found] for found in reversed(types[:opening]) if found in _STRONG), outer)
        for bracket in (opening, closing):
            types[bracket] = direction
            mark = bracket + 1
            while mark < len(types) and original[mark] == "NSM":
                types[mark] = direction
                mark += 1


def _positions_of_pairs(letters: list[str], types: list[str]) -> list[tuple[int, int]]:
    """BD16: the positions of brackets that belong together, by the opening one."""
    closing_of = bracket_pairs()
    if closing_of.keys().isdisjoint(letters):
        return []
    closings = set(closing_of.values())
    pairs: list[tuple[int, int]] = []
    waiting: list[tuple[str, int]] = []
    for position, letter in enumerate(letters):
        if types[position] != "ON":
            continue
        if letter in closing_of:
            if len(waiting) == _MOST_OPEN:
                return []
            waiting.append((closing_of[letter], position))
        elif letter in closings:
            depths = [depth for depth, (wanted, _) in enumerate(waiting) if wanted == letter]
            if depths:
                pairs.append((waiting[depths[-1]][1], position))
                del waiting[depths[-1] :]
    return sorted(pairs)


def _resolve_neutrals(types: list[str], outer: str) -> None:
    """N1 and N2."""
    for start, end in _runs(types, ("ON", "WS")):
        before = _STRONG[types[start - 1]] if start else outer
        after = _STRONG[types[end]] if end < len(types) else outer
        types[start:end] = [before if before == after else outer] * (end - start)


def _runs(types: Sequence[str], wanted: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of the wanted types."""
    start = None
    for position, found in enumerate((*types, "")):
        if found in wanted:
            start = position if start is None else start
        elif start is not None:
            yield start, position
            start = None


def _reverse_runs(levels: Sequence[int], steps: range) -> list[int]:
    """Positions, in which each run of at least this level is reversed, for one level after the other."""
    order = list(range(len(levels)))
    for least in steps:
        start = None
        for end in range(len(order) + 1):
            inside = end < len(order) and levels[order[end]] >= least
            if inside and start is None:
                start = end
            elif not inside and start is not None:
                order[start:end] = order[start:end][::-1]
                start = None
    return order
