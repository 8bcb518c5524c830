"""A profile of one's own: what its file says holds, travels as plain values, and a mistake in it is named."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.errors import ConfigError
from sharding.format.script.profile import ScriptProfile
from sharding.format.script.profile_file import read_profile

FRAKTUR = """
name = "fraktur"
letters = "abcdefghijklmnopqrstuvwxyzſäöüßABC .,⸗²e\u0301"

[folds]
"ꝛ" = "r"
"ae" = "ä"
"¬" = ""
"""


@pytest.fixture
def profile_of(tmp_path: Path):
    def read(content: str) -> ScriptProfile:
        (tmp_path / "my.toml").write_text(content, encoding="utf-8")
        return read_profile(tmp_path / "my.toml")

    return read


def test_letters_folds_and_direction_of_the_file(profile_of):
    profile = profile_of(FRAKTUR)
    assert (profile.name, profile.direction) == ("fraktur", "ltr")
    assert profile.normalise("heꝛꝛ  kaefer¬\u200e") == "herr käfer"
    assert profile.unknown("heʒ é 1") == ("ʒ", "1")
    assert profile.folded("heꝛꝛ kaefer¬") == {"ꝛ → r": 2, "ae → ä": 1, "¬ → ": 1}
    assert profile.simple_letters >= {"b", "ſ"} and profile.simple_letters.isdisjoint("aeꝛ ")


def test_it_travels_without_its_file(profile_of):
    profile = profile_of(FRAKTUR)
    again = ScriptProfile.from_dict(json.loads(json.dumps(profile.to_dict())))
    assert again == profile
    assert again.normalise("heꝛꝛ kaefer¬") == "herr käfer"


def test_a_built_in_profile_extended(profile_of):
    profile = profile_of('name = "saraiki"\nextends = "urdu"\nletters = "ٻڄݙڳݨ"\n[folds]\n"ڻ" = "ݨ"\nyeh = false\n')
    assert profile.direction == "rtl"
    assert profile.unknown("ٻڄݙڳݨ ٹکے") == ()
    assert profile.normalise("ڻ ك ي") == "ݨ ک ي"
    assert profile.unknown("ي") == ()
    assert ScriptProfile.from_dict(profile.to_dict()) == profile


def test_any_letter_with_folds(profile_of):
    profile = profile_of('name = "quotes"\nextends = "plain"\n[folds]\n"’" = "\'"\n')
    assert profile.direction == ""  # the labels decide
    assert profile.normalise("京’ дом") == "京' дом" and profile.unknown("京 дом") == ()


def test_a_fold_acts_on_what_a_fold_that_is_off_would_change(profile_of):
    head = 'name = "mine"\nextends = "urdu"\n[folds]\n'
    assert profile_of(f'{head}joiners = false\n"\\u200c" = " "').normalise("می\u200cکند") == "می کند"
    assert profile_of(f'{head}kaf = false\n"ك" = "ق"').normalise("كا") == "قا"
    assert profile_of(f'{head}tatweel = false\n"ـ" = "-"').normalise("کـا") == "ک-ا"
    own = profile_of(f'{head.replace("urdu", "persian")}presentation_forms = false\n"ﻻ" = "ل"')
    assert own.normalise("ﻻ") == "ل"
    # where the ZWNJ of Persian is kept, a fold meets it
    assert profile_of(f'{head.replace("urdu", "persian")}"\\u200c" = " "').normalise("می\u200cرود") == "می رود"


def test_direction_is_that_of_the_letters_unless_it_is_said(profile_of):
    assert profile_of('name = "h"\nletters = "אבגד"').direction == "rtl"
    assert profile_of('name = "h"\nletters = "אבגד"\ndirection = "visual"').direction == "visual"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name = ", "my.toml: not TOML"),
        ('letters = "ab"', "my.toml: name is missing"),
        ('name = "urdu"\nletters = "ab"', "my.toml: name: urdu is a built-in profile"),
        ('name = "x"', "my.toml: letters is missing"),
        ('name = "x"\nletter = "ab"', "my.toml: no key 'letter'; there are: name, direction, letters, extends, folds"),
        ('name = "x"\nletters = ["a"]', "my.toml: letters is a text, not"),
        ('name = "x"\nletters = "a"\nfolds = "b"', "my.toml: folds is a table, not 'b'"),
        ('name = "x"\nletters = "a"\ndirection = "up"', "my.toml: direction: unknown reading direction 'up'"),
        ('name = "x"\nextends = "greek"', "my.toml: extends: no profile 'greek'"),
        ('name = "x"\nextends = "plain"\nletters = "a"', "my.toml: letters: plain takes any letter"),
        ('name = "x"\nletters = "ab"\n[folds]\nc = 1', "my.toml: folds: 'c' = 1; write what becomes"),
        ('name = "x"\nletters = "ab"\n[folds]\nc = "d"', "my.toml: folds: 'c' becomes 'd', and d U\\+0064 is not in"),
        ('name = "x"\nletters = "ab"\n[folds]\na = "b"\nb = "a"', "folds: 'a' becomes 'b', which folds change again"),
        ('name = "x"\nletters = "ab"\n[folds]\na = "aa"', "folds: 'a' becomes 'aa', which folds change again"),
        ('name = "x"\nextends = "urdu"\nletters = "ي"', "ي U\\+064A is changed by the fold yeh; write yeh = false"),
        ('name = "x"\nextends = "urdu"\n[folds]\nzwnj = false', "urdu has no fold 'zwnj'; it has: yeh, kaf"),
        ('name = "x"\nextends = "urdu"\n[folds]\n"\\u200c" = " "', "never met, .*; write joiners = false"),
        ('name = "x"\nextends = "urdu"\n[folds]\n"ك" = "ق"', "'ك' is never met, for the fold kaf of urdu comes"),
        ('name = "x"\nextends = "urdu"\n[folds]\n"ـ" = "-"', "'ـ' is never met, .*; write tatweel = false below"),
        ('name = "x"\nextends = "urdu"\n[folds]\n"ه" = "ھ"', "'ه' is never met, .*; write heh = false below"),
        ('name = "x"\nextends = "urdu"\n[folds]\n"ی\u0654" = "ی"', "is never met, .*; write yeh = false below"),
        ('name = "x"\nextends = "persian"\n[folds]\n"ﻻ" = "ل"', "'ﻻ' is never met, .* presentation_forms = false"),
        ('name = "x"\nextends = "thai"\n[folds]\n"เเก" = "ก"', "'เเก' is never met, .* spellings = false"),
        ('name = "x"\nletters = "ab"\n[folds]\n"a\u200e" = "b"', "is never met, .* invisible of plain"),
        ('name = "x"\nletters = "ab"\n[folds]\n"é" = "a"\n"e\u0301" = "b"', "given twice, composed and decomposed"),
        ('name = "x"\nletters = "a\\u0007"', "letters: U\\+0007 can be in no label"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_key(profile_of, content: str, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        profile_of(content)


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("utf-16", "my.toml: this is UTF-16, or no text at all; save it as UTF-8"),
        ("latin-1", "my.toml, line 2: this is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_file_of_another_encoding(tmp_path: Path, encoding: str, sentence: str):
    (tmp_path / "my.toml").write_text('name = "x"\nletters = "é"', encoding=encoding)
    with pytest.raises(ConfigError, match=sentence):
        read_profile(tmp_path / "my.toml")


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="my.toml: there is no such file"):
        read_profile(tmp_path / "my.toml")


SOURCES, TARGETS = st.text("abcdeé\u0301", min_size=1, max_size=3), st.text("abcdexé\u0301", max_size=3)


@pytest.mark.slow
@given(st.dictionaries(SOURCES, TARGETS, max_size=4), st.text("abcdexé\u0301 ", max_size=10))
def test_normalising_with_any_folds_ends_and_stays(tmp_path_factory, folds: dict[str, str], label: str):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    table = "\n".join(f"{json.dumps(source)} = {json.dumps(target)}" for source, target in folds.items())
    path.write_text(f'name = "any"\nextends = "plain"\n[folds]\n{table}\n', encoding="utf-8")
    try:
        profile = read_profile(path)
    except ConfigError:
        return
    once = profile.normalise(label)
    assert profile.normalise(once) == once
