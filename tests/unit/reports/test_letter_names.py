"""Every letter can be seen, or is named by its code point."""

from horovod_ocr.reports.letter_names import letter_cells, letter_text, signs, visible


def test_marks_and_spaces_can_be_seen():
    assert (visible("\u064e"), visible(" "), visible("a"), visible("\u0007")) == ("◌\u064e", "␣", "a", "U+0007")


def test_a_letter_without_ink_has_its_code_point_and_its_name():
    assert letter_cells("\u200c") == ("", "U+200C", "zero width non-joiner")
    assert letter_text("\u200c") == "U+200C zero width non-joiner"
    assert letter_text("ا") == "U+0627 ا arabic letter alef"


def test_a_long_row_of_letters_is_cut():
    assert signs("ab\u200c") == "a b U+200C" and signs("abcd", 2) == "a b ..." and signs("") == ""
