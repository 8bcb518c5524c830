"""A sheet shows every sample it is given, whatever its shape, and reads only those out of a shard set."""

import io
import os
import random

import pytest
from PIL import Image

from horovod_ocr.reports import sheet
from horovod_ocr.reports.lettering import Lettering
from horovod_ocr.reports.sheet import cell_of, draw_samples, draw_set_sheet, draw_sheet, row_parts_px, sheet_png


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_sheet_is_ten_wide_and_grows_with_its_rows(tmp_path, make_image):
    samples = [(make_image(n), f"word{n}") for n in range(100)]
    draw_sheet(samples, tmp_path / "hundred.png")
    with Image.open(tmp_path / "hundred.png") as image:
        width, height = image.size
    assert width <= sheet.SHEET_PX
    assert opened(sheet_png(samples[:20])).size[0] == width
    assert opened(sheet_png(samples[:20])).size[1] < height / 4
    assert opened(sheet_png(samples * 2)).size == (width, height), "100 at most"


def test_lines_get_fewer_columns_and_stay_inside(make_image):
    samples = [(make_image(n, (1900, 64)), "a long line of words, as long as its image is wide") for n in range(4)]
    with opened(sheet_png(samples)) as image:
        assert image.width <= sheet.SHEET_PX and image.height > 2 * 2 * 20


def test_every_picture_is_shown(make_image):
    levels = [40, 90, 140, 190]
    samples = [(make_image(level - 40, (64, 64)), "x") for level in levels]
    seen = {grey for _, grey in opened(sheet_png(samples)).convert("L").getcolors(1 << 16)}
    assert all(seen & {level - 1, level, level + 1} for level in levels)


def test_what_cannot_be_read_is_shown_as_its_reason(make_image):
    samples = [(b"", "empty"), (make_image(1)[:50], "cut"), (make_image(1), ""), (make_image(2), "a\nb\u202e")]
    with opened(sheet_png(samples)) as image:
        colours = {pixel for _, pixel in image.getcolors(1 << 20)}
    assert any(red > 150 and green < 80 for red, green, _ in colours)


def test_nothing_to_show_is_a_sheet_too():
    assert opened(sheet_png([], caption="no samples")).size[0] > 100


def test_labels_lie_within_their_row(make_image):
    """Nastaliq reaches far above and below its line."""
    picture, lettering = opened(make_image(1)), Lettering(())
    row = [cell_of(picture, label, (120, 60), lettering) for label in ("ججججج", "پے", "۔", "ﷺ", "Ág")]
    pictures, above, below = row_parts_px(row)
    assert pictures == 60
    assert all(-cell.line.box[1] <= above and cell.line.box[3] <= below for cell in row)
    assert all(cell.line.width_px <= 120 for cell in row)


def test_samples_by_lot_are_those_of_the_set(make_set, make_image):
    index = make_set({"train": [f"t{n}" for n in range(11)], "val": ["v0", "v1"]})
    expected = {f"t{n}": make_image(n, (48 * (1 + n % 3), 64)) for n in range(11)}
    expected |= {f"v{n - 11}": make_image(n, (48 * (1 + n % 3), 64)) for n in (11, 12)}
    drawn = draw_samples(index, 100, seed=1)
    assert {label: image for image, label in drawn} == expected and len(drawn) == 13
    some = draw_samples(index, 5, seed=1)
    assert len({label for _, label in some}) == 5
    assert some == draw_samples(index, 5, seed=1) != draw_samples(index, 5, seed=2)


def test_a_class_is_shown_by_its_name(make_set):
    index = make_set({"train": ["0", "1", "1"]}, kind="classes", classes=("cat", "dog"))
    assert sorted(label for _, label in draw_samples(index, 9, seed=0)) == ["cat", "dog", "dog"]


def test_only_the_samples_wanted_are_read(make_set, tmp_path, monkeypatch):
    make_set({"train": [f"{n:04d}" for n in range(400)]}, per_shard=200)
    sizes, pread = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *position: sizes.append(position[1]) or pread(*position))
    draw_set_sheet(tmp_path / "shards", tmp_path / "sheet.png", count=6)
    assert len(sizes) == 12 and sum(sizes) < 6 * 1000
    with Image.open(tmp_path / "sheet.png") as image:
        image.verify()


@pytest.mark.parametrize("seed", range(3))
def test_any_text_can_be_a_label(make_image, seed):
    chance = random.Random(seed)
    texts = [
        "".join(chr(chance.choice((0x20, 0x600, 0xE00, 0x4E00, 0x1F600)) + chance.randrange(200)) for _ in range(6))
    ]
    assert sheet_png([(make_image(1), text) for text in texts])


def test_boxes_on_a_sheet_are_said_once(make_image, monkeypatch, capsys):
    monkeypatch.setattr(sheet, "Lettering", lambda: Lettering(()))
    monkeypatch.setattr(sheet, "told", set())
    for text in ("京A", "京B", "word"):
        sheet_png([(make_image(1), text)])
    said = capsys.readouterr().err
    assert said.count("apt-get install fonts-noto-cjk") == 1
    assert "letters such as 京 (U+4EAC) are drawn as boxes" in said
