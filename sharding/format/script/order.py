"""The order of a label's letters in its image, from left to right, and back (UAX 9). Marks stay behind their base."""

import unicodedata
from functools import cache, lru_cache
from itertools import accumulate

from sharding.format.script.bidi import (
    LTR,
    RTL,
    class_of,
    letters_of_classes,
    levels_of,
    visual_order,
    visual_positions,
)
from sharding.format.script.unturn import search_logical_order

_KEPT_ORDERS = 1 << 14  # labels with numbers or of two directions, whose order is kept


def reading_order(label: str, direction: str) -> str:
    """A label in the order in which its letters are in the image from left to right. direction: of `ScriptProfile`."""
    if direction == "visual" or not label:
        return label
    if direction == "ltr":
        return label if _is_ltr(label) else _turned(label, LTR)
    if _single_rtl().issuperset(label):  # most words
        return label[::-1]
    return "".join(reversed(units_of(label))) if _is_rtl(label) else _turned(label, RTL)


def logical_order(text: str, direction: str) -> str:
    """The inverse of `reading_order`: letters from left to right -> the label."""
    if direction == "visual" or not text:
        return text
    if direction == "ltr":
        return text if _is_ltr(text) else _turned_back(text, LTR)
    if _is_rtl(text):
        return "".join(reversed(units_of(text)))
    return _turned_back(text, RTL)


def reading_positions(label: str, direction: str) -> list[int]:
    """Which character of a label comes first in `reading_order`, and so on: positions in the label."""
    if direction == "visual" or (direction == "ltr" and _is_ltr(label)):
        return list(range(len(label)))
    if direction == "rtl" and _single_rtl().issuperset(label):
        return list(range(len(label) - 1, -1, -1))
    units = units_of(label)
    firsts = [0, *accumulate(map(len, units))]
    levels = levels_of(units, LTR if direction == "ltr" else RTL)
    return [at for unit in visual_positions(levels) for at in range(firsts[unit], firsts[unit + 1])]


def is_unambiguous(label: str, direction: str) -> bool:
    """Is no other label certain to look the same in an image: are all its letters of one direction?"""
    return direction == "visual" or (_is_ltr(label) if direction == "ltr" else _is_rtl(label))


def is_mark(letter: str) -> bool:
    """Does this character sit on the one before it (Unicode category M)?"""
    return unicodedata.category(letter)[0] == "M"


@cache
def is_bound(letter: str) -> bool:
    """Does this character stay with the one before it: a mark, a joiner, or another that is invisible?"""
    return is_mark(letter) or class_of(letter) == "BN"


def units_of(label: str) -> list[str]:
    """A label as its units: each a base, and what is bound to it."""
    units: list[str] = []
    for letter in label:
        if units and is_bound(letter):
            units[-1] += letter
        else:
            units.append(letter)
    return units


def _is_ltr(label: str) -> bool:
    """Is nothing in this label read from right to left?"""
    return label.isascii() or letters_of_classes("R", "AL", "AN").isdisjoint(label)


def _is_rtl(label: str) -> bool:
    """Is there neither a number in this label nor a letter that is read from left to right?"""
    return letters_of_classes("R", "AL", "NSM", "BN", "ES", "ET", "CS", "WS", "ON").issuperset(label)


@cache
def _single_rtl() -> frozenset[str]:
    return frozenset(filter(lambda letter: not is_bound(letter), letters_of_classes("R", "AL", "ES", "CS", "WS", "ON")))


@lru_cache(_KEPT_ORDERS)
def _turned(label: str, base: int) -> str:
    return "".join(visual_order(units_of(label), base))


@lru_cache(_KEPT_ORDERS)
def _turned_back(text: str, base: int) -> str:
    return "".join(search_logical_order(units_of(text), base))
