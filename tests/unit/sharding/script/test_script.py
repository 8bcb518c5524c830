"""Script profiles: the letters that each allows, the folds that other tools get wrong, and what a fold tells."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.errors import ConfigError
from sharding.script import PROFILES, ScriptProfile, build_profile

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
