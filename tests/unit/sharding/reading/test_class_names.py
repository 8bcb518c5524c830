"""Names of classes that a person cannot tell apart, or may have meant as one."""

import unicodedata
from pathlib import Path

import pytest

from sharding.errors import SourceError
from sharding.reading.class_names import check_class_names

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "crème") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("twin", "other"), [(COMPOSED, DECOMPOSED), ("big cat", "big cat "), ("big cat", "big\u00a0cat")]
)
def test_names_that_look_the_same_are_refused_and_shown_by_their_characters(twin, other):
    with pytest.raises(SourceError) as refused:
        check_class_names(["dog", twin, other])
    assert ascii(twin) in str(refused.value) and ascii(other) in str(refused.value)
    assert "dog" not in str(refused.value)


@pytest.mark.parametrize("letter", ["\n", "\t", "\r", "\x1b", "\x85", "\u2028"])
def test_names_that_would_break_a_line_are_refused(letter):
    with pytest.raises(SourceError, match="hold a control character, .* new line: 'big.*cat'; rename") as refused:
        check_class_names(["dog", f"big{letter}cat"])
    assert ascii(letter)[1:-1] in str(refused.value) and letter not in str(refused.value)
    with pytest.raises(SourceError, match="and 6 more; rename"):
        check_class_names([f"{number}{letter}" for number in range(9)])


def test_names_that_differ_only_in_case_are_noted():
    assert check_class_names(["dog", "cat", "Cat", "DOG"]) == [
        "names of classes differ only in case, perhaps by mistake: Cat, cat; DOG, dog"
    ]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    (note,) = check_class_names(letters + [letter.upper() for letter in letters])
    assert note.endswith(": A, a; B, b; C, c and 23 more")


@pytest.mark.parametrize(
    "names", [(), ("cat",), ("big cat", "bigcat"), ("می\u200cخورم",), (DECOMPOSED, "creme"), ("گربه", "گرگ")]
)
def test_other_names_are_classes_of_their_own(names):
    assert check_class_names(names) == []


def test_names_of_all_sources_are_compared(build, tmp_path: Path, make_image):
    for number, name in enumerate((f"a/{COMPOSED}", "a/dog", f"b/{DECOMPOSED}", "b/Dog")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(make_image(number))
    sources = (tmp_path / "a", tmp_path / "b")
    with pytest.raises(SourceError, match="look the same"):
        build(sources, tmp_path / "out")
    (tmp_path / "b" / DECOMPOSED).rename(tmp_path / "b" / COMPOSED)
    report = build(sources, tmp_path / "out")
    assert report.notes == ("names of classes differ only in case, perhaps by mistake: Dog, dog",)
    assert report.index.classes == ("Dog", COMPOSED, "dog")
