"""Counts by name, in their order."""

from sharding.counts import by_count


def test_the_most_frequent_is_first():
    assert list(by_count({"b": 1, "a": 1, "c": 2}).items()) == [("c", 2), ("a", 1), ("b", 1)]
