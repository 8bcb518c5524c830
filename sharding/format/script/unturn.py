"""From the order in the image back to the logical order: the inverse of `bidi.visual_order`.

Several labels may look the same in an image ("1 a" and "a 1" in a line from right to left), and some orders cannot come
from any label. So the way back is a search: for levels of the units that, once undone, give a label that looks like
this in the image. Nearly always the first guess is right: turned once more, a label is itself again.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product

from sharding.format.script.bidi import (
    LTR,
    RTL,
    bracket_pairs,
    class_of,
    levels_of,
    logical_positions,
    visual_order,
    visual_positions,
)

_MOST_TRIED = 300  # of one line; without brackets far fewer are enough
_MOST_PAIRS = 60
_Change = tuple[list[int], int]  # positions, and the level that all of them get
_OPEN = ("ES", "ET", "CS", "WS", "ON", "NSM", "BN")  # their neighbours decide their level
_ANCHORS = (("L",), ("R", "AL"))  # in a line of this base, nothing but brackets reaches past them


def search_logical_order(units: Sequence[str], base: int) -> list[str]:
    """Units from left to right -> in logical order, so that `visual_order` of it gives these units again.

    If no label looks like this in an image, the units turned as if they were in logical order.
    """
    turned = visual_order(units, base)
    if visual_order(turned, base) == list(units):
        return turned
    found = _search(units, base, [_levels_by_island(units, base), *_first_guesses(units, base)])
    return turned if found is None else _undone(units, found)


def _undone(units: Sequence[str], levels: Sequence[int]) -> list[str]:
    return [units[position] for position in logical_positions(levels)]


def _levels_from_left(units: Sequence[str], base: int) -> tuple[int, ...]:
    """The levels of units in logical order, in their order from left to right."""
    levels = levels_of(units, base)
    return tuple(levels[position] for position in visual_positions(levels))


def _levels_by_island(units: Sequence[str], base: int) -> tuple[int, ...]:
    """Levels of which each island between two anchors is right by itself: short searches instead of a long one."""
    levels = [base] * len(units)
    islands = _neighbours(position for position, unit in enumerate(units) if class_of(unit[0]) not in _ANCHORS[base])
    for island in islands:
        first, after = island[0], island[-1] + 1
        # in a line from right to left, the letter before an island is on its right
        line = units[first : after + 1] if base == RTL else units[first:after]
        turned = visual_order(line, base)
        found = _levels_from_left(turned, base)
        if visual_order(turned, base) != list(line):
            found = _search(line, base, _first_guesses(line, base)) or found
        levels[first:after] = found[: after - first]
    return tuple(levels)


def _first_guesses(units: Sequence[str], base: int) -> list[tuple[int, ...]]:
    guesses = [visual_order(units, base), list(units)[::-1], list(units)]
    if base == LTR:
        guesses[:0] = [_spans_turned(units, least) for least in (("R", "AL", "EN", "AN"), ("R", "AL"))]
    return [_levels_from_left(guess, base) for guess in guesses]


def _spans_turned(units: Sequence[str], ends: tuple[str, ...]) -> list[str]:
    """A line from left to right, in which each span of right to left, from one of `ends` to the last, is turned as if
    it were a line of its own."""
    turned = list(units)
    for island in _neighbours(position for position, unit in enumerate(units) if class_of(unit[0]) != "L"):
        strong = [position for position in island if class_of(units[position][0]) in ends]
        if strong:
            turned[strong[0] : strong[-1] + 1] = visual_order(units[strong[0] : strong[-1] + 1], RTL)
    return turned


def _search(units: Sequence[str], base: int, starts: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Levels from left to right that are right; None if there are none among the first few hundred. Those that put the
    most units at the right position are followed first."""
    wanted: list[str] = list(units)
    seen: set[tuple[int, ...]] = set()
    waiting: list[tuple[int, int, tuple[int, ...], tuple[int, ...]]] = []
    changes = list(_changes(units, base))
    following = iter(starts)
    while True:
        for levels in following:
            if levels in seen:
                continue
            if len(seen) == _MOST_TRIED:
                return None
            seen.add(levels)
            label = _undone(units, levels)
            result = visual_order(label, base)
            if result == wanted:
                return levels
            wrong = sum(one != other for one, other in zip(result, wanted, strict=True))
            heapq.heappush(waiting, (wrong, len(seen), levels, _levels_from_left(label, base)))
        if not waiting:
            return None
        _, _, levels, led_to = heapq.heappop(waiting)
        following = _next_to(levels, led_to, changes)


def _next_to(levels: tuple[int, ...], led_to: tuple[int, ...], changes: list[_Change]) -> Iterator[tuple[int, ...]]:
    """Levels to try after these: those that they have led to, at once or run by run, then everything that is open."""
    yield led_to
    for run in _neighbours(position for position, level in enumerate(levels) if level != led_to[position]):
        yield (*levels[: run[0]], *led_to[run[0] : run[-1] + 1], *levels[run[-1] + 1 :])
    for positions, level in changes:
        changed = list(levels)
        for position in positions:
            changed[position] = level
        yield tuple(changed)


def _changes(units: Sequence[str], base: int) -> Iterator[_Change]:
    """Everything that may be changed at once: runs of what is open, single units, and two brackets."""
    kinds = [class_of(unit[0]) for unit in units]
    is_open = (*_OPEN, "EN") if base == LTR else _OPEN
    runs = _neighbours(position for position, kind in enumerate(kinds) if kind in is_open)
    brackets = bracket_pairs().keys() | set(bracket_pairs().values())
    pairs = combinations([position for position, unit in enumerate(units) if unit[0] in brackets], 2)
    together = [*runs, *([position] for run in runs if len(run) > 1 for position in run), *map(list, pairs)]
    yield from product(together[: len(units) + _MOST_PAIRS], (0, 1, 2) if base == LTR else (1, 2))


def _neighbours(positions: Iterable[int]) -> list[list[int]]:
    """Ascending positions, as runs of neighbours."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][-1] == position - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs
