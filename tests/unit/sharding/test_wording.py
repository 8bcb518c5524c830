"""Phrases that sentences of any module share."""

from sharding.wording import some_names


def test_what_is_not_named_is_counted():
    names = [f"c{number}" for number in range(3_000)]
    assert some_names(names, 2) == "c0, c1 and 2,998 more"
    assert some_names(names[:3], 2, " ") == "c0 c1 and 1 more"
    assert some_names(names[:2], 2) == "c0, c1" and some_names(names[:1], 2) == "c0"
    assert some_names([], 2) == ""
