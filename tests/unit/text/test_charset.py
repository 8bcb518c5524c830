"""Labels to targets and back, in the order in which the image is scanned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horovod_ocr.errors import CheckpointError, LabelError
from horovod_ocr.text.charset import BLANK_ID, Charset
from sharding.format.script.profile import build_profile

URDU, LATIN, HEBREW = build_profile("urdu"), build_profile("latin"), build_profile("plain", direction="rtl")
MIXED = st.text("اבa1۱٣-/%., ()", min_size=1, max_size=10)
LETTERS = "ابپتکگلمنیہے" + "۰۱۲۳" + "\u064e\u0651"


def test_urdu_targets_run_from_the_left_of_the_image():
    charset = Charset.build("کتاب", URDU)
    left_to_right = [charset.letters[number - 1] for number in charset.encode("کتاب")]
    assert left_to_right == ["ب", "ا", "ت", "ک"]


def test_urdu_digits_inside_a_word_keep_their_order():
    charset = Charset.build("کتاب۱۲۳", URDU)
    assert "".join(charset.letters[number - 1] for number in charset.encode("کتاب۱۲۳")) == "۱۲۳باتک"
    assert charset.decode(charset.encode("کتاب۱۲۳")) == "کتاب۱۲۳"


def test_latin_is_read_as_it_is_written():
    charset = Charset.build("abc", LATIN)
    assert charset.encode("cab") == [3, 1, 2]


@given(st.text(alphabet=LETTERS, min_size=1, max_size=12))
def test_round_trip(text):
    label = URDU.normalise("ا" + text)  # a label never starts with a mark: the check refuses it
    charset = Charset.build(set(label), URDU)
    ids = charset.encode(label)
    assert BLANK_ID not in ids and charset.decode(ids) == label


@given(st.sampled_from((URDU, HEBREW, LATIN, build_profile("plain"))), MIXED)
def test_a_label_of_both_directions_is_read_as_its_image_shows_it(profile, text):
    label = profile.normalise(text)
    charset = Charset.build(set(label), profile)
    assert profile.normalise(charset.decode(charset.encode(label))) == profile.as_read(label)


def test_a_letter_outside_is_named():
    with pytest.raises(LabelError, match="'ژ' is not in the charset"):
        Charset.build("اب", URDU).encode("اژ")
    with pytest.raises(CheckpointError, match="2 letters.*ت ژ"):
        Charset.build("اب", URDU).require("ابژت", "shards")


def test_plain_values_and_back():
    charset = Charset.build("کتاب", URDU)
    assert Charset.from_dict(charset.to_dict()) == charset
