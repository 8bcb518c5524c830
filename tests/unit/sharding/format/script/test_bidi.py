"""Labels are turned as UAX 9 says, with python-bidi as the judge; and back."""

import pytest
from bidi import get_display
from hypothesis import given, settings
from hypothesis import strategies as st

from sharding.format.script.bidi import bracket_pairs
from sharding.format.script.order import is_mark
from sharding.format.script.profile import build_profile

URDU, PLAIN = build_profile("urdu"), build_profile("plain")
HEBREW, VISUAL = build_profile("plain", direction="rtl"), build_profile("plain", direction="visual")
# letters of both directions, digits of three kinds, separators, signs, brackets, marks
MIXED = "אבגשابپعےں abzé0159۰۱۵۹٠١٥٩-+/%٪٫٬,.:،؛۔!?#$₨*&()[]{}«»<>½²'\u064e\u0651\u05b8\u0301"
MARKS = " \u064e\u0651\u05b8\u0301"
# The judge mirrors glyphs; which of two was mirrored cannot be seen any more.
UNMIRRORED = str.maketrans({close: opening for opening, close in (*bracket_pairs().items(), ("«", "»"), ("<", ">"))})


@pytest.mark.slow
@settings(max_examples=400)
@given(st.text(st.sampled_from(MIXED), max_size=24), st.sampled_from(("R", "L")))
def test_the_order_is_that_of_a_library_for_it(label: str, base: str):
    label = label.lstrip(MARKS)
    turned = (HEBREW if base == "R" else PLAIN).reading_order(label)
    assert without_marks(turned) == without_marks(get_display(label, base_dir=base))
    assert sorted(turned) == sorted(label)


def without_marks(text: str) -> str:
    """The judge puts marks of right-to-left letters before them; ours stay behind."""
    return "".join(letter for letter in text if not is_mark(letter)).translate(UNMIRRORED)


@pytest.mark.slow
@settings(max_examples=400)
@given(st.text(st.sampled_from(MIXED), max_size=12), st.sampled_from((HEBREW, PLAIN)))
def test_what_stands_in_an_image_is_read_back_as_a_label_that_stands_there_so(label: str, profile):
    label = profile.normalise(label).lstrip(MARKS)
    turned = profile.reading_order(label)
    read = profile.logical_order(turned)
    assert profile.reading_order(read) == turned
    assert profile.as_read(label) == profile.normalise(read) == profile.as_read(profile.as_read(label))


@pytest.mark.parametrize(
    ("label", "turned"),
    [
        ("کتاب", "باتک"),
        ("سال 1990 میں", "ںیم 1990 لاس"),  # numbers are read from left to right inside Urdu
        ("صفحہ ۱۲۳ پر", "رپ ۱۲۳ ہحفص"),
        ("قیمت 1,250.75 روپے", "ےپور 1,250.75 تمیق"),
        ("۱۲/۵/۲۰۲۰ کو", "وک ۱۲/۵/۲۰۲۰"),
        ("باب 5.", ".5 باب"),  # a point after the number is no part of it
        ("اوّل", "لوّا"),  # a mark stays behind its base
        ("1) دن", "ند )1"),
        ("0300-1234567", "0300-1234567"),
        ("۰۳۰۰-۱۲۳۴۵۶۷", "۰۳۰۰-۱۲۳۴۵۶۷"),
        ("12-05-2020", "12-05-2020"),
        ("تاریخ 12-05-2020", "2020-05-12 خیرات"),  # behind an Arabic letter, a hyphen joins no numbers
        ("50%", "50%"),
        ("۵۰٪", "۵۰٪"),
        ("قیمت ۵۰٪", "٪۵۰ تمیق"),
        ("۱۰،۰۰۰", "۱۰،۰۰۰"),
        ("قیمت ۱۰،۰۰۰ روپے", "ےپور ۱۰،۰۰۰ تمیق"),
        ("1947-48", "1947-48"),
        ("A4", "A4"),
        ("$5", "$5"),
        ("-5", "5-"),
        ("(12)", ")12("),
    ],
)
def test_urdu_reading_order(label: str, turned: str):
    assert URDU.reading_order(label) == turned
    assert URDU.logical_order(turned) == label


@pytest.mark.parametrize(
    ("profile", "label", "turned"),
    [
        (HEBREW, "שלום", "םולש"),
        (HEBREW, "שָׁלוֹם", "םוֹלשָׁ"),
        (HEBREW, "טל 03-123", "03-123 לט"),  # behind a Hebrew letter it does
        (PLAIN, "the שלום word", "the םולש word"),  # a Hebrew word in a line from left to right
        (PLAIN, "שלום עולם!", "םלוע םולש!"),
        (PLAIN, "٣ ١", "١ ٣"),
        (PLAIN, "น้ำ 12 ab", "น้ำ 12 ab"),
        (PLAIN, "ශ්\u200dරී", "ශ්\u200dරී"),
        (VISUAL, "םולש 12", "םולש 12"),
        (build_profile("arabic"), "علي 12", "12 يلع"),
    ],
)
def test_other_directions(profile, label: str, turned: str):
    assert profile.reading_order(label) == turned
    assert profile.logical_order(turned) == label


def test_of_labels_that_look_the_same_one_is_read():
    assert HEBREW.reading_order("1 a") == HEBREW.reading_order("a 1") == "a 1"
    assert HEBREW.as_read("1 a") == HEBREW.as_read("a 1") == HEBREW.logical_order("a 1")
    assert URDU.reading_order("9-A") == URDU.reading_order("A-9") == "A-9"
    assert HEBREW.as_read("שלום") == "שלום" and VISUAL.as_read("1 a") == "1 a"


def test_an_order_that_no_label_has_is_read_all_the_same():
    assert sorted(HEBREW.logical_order("1 a")) == sorted("1 a")
    assert len(HEBREW.logical_order("(1a)%,٣-א" * 20)) == 180


def test_labels_without_another_direction_are_not_looked_at_closely():
    """A million labels in latin letters must not cost minutes: they come back before anything is computed."""
    label = "naïve" * 3
    assert build_profile("latin").reading_order(label) is label
    assert PLAIN.reading_order("ทดสอบ") == "ทดสอบ" and PLAIN.as_read(label) is label
