"""The labels say which profile and direction they are of, and the guess says why."""

import pytest

from sharding.format.script.guess import guess_direction, guess_direction_and_why, guess_profile
from sharding.format.script.profile import build_profile


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["کتاب", "abc", "دن رات"], "urdu"),
        (["1กก1202", "12"], "thai"),
        (["word", "naïve", "دن"], "latin"),
        (["123", "!?"], "plain"),
        (["дом"], "plain"),
        (["ab", "کت"], "plain"),  # no majority
        ([], "plain"),
        (["إلى", "إسلام", "على", "علي", "مدرسة", "كتاب", "إذا", "هدى"], "arabic"),
        (["کتاب", "پدر", "خانه", "دانشگاه", "گفت", "این"], "persian"),
        (["کتاب", "ٹھیک", "میں", "ہے", "علي", "كا", "هم"] * 20, "urdu"),  # Arabic letters of a keyboard among Urdu ones
        (["پښتو", "ډېر", "څه", "ږغ"] * 5, "plain"),  # Pashto
        (["ئۇيغۇر", "تىلى", "بىلەن"] * 5, "plain"),  # Uyghur
        (["سنڌي", "ٻولي", "ڪتاب"] * 5, "plain"),  # Sindhi
        (["کوردی", "زمانی", "ئێمە", "خۆم"] * 5, "plain"),  # Kurdish
        (["京AB1234"] * 1000, "plain"),
        (["word"] * 1000 + ["京AB"] * 10, "latin"),  # a hundredth
        (["word"] * 1000 + ["京AB"] * 11, "plain"),
        (["„Tag⸗", "aͤ", "x²", "3 × 4"] * 100, "latin"),
        (["שלום"], "plain"),
    ],
)
def test_the_profile_that_labels_speak_for(labels: list[str], name: str):
    assert guess_profile(labels).name == name


def test_a_guess_says_why():
    assert guess_profile(["京AB1234"] * 1000).why == "latin would refuse 1,000 of 1,000 labels (京)"
    assert guess_profile(["שלום", "12"]).why == "most letters are Hebrew, which has no profile of its own"
    assert guess_profile(["京都", "12"]).why == "most letters are CJK, which has no profile of its own"
    assert guess_profile([]).why == "there is no label to tell by"
    assert guess_profile(["12"]).why == "there is no letter in 1 label"
    assert guess_profile(["12"] * 3).why == "there is no letter in 3 labels"
    assert guess_profile(["ab", "کت"]).why == "no script has more than half of the letters of 2 labels"
    arabic = guess_profile(["على", "علي", "مدرسة"]).why
    assert arabic == (
        "arabic takes all of 3 labels; 2 letters are not used in Persian (ى ي); 3 letters are not used in Urdu (ى ي ة)"
    )
    urdu = guess_profile(["ٹھیک", "میں", "x"]).why
    assert urdu.startswith("urdu refuses 1 of 3 labels (x); ") and "arabic would refuse 3 (" in urdu


def test_a_joiner_that_is_seen_speaks_for_persian():
    guess = guess_profile(["می\u200cخواهم", "کتاب"])
    assert guess == (
        "persian",
        "persian takes all of 2 labels; 2 letters are not used in Urdu (U+200C ه); 3 letters "
        "are not used in Arabic (U+200C ی ک)",
    )


def test_a_guessed_profile_folds_nothing_that_its_language_keeps_apart():
    for labels in (["على", "علي"], ["خانه", "گفت"], ["ٹھیک", "میں", "ہے"]):
        profile = build_profile(guess_profile(labels).name)
        assert [profile.normalise(label) for label in labels] == labels


def test_direction_follows_the_letters():
    assert guess_direction(["שלום", "12", "!"]) == "rtl"
    assert guess_direction(["ܫܠܡܐ"]) == guess_direction(["ދިވެހި"]) == guess_direction(["پښتو"]) == "rtl"
    assert guess_direction(["дом"]) == guess_direction(["12"]) == guess_direction([]) == "ltr"
    assert guess_direction(["שלום hello"]) == "ltr"
    assert guess_direction(["שלום hi"]) == "rtl"


def test_why_it_is_read_in_that_direction():
    assert guess_direction_and_why(["שלום"]) == ("rtl", "; read from right to left, as most of the letters are")
    assert guess_direction_and_why(["дом", "ש"]) == ("ltr", "; read from left to right, as most of the letters are")
    assert guess_direction_and_why(["12"]) == guess_direction_and_why([]) == ("ltr", "")
