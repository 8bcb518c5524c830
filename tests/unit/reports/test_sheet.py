"""A sheet shows every sample it is given, whatever its shape."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageDraw

from horovod_ocr.reports import sheet
from horovod_ocr.reports.lettering import Lettering, Line
from horovod_ocr.reports.sheet import (
    draw_sample,
    draw_set_sheet,
    draw_sheet,
    lay_out,
    row_height_px,
    row_parts_px,
    sample_cell,
    sheet_png,
)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.slow
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


def test_a_sheet_without_samples_is_a_sheet_too():
    assert opened(sheet_png([], caption="no samples")).size[0] > 100


def test_labels_are_within_their_row(make_image):
    """Nastaliq reaches far above and below its line."""
    picture, lettering = opened(make_image(1)), Lettering(())
    row = [sample_cell(picture, label, (120, 60), lettering) for label in ("ججججج", "پے", "۔", "ﷺ", "Ág")]
    pictures, above, below = row_parts_px(row)
    assert pictures == 60
    assert all(-cell.line.box[1] <= above and cell.line.box[3] <= below for cell in row)
    assert all(cell.line.width_px <= 120 for cell in row)


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line.runs)


def mistakes(make_image, *names: str) -> tuple[list[tuple[bytes, str]], list[str]]:
    """Of each class, read as the next one: samples with their labels, and what was read."""
    samples = [(make_image(number, (64, 64)), name) for number, name in enumerate(names)]
    return samples, [f"read {name}, 98%" for name in (*names[1:], names[0])]


def test_label_and_reading_of_a_mistake_are_shown_in_full(make_image):
    samples, remarks = mistakes(make_image, "NORMAL", "PNEUMONIA")
    cells, cell_px = lay_out(samples, remarks, Lettering())
    assert [text_of(cell.line) for cell in cells] == ["NORMAL", "PNEUMONIA"]
    assert [text_of(cell.remark) for cell in cells] == ["read PNEUMONIA, 98%", "read NORMAL, 98%"]
    assert all(cell.line.width_px <= cell_px and cell.remark.width_px <= cell_px for cell in cells)
    without, narrow_px = lay_out(samples, [], Lettering())
    assert narrow_px < cell_px and row_height_px(without) < row_height_px(cells)
    assert opened(sheet_png(samples, remarks=remarks)).width == 2 * (cell_px + sheet.GAP_PX) + sheet.GAP_PX


def test_names_that_are_longer_than_any_cell_are_cut(make_image):
    samples, remarks = mistakes(make_image, "NORMAL", "a class whose name is a sentence of some length")
    cells, cell_px = lay_out(samples, remarks, Lettering())
    assert cell_px == sheet.REMARKED_CELL_PX and text_of(cells[0].remark).endswith("…")
    assert text_of(cells[0].line) == "NORMAL" and text_of(cells[1].remark) == "read NORMAL, 98%"
    assert all(cell.line.width_px <= cell_px and cell.remark.width_px <= cell_px for cell in cells)


def test_remarks_are_drawn_within_their_row_and_below_the_labels(make_image):
    samples, remarks = mistakes(make_image, *["NORMAL", "PNEUMONIA"] * 10)
    cells, cell_px = lay_out(samples, remarks, Lettering())
    row = cells[:2]
    drawn = Image.new("RGB", (cell_px, 400), "white")
    draw_sample(drawn, ImageDraw.Draw(drawn), row[0], (0, 0), cell_px, row)
    pictures, above, below = row_parts_px(row)
    remark_top = pictures + sheet.GAP_PX // 2 + above + below
    ink = np.array(drawn.convert("L")) < 200
    rows_with_ink = np.flatnonzero(ink[pictures + 1 :].any(1)) + pictures + 1
    assert rows_with_ink.max() < row_height_px(row)
    assert (rows_with_ink > remark_top).sum() >= 8, "the remark"
    assert not ink[remark_top + 1 : remark_top + 4].any(), "apart from the label"


@pytest.mark.slow
def test_the_sheet_of_a_set_shows_its_samples(make_set, tmp_path):
    index = make_set({"train": [f"{n:04d}" for n in range(40)]})
    draw_set_sheet(index.root, tmp_path / "six.png", count=6)
    draw_set_sheet(index.root, tmp_path / "all.png")
    with Image.open(tmp_path / "six.png") as six, Image.open(tmp_path / "all.png") as every:
        assert six.height < every.height


@pytest.mark.parametrize("seed", range(3))
def test_any_text_can_be_a_label(make_image, seed):
    chance = random.Random(seed)
    texts = [
        "".join(chr(chance.choice((0x20, 0x600, 0xE00, 0x4E00, 0x1F600)) + chance.randrange(200)) for _ in range(6))
    ]
    assert sheet_png([(make_image(1), text) for text in texts])


def test_how_to_get_fonts_is_printed_once(make_image, monkeypatch, capsys):
    monkeypatch.setattr(sheet, "Lettering", lambda: Lettering(()))
    monkeypatch.setattr(sheet, "printed_commands", set())
    for text in ("京A", "京B", "word"):
        sheet_png([(make_image(1), text)])
    printed = capsys.readouterr().err
    assert printed.count("apt-get install fonts-noto-cjk") == 1
    assert "letters such as 京 (U+4EAC) are drawn as boxes" in printed
