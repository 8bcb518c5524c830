"""The page's JavaScript orders and normalises texts as Python does."""

from random import Random

import pytest

from horovod_ocr.serve.script_table import script_table
from horovod_ocr.text.charset import Charset
from sharding.format.script.order import reading_positions, units_of
from sharding.format.script.profile import ScriptProfile, build_profile
from tests.unit.serve.page_js import needs_node, run_js

pytestmark = needs_node()
URDU = "ابپتکگیےں" + "ؤ" + "\u0654\u0651\u064e\u0670" + "۰۱۲۹" + "019" + " .,:;-+/%()[]«»\"'،؟٪₨" + "abZ"
PLAIN = "abcאבגدس" + "\u0301\u05b0\u064b" + "12٣۴" + " .,:-+/#$()<>[]{}⟨⟩|!" + "กิ่" + "\u200d" + "𐎀𞤀𝐀"
CHARSETS = {
    "urdu": Charset.build(URDU, build_profile("urdu")),
    "persian": Charset.build(URDU.replace("ے", "ه") + "\u200c", build_profile("persian")),
    "hebrew": Charset.build(PLAIN, build_profile("plain", direction="rtl")),
    "plain": Charset.build(PLAIN, build_profile("plain")),
    "visual": Charset.build(PLAIN, build_profile("plain", direction="visual")),
    "thai": Charset.build("กขคเแะาำิีึ่้๊์ํ 12()", build_profile("thai")),
    "hindi": Charset.build("कखगािीुूेैंँः़् १२", build_profile("plain")),
}
TEXTS = 800  # for each charset
ALL_IN_JS = """
const built = script.buildScript(values.table);
return values.texts.map((text) => [
  built.logicalOrder(text), built.readingPositions(text), built.unitsOf(text), built.normalise(text),
  built.decode([...text].map((letter) => built.ids.get(letter))),
]);"""


def random_texts(letters: str, count: int, seed: int) -> list[str]:
    """Of 1 to 14 letters. Half of them are made of few different ones, so that numbers and brackets meet."""
    draw = Random(seed)
    texts = []
    for number in range(count):
        some = draw.sample(letters, min(len(letters), 5)) if number % 2 else letters
        texts.append("".join(draw.choice(some) for _ in range(draw.randint(1, 14))))
    return texts


@pytest.mark.slow
@pytest.mark.parametrize("name", CHARSETS)
def test_orders_and_normalised_texts_are_those_of_python(name):
    charset = CHARSETS[name]
    profile = charset.profile
    texts = random_texts("".join(charset.letters), TEXTS, seed=len(name))
    found = run_js(ALL_IN_JS, {"table": script_table(charset), "texts": texts})
    for text, (logical, positions, units, normalised, decoded) in zip(texts, found, strict=True):
        assert logical == profile.logical_order(text), text
        assert positions == reading_positions(text, profile.direction), text
        assert units == units_of(text), text
        assert normalised == profile.normalise(text), text
        assert decoded == profile.normalise(charset.decode([charset.ids[letter] for letter in text])), text


def test_most_of_the_texts_have_two_directions():
    texts = random_texts("".join(CHARSETS["urdu"].letters), TEXTS, seed=4)
    profile = build_profile("urdu")
    turned = [text for text in texts if profile.logical_order(text) != "".join(reversed(units_of(text)))]
    assert len(turned) > TEXTS / 5


def test_folds_of_a_persons_own_profile():
    profile = ScriptProfile(
        "own", "ltr", "", build_profile("plain").folds, "plain", ((".", "·"), ("a$", "$&"), ("]", ""))
    )
    texts = ["a.b", "a$a$", "[x]", "  a \t b\u00a0\u2003c ", "\x1ca\x85", "\ufeffa", "e\u0301", "a]$"]
    found = run_js(ALL_IN_JS, {"table": script_table(Charset.build("ab", profile)), "texts": texts})
    assert [row[3] for row in found] == [profile.normalise(text) for text in texts]


def test_numbers_and_marks_of_a_right_to_left_word_keep_their_order():
    charset = CHARSETS["urdu"]
    label = charset.profile.normalise("کتابٰ ۱۲۹ (a1)، گیا")
    [row] = run_js(ALL_IN_JS, {"table": script_table(charset), "texts": [charset.profile.reading_order(label)]})
    assert row[0] == label == charset.profile.as_read(label)
