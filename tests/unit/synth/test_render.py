"""The drawing of one word: joined as Pillow with raqm joins it, and never cut."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from horovod_ocr.synth import render
from horovod_ocr.synth.lexicon import URDU_ALPHABET
from horovod_ocr.synth.render import DEFAULT_FONT, FONTS, WordRenderer
from sharding.errors import ConfigError, LabelError

# joins, stacked dots, marks far above and below, letters that join to one side only
WORDS = ("پیچھے", "لڑکے", "آئینہ", "ہنسے", "کھڑے", "گئے", "گھمبیر", "شرمی", "ژالہ", "مجموعہ", "نستعلیق", "بۂ", "ء", "ا")


@pytest.fixture(scope="module")
def renderer() -> WordRenderer:
    return WordRenderer(margin=1)


def drawn_by_pillow(word: str, size_px: int) -> np.ndarray:
    """The word on a canvas several times its size, cropped to its ink."""
    font = ImageFont.truetype(str(DEFAULT_FONT), size_px, layout_engine=ImageFont.Layout.RAQM)
    image = Image.new("L", (12 * size_px, 8 * size_px), 0)
    ImageDraw.Draw(image).text((3 * size_px, 2 * size_px), word, font=font, fill=255, direction="rtl", language="ur")
    return 255 - np.asarray(image.crop(image.getbbox()))


def placed(image: np.ndarray, shape: tuple[int, int], y: int, x: int) -> np.ndarray:
    canvas = np.full(shape, 255, int)
    canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


@pytest.mark.skipif(not features.check("raqm"), reason="needs Pillow with raqm")
@pytest.mark.parametrize("size_px", [24, 40])
def test_ink_is_pillows(size_px):
    renderer = WordRenderer(size_px=size_px, margin=0)
    for word in WORDS:
        ours, theirs = renderer.render(word), drawn_by_pillow(word, size_px)
        assert np.abs(np.subtract(ours.shape, theirs.shape)).max() <= 1, word
        height, width = shape = tuple(np.maximum(ours.shape, theirs.shape))
        difference = min(
            np.abs(placed(ours, shape, y, x) - placed(theirs, shape, v, u)).mean()
            for y in range(height - ours.shape[0] + 1)
            for x in range(width - ours.shape[1] + 1)
            for v in range(height - theirs.shape[0] + 1)
            for u in range(width - theirs.shape[1] + 1)
        )
        assert difference < 1, f"{word}: {difference} of 255 grey levels"


def test_margin_is_white_and_the_ink_touches_it(renderer):
    for word in (*WORDS, *URDU_ALPHABET):
        image = renderer.render(word)
        assert image.dtype == np.uint8 and image.min() < 40, word
        for border in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert border.min() == 255, word
        for inside in (image[1], image[-2], image[:, 1], image[:, -2]):
            assert inside.min() < 255, word


def test_nothing_is_cut(renderer):
    wide = WordRenderer(margin=100)
    for word in WORDS:
        whole = wide.render(word)
        ink = np.argwhere(whole < 255)
        (top, left), (bottom, right) = ink.min(0), ink.max(0)
        assert np.array_equal(renderer.render(word), whole[top - 1 : bottom + 2, left - 1 : right + 2]), word


def test_a_picture_does_not_depend_on_what_was_drawn_before():
    used = WordRenderer()
    for word in (*WORDS, *URDU_ALPHABET):
        used.render(word)
    for word in WORDS:
        assert np.array_equal(used.render(word), WordRenderer().render(word)), word


def test_joined_letters_differ_from_single_ones(renderer):
    joined = renderer.render("سب")
    apart = [renderer.render(letter) for letter in "سب"]
    assert joined.shape[1] < sum(letter.shape[1] for letter in apart)


def test_missing_letter_names_letter_and_font(renderer):
    with pytest.raises(LabelError, match=r"NotoNastaliqUrdu-Regular\.ttf has no glyph for 'ก' \(U\+0E01\)"):
        renderer.render("ก")


@pytest.mark.parametrize(("text", "message"), [("", "an empty text cannot be drawn"), (" ", "leaves no ink")])
def test_text_without_ink_is_an_error(renderer, text, message):
    with pytest.raises(LabelError, match=f"{message} in NotoNastaliqUrdu-Regular.ttf"):
        renderer.render(text)


def test_mixed_directions_are_refused_and_digits_alone_drawn(renderer):
    with pytest.raises(LabelError, match="mixes directions"):
        renderer.render("ب۱۲")
    assert not np.array_equal(renderer.render("۱۲"), renderer.render("۲۱"))


def test_file_that_is_no_font_is_named(tmp_path):
    (tmp_path / "font.ttf").write_text("not a font")
    for name in ("font.ttf", "missing.ttf"):
        with pytest.raises(ConfigError, match=f"cannot read the font .*{name}"):
            WordRenderer(tmp_path / name)


def test_without_the_drawing_packages_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(render, "hb", None)
    with pytest.raises(ConfigError, match=r"pip install 'horovod-ocr\[synth\]'"):
        WordRenderer()


def test_licence_lies_beside_the_font():
    text = (FONTS / "OFL.txt").read_text(encoding="utf-8")
    assert "Copyright 2017 Google Inc." in text and "SIL OPEN FONT LICENSE" in text and "DISCLAIMER" in text
