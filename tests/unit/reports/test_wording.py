"""Numbers and phrases that several reports share."""

import pytest

from horovod_ocr.reports.wording import age_text, counted, most_first, range_text, size_text, subsets_warning


def test_one_is_not_many():
    assert (counted(1, "copy", "copies"), counted(2_000, "copy", "copies")) == ("1 copy", "2,000 copies")
    assert (counted(1, "shard"), counted(0, "shard"), range_text(3, 3), range_text(3, 5)) == (
        "1 shard",
        "0 shards",
        "3",
        "3 to 5",
    )


def test_sizes_are_in_gigabytes_from_one_on():
    assert (size_text(45_630_000), size_text(999_940_000), size_text(1e9)) == ("45.6 MB", "999.9 MB", "1.00 GB")


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(-500, "now"), (59, "now"), (60, "1 min ago"), (7199, "1 h ago"), (86400 * 3.5, "3 d ago")],
)
def test_an_age_is_in_whole_units(age_s, text):
    """A negative one is that of a clock that is ahead."""
    assert age_text(age_s) == text


def test_the_most_frequent_is_first():
    assert most_first({"b": 1, "a": 1, "c": 2}) == [("c", 2), ("a", 1), ("b", 1)]


def test_only_many_subsets_of_a_few_entries_look_like_texts():
    assert subsets_warning(10, 10) is None and subsets_warning(11, 55) is None
    assert "look like texts" in subsets_warning(11, 54)
