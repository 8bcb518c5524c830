"""Labels that can be used come out normalised; those that cannot have their reason. CTC's frames are counted."""

import pytest

from sharding.format.frames import Frames, frames_needed
from sharding.format.script.profile import build_profile
from sharding.images.limits import Limits
from sharding.reading.labels import check_fits, check_label
from sharding.reasons import Rejected

LIMITS = Limits()
URDU = build_profile("urdu")


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (None, "no label"),
        ("", "empty label"),
        (" \u200f\u0640 ", "empty label"),
        ("abc", "unknown letters"),
        ("\u064eدن", "starts with a mark"),
        ("د\udcff", "label is not UTF-8"),
        ("دن\nرات", "several lines"),
        ("دن\u2028رات", "several lines"),
    ],
)
def test_labels_that_are_rejected(label: str | None, reason: str):
    with pytest.raises(Rejected) as why:
        check_label(label, URDU, LIMITS)
    assert why.value.reason == reason


def test_a_rejected_letter_is_named():
    with pytest.raises(Rejected) as why:
        check_label("دن x", URDU, LIMITS)
    assert "x U+0078" in why.value.detail
    assert check_label(" دن ي ", URDU, LIMITS) == "دن ی"


def test_letters_are_counted_after_normalising():
    assert check_label(" دن ي ", URDU, Limits(max_label=4)) == "دن ی"
    with pytest.raises(Rejected) as why:
        check_label(" دن ي ", URDU, Limits(max_label=3))
    assert why.value.reason == "too many letters"


def test_ctc_needs_a_frame_a_letter_and_one_between_equal_neighbours():
    assert frames_needed("abc") == 3
    assert frames_needed("aabb") == 6
    latin = build_profile("latin")
    check_fits("aab", latin, 16, 64, LIMITS)  # 4 frames
    with pytest.raises(Rejected, match="label too long"):
        check_fits("aabb", latin, 16, 64, LIMITS)
    check_fits("aabb", latin, 21, 64, LIMITS)  # 5.25 frames count as 6


def test_the_end_of_a_line_is_no_second_line():
    assert check_label("دن رات\r\n", URDU, LIMITS) == "دن رات"


def test_text_from_top_to_bottom_is_said_to_be_turned_before():
    with pytest.raises(Rejected, match="label too long.*top to bottom is turned on its side before"):
        check_fits("京都府", build_profile("plain"), 30, 240, LIMITS)
    with pytest.raises(Rejected) as why:
        check_fits("aabb", build_profile("latin"), 16, 20, Limits(Frames(16)))
    assert "turned" not in why.value.detail
