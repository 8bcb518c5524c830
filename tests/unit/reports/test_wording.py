"""Numbers and phrases that several reports share."""

import pytest

from horovod_ocr.reports.wording import age_text, classes_warnings, counted, range_text, subsets_warning


def test_one_is_not_many():
    assert (counted(1, "copy", "copies"), counted(2_000, "copy", "copies")) == ("1 copy", "2,000 copies")
    assert (counted(1, "shard"), counted(0, "shard"), range_text(3, 3), range_text(3, 5)) == (
        "1 shard",
        "0 shards",
        "3",
        "3 to 5",
    )


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(-500, "now"), (59, "now"), (60, "1 min ago"), (7199, "1 h ago"), (86400 * 3.5, "3 d ago")],
)
def test_an_age_is_in_whole_units(age_s, text):
    """A negative one is that of a clock that is ahead."""
    assert age_text(age_s) == text


def test_only_many_subsets_of_a_few_entries_look_like_texts():
    assert subsets_warning(10, 10) is None and subsets_warning(11, 55) is None
    assert "look like texts" in subsets_warning(11, 54)


def test_classes_that_cannot_be_learnt_or_scored_are_named():
    names = ("cat", "dog", "emu")
    assert classes_warnings(names, {"train": [5, 3, 2], "val": [1, 0, 1], "test": [0, 1, 0]}) == []
    assert classes_warnings(names, {"train": [5, 0, 2], "val": [1, 2, 0], "test": [1, 0, 0]}) == [
        "the train split has no image of dog, which cannot be learnt",
        "val and test have no image of emu, which is never scored",
    ]
    assert classes_warnings(names, {"train": [5, 3, 2], "val": [0, 0, 0], "test": [0, 0, 0]}) == []
    many = [f"c{number}" for number in range(30)]
    missing = classes_warnings(many, {"train": [1] + [0] * 29, "val": [1] * 30})
    assert missing[0].endswith("c10 and 19 more, which cannot be learnt")
    assert classes_warnings((), {}) == []
