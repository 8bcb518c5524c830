"""Counts by name, in the order in which people and index.json have them."""

from collections.abc import Mapping


def by_count(counts: Mapping[str, int]) -> dict[str, int]:
    """The greatest count first, equal ones in the order of their names."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
