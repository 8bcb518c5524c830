"""Numbers and phrases that several reports share."""

import pytest

from horovod_ocr.reports.wording import (
    age_text,
    classes_warnings,
    counted,
    empty_splits,
    groups_warning,
    range_text,
    subsets_warning,
)


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


def test_a_split_that_was_asked_to_be_empty_is_as_it_should_be():
    samples = {"train": 9, "val": 0, "test": 0}
    assert empty_splits(samples, (0.9, 0.1, 0.0), given=0) == ["val"]
    assert empty_splits(samples, (0.9, 0.1, 0.0), given=9) == ["val", "test"]  # the fractions were not used
    assert empty_splits({}, (1.0, 0.0, 0.0), given=0) == ["train"]


def test_shares_of_groups_that_are_far_from_the_fractions_are_named():
    asked = (0.8, 0.1, 0.1)
    assert groups_warning("group", {"train": 80, "val": 5, "test": 15}, asked) is None
    assert "val 4.0% (10.0% asked for), test 11.0%" in groups_warning(
        "group", {"train": 85, "val": 4, "test": 11}, asked
    )
    assert "test 16.0% (10.0%" in groups_warning("group", {"train": 74, "val": 10, "test": 16}, asked)
    assert groups_warning("file", {"train": 100}, asked) is None  # and val is empty: that is said
    assert groups_warning("group", {"train": 9}, (1.0, 0.0, 0.0)) is None
    assert groups_warning("group", {}, asked) is None


def test_classes_that_a_split_lacks_are_named_with_what_follows():
    names = ("cat", "dog", "emu")
    assert classes_warnings(names, {"train": (5, 3, 2), "val": (1, 1, 1), "test": (9, 1, 1)}) == []
    assert classes_warnings(names, {"train": (5, 0, 1), "val": (1, 2, 0), "test": (1, 0, 0)}) == [
        "1 of 3 classes has no image in train (elsewhere: dog 2); no model learns to read such images",
        "1 of 3 classes has no image in val (elsewhere: emu 1); the best checkpoint is chosen without such images",
        "2 of 3 classes have no image in test (elsewhere: dog 2, emu 1); the test score says nothing of such images",
    ]
    assert classes_warnings(names, {"train": (5, 3, 2), "val": (0, 0, 0), "test": (0, 0, 0)}) == []
    assert classes_warnings(names, {"train": (5, 0, 2), "val": (1, 0, 1), "test": (0, 0, 0)}) == [
        "no image of 1 of 3 classes can be used: dog"
    ]
    many = [f"c{number}" for number in range(30)]
    (missing,) = classes_warnings(many, {"train": [1] + [0] * 29, "val": [1] * 30})
    assert "c9 1, c10 1 and 19 more); no model" in missing
    assert classes_warnings((), {}) == classes_warnings(names, {}) == []
