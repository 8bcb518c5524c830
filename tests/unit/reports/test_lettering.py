"""Each letter is set in a font that has it, and the ink is in the box that is given for it."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, features

from horovod_ocr.reports import lettering
from horovod_ocr.reports.lettering import NASTALIQ, Lettering, font_advice, has_ink, package_of


def paths_of(line) -> list:
    return [getattr(font, "path", None) for _, font in line.runs]


def test_urdu_is_set_in_the_packaged_nastaliq():
    line = Lettering(()).set_line("پاکستان", 24)
    assert paths_of(line) == [NASTALIQ] or paths_of(line) == [str(NASTALIQ)]


def test_other_letters_are_not():
    for text in ("Straße", "2024", ""):
        assert all(str(path) != str(NASTALIQ) for path in paths_of(Lettering(()).set_line(text, 24)))


def test_letters_that_no_font_has_are_drawn_as_boxes():
    assert Lettering(()).set_line("漢字", 24).width_px > 0


def test_a_line_may_need_two_fonts(monkeypatch):
    """A font without digits, as Thai ones often are: the digits come from another."""
    letters = Lettering(())
    letters.paths = [NASTALIQ, None]  # the fonts of some machine
    monkeypatch.setattr(letters, "_has", lambda path, letter: letter.isdigit() == (path is None))
    line = letters.set_line("12ab3", 24)
    assert [text for text, _ in line.runs] == ["12", "ab", "3"]
    assert line.width_px > letters.set_line("12", 24).width_px + letters.set_line("3", 24).width_px


@pytest.mark.parametrize("text", ["ججج", "Ágjy", "پے ۔", "لمبی لمبی لمبی"])
def test_ink_is_in_its_box(text):
    line = Lettering(()).set_line(text, 30)
    image = Image.new("L", (800, 400))
    line.draw(ImageDraw.Draw(image), 100, 200, 255)
    left, top, right, bottom = image.getbbox()
    assert abs(left - 100) <= 1 and abs(right - left - line.width_px) <= 2
    assert abs(top - 200 - line.box[1]) <= 1 and abs(bottom - 200 - line.box[3]) <= 1


def test_a_line_is_made_smaller_and_then_cut():
    letters = Lettering(())
    whole = letters.fit_line("a class", 200, 24, 12)
    assert "".join(text for text, _ in whole.runs) == "a class"
    smaller = letters.fit_line("a class of words", 110, 24, 12)
    assert "".join(text for text, _ in smaller.runs) == "a class of words" and smaller.width_px <= 110
    cut = letters.fit_line("a class of words " * 20, 110, 24, 12)
    assert cut.width_px <= 110 and "".join(text for text, _ in cut.runs).endswith("…")


def test_without_raqm_letters_are_unjoined_but_in_their_order(monkeypatch):
    monkeypatch.setattr(features, "check", lambda name: False)
    assert not lettering.has_raqm()
    assert Lettering(()).set_line("دو", 24).runs[0][0] == "ود"
    assert Lettering(()).set_line("two", 24).runs[0][0] == "two"


def test_files_that_are_not_fonts_are_skipped(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert Lettering((str(tmp_path),)).set_line("word", 24).width_px > 0


def test_upright_fonts_without_serifs_come_first(tmp_path):
    names = ["NotoSans-Bold.ttf", "NotoSerif-Regular.ttf", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "readme.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    found = [path.name for path in Lettering((str(tmp_path),)).paths if path]
    assert found == ["DejaVuSans.ttf", "NotoSans-Regular.ttf", "NotoSerif-Regular.ttf", "NotoSans-Bold.ttf"]


@pytest.mark.parametrize(
    ("letters", "package"),
    [
        ("京漢あカ한글ㄅ、Ａ㊥", "fonts-noto-cjk"),
        ("กฤअবதსმაխሀកλжאܐ𐎀", "fonts-noto-core"),
        ("\ue5dc\uf1a6", "fonts-junicode"),
        ("😀🚗", "fonts-symbola"),
    ],
)
def test_each_letter_has_a_debian_package(letters, package):
    assert {package_of(letter) for letter in letters} == {package}


def test_letters_drawn_as_boxes_are_named_with_the_command_that_installs_their_fonts():
    letters = Lettering(())
    for text in ("京AB1234", "粤B京", "พยัญชนะ", "word", "پاکستان", "a\u200db \u200e"):
        letters.set_line(text, 24)
    assert "京粤" in "".join(letters.boxes) and not set("AB1234wordپاکستان\u200d\u200e ") & set(letters.boxes)
    advice = font_advice(letters.boxes, letters.paths)
    assert advice
    sentence, command = advice
    assert command == "apt-get install fonts-noto-cjk fonts-noto-core" or command.endswith("core fonts-noto-cjk")
    assert sentence.startswith("letters such as 京 (U+4EAC), พ (U+0E1E), 粤 (U+7CA4) and ")
    assert sentence.endswith(f"are drawn as boxes, as no font here has them: {command}")
    assert font_advice([], letters.paths) is None


def test_a_package_that_is_installed_is_not_named():
    fonts = [Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"), None]
    assert font_advice("京", fonts).command == "install a font that has them"
    assert font_advice("京ก", fonts).command == "apt-get install fonts-noto-core"


def test_letters_without_ink_are_never_missing():
    assert not any(map(has_ink, " \u200d\u200c\u200e\ufe0f\u3000\u00ad"))
    assert all(map(has_ink, "aก京،\u0301\u0e48"))


def test_joiners_reach_the_font_but_are_left_out_without_raqm(monkeypatch):
    if features.check("raqm"):
        assert Lettering(()).set_line("a\u200db", 24).runs[0][0] == "a\u200db"
    monkeypatch.setattr(features, "check", lambda name: False)
    assert Lettering(()).set_line("a\u200db", 24).runs[0][0] == "ab"
