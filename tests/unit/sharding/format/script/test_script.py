"""Script profiles: the letters that each allows, the folds that other tools get wrong, and what a fold tells."""

import json
import unicodedata
from pathlib import Path

import pytest
import uharfbuzz
from hypothesis import given
from hypothesis import strategies as st

from sharding.errors import ConfigError
from sharding.format.script.profile import PROFILES, ScriptProfile, build_profile

FONT = Path(__file__).parents[5] / "horovod_ocr" / "synth" / "fonts" / "NotoNastaliqUrdu-Regular.ttf"
URDU = build_profile("urdu")
# What labels really hold, and all that a fold touches; drawn from the profile alone, marks and digits would be rare.
URDU_TEXT = st.text(
    st.sampled_from(URDU.letters + "يىكهۀة٠٩ـ\u200c\u200f\ufdf2\ufe85\ufefb\ufc60\ufe70َّٔ12۳.:/,٫٬"), max_size=12
)


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        ("ي", "ی"),
        ("ى", "ی"),
        ("ك", "ک"),
        ("ه", "ہ"),
        ("ھ", "ھ"),  # U+06BE stays: it is another letter
        ("\u06c0", "\u06c2"),
        ("ة", "ۃ"),
        ("٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹"),
        ("0123456789", "0123456789"),  # ASCII digits look different in the image
        ("کـتاب", "کتاب"),  # tatweel
        ("\u200fکتاب\u200e", "کتاب"),  # direction marks
        ("می\u200cکند", "میکند"),  # ZWNJ
        ("\u06cc\u0654", "ئ"),  # yeh of either kind and a hamza above: one letter
        ("\u0649\u0654", "ئ"),
        ("ه\u0654", "ۂ"),
        ("ﷲ", "اللہ"),
        ("ﷺ", "ﷺ"),  # drawn as one sign, so one letter, never NFKC's 18
        ("ﺅ", "ؤ"),
        ("ﻻ", "لا"),
        ("\ufee9", "ہ"),  # a presentation form is folded too
        ("  دو \t لفظ\u00a0ہیں \n", "دو لفظ ہیں"),
    ],
)
def test_urdu_folds(raw: str, normalised: str):
    assert URDU.normalise(raw) == normalised
    assert URDU.unknown(normalised) == ()


def test_folds_survive_labels_that_come_decomposed():
    composed = "ئۂۓؤأآ"
    assert URDU.normalise(unicodedata.normalize("NFD", composed)) == composed


@given(URDU_TEXT)
def test_normalising_twice_changes_nothing_more(label: str):
    once = URDU.normalise(label)
    assert URDU.normalise(once) == once


@pytest.mark.slow
@given(st.sampled_from(PROFILES), st.text(max_size=12))
def test_normalising_any_text_twice_changes_nothing_more(name: str, label: str):
    profile = build_profile(name)
    once = profile.normalise(label)
    assert profile.normalise(once) == once


def test_a_fold_that_is_off_leaves_its_letters_and_allows_them():
    profile = build_profile("urdu", joiners=False, digits=False)
    assert profile.normalise("می\u200cکند ٣") == "می\u200cکند ٣"
    assert profile.unknown("می\u200cکند ٣") == ()
    assert profile.normalise("ي") == "ی"


def test_a_profile_travels_through_json():
    profile = build_profile("urdu", joiners=False)
    again = ScriptProfile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert again == profile
    assert again.normalise("ي\u200c") == profile.normalise("ي\u200c")
    assert json.loads(json.dumps(profile.to_dict()))["folds"]["joiners"] is False


def test_refusals_name_what_there_is():
    with pytest.raises(ConfigError, match="urdu, arabic, persian, thai, latin, plain"):
        build_profile("greek")
    with pytest.raises(ConfigError, match="no fold 'zwnj'.*joiners"):
        build_profile("urdu", zwnj=True)
    with pytest.raises(ConfigError, match="not a script profile"):
        ScriptProfile.from_dict({"name": "urdu"})
    with pytest.raises(ConfigError, match="unknown reading direction 'up'; there are: ltr, rtl, visual"):
        ScriptProfile.from_dict(URDU.to_dict() | {"direction": "up"})


PERSIAN = build_profile("persian")
PERSIAN_TEXT = st.text(st.sampled_from("ابدرکگیيىءةهۀـ\u200c\u200c\u200c\u200d\u064e\u0653\u0654 ﻻﯽ1۵."), max_size=12)


@pytest.mark.parametrize(
    ("raw", "normalised"),
    [
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("خانه\u200cای", "خانه\u200cای"),
        ("مِ\u200cی", "مِ\u200cی"),  # marks join nothing
        ("م\u200cِی", "مِ\u200cی"),  # and stay with their letter
        ("می\u200c\u200cخ", "می\u200cخ"),
        ("\u200cمی\u200c", "می"),
        ("می\u200c خ", "می خ"),
        ("می\u200c.", "می."),
        ("ب\u200cء", "بء"),
        ("می\u200d\u200cخ", "می\u200cخ"),  # ZWJ
        ("ك\u200cب", "ک\u200cب"),
        ("ﻣ\u200cﯽ", "م\u200cی"),
        ("ی\u200c\u0654", "ئ"),
        ("\u06c0\u064e", "\u0647\u064e\u0654"),
        *((f"{letter}\u200cب", f"{letter}ب") for letter in "ادذرزژوآةأء1۵.,"),
    ],
)
def test_persian_keeps_a_joiner_where_it_is_seen(raw: str, normalised: str):
    assert PERSIAN.normalise(raw) == normalised
    assert PERSIAN.unknown(normalised) == ()
    assert PERSIAN.logical_order(PERSIAN.reading_order(normalised)) == normalised


@given(PERSIAN_TEXT)
def test_normalising_persian_twice_changes_nothing_more(label: str):
    once = PERSIAN.normalise(label)
    assert PERSIAN.normalise(once) == once


def test_a_font_shapes_two_letters_apart_where_the_joiner_stays():
    face = uharfbuzz.Face(uharfbuzz.Blob.from_file_path(str(FONT)))
    has = {chr(code) for code in face.unicodes}

    def glyphs(text: str) -> list[int]:
        buffer = uharfbuzz.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        uharfbuzz.shape(uharfbuzz.Font(face), buffer)
        return [info.codepoint for info in buffer.glyph_infos]

    letters = [letter for letter in PERSIAN.letters if "\u0620" < letter < "\u0700" and letter.isalpha()]
    letters = [letter for letter in letters if letter in has and PERSIAN.normalise(letter) == letter]
    assert len(letters) > 35
    space = glyphs("\u200c")
    for first in letters:
        for second in letters:
            apart = [glyph for glyph in glyphs(f"{first}\u200c{second}") if glyph not in space]
            is_kept = "\u200c" in PERSIAN.normalise(f"{first}\u200c{second}")
            assert is_kept == (apart != glyphs(first + second)), (first, second)


def test_the_joiners_of_persian_can_be_left_as_they_are_and_urdu_and_arabic_drop_them():
    as_written = build_profile("persian", joiners=False)
    assert as_written.normalise("دا\u200cر\u200d \u200c") == "دا\u200cر\u200d \u200c"
    assert as_written.unknown("دا\u200cر\u200d") == ()
    for name in ("urdu", "arabic"):
        assert build_profile(name).normalise("می\u200cخواب") == "میخواب"
        assert build_profile(name).folded("می\u200cخواب") == {"\u200c → ": 1}
    assert PERSIAN.folded("دا\u200cر می\u200cخواهم") == {}  # what was never seen is not told
    again = ScriptProfile.from_dict(json.loads(json.dumps(PERSIAN.to_dict())))
    assert again.normalise("می\u200cخواهم\u200c") == "می\u200cخواهم"
