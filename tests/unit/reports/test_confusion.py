"""A confusion matrix as a picture: looked at by its colours."""

import pytest
from PIL import Image

from horovod_ocr.reports.confusion import CELL_PX, SHEET_PX, draw_confusion
from horovod_ocr.tasks.report import Confusion


def colours_of(path) -> dict[tuple[int, int, int], int]:
    with Image.open(path) as image:
        assert image.width <= SHEET_PX * 1.2
        return {colour: count for count, colour in image.convert("RGB").getcolors(1 << 20)}


def share_of(colours, is_wanted) -> float:
    return sum(count for colour, count in colours.items() if is_wanted(*colour)) / sum(colours.values())


def green(red, green_, blue) -> bool:
    return green_ > red + 30


def red(red_, green_, blue) -> bool:
    return red_ > green_ + 60


def test_right_is_green_and_wrong_is_red(tmp_path):
    draw_confusion(Confusion(["a", "b"], [[9, 0], [0, 4]]), tmp_path / "right.png")
    draw_confusion(Confusion(["a", "b"], [[0, 9], [4, 0]]), tmp_path / "wrong.png")
    right, wrong = colours_of(tmp_path / "right.png"), colours_of(tmp_path / "wrong.png")
    assert share_of(right, green) > 0.1 and share_of(right, red) == 0
    assert share_of(wrong, red) > 0.1 and share_of(wrong, green) == 0


@pytest.mark.parametrize("classes", [1, 29, 300])
def test_any_number_of_classes_and_any_script(tmp_path, classes):
    names = [("بلی ", "cat and dog ", "猫")[number % 3] + str(number) for number in range(classes)]
    counts = [[3 if row == column else 0 for column in range(classes)] for row in range(classes)]
    counts[0][0] = 0  # a class without samples
    draw_confusion(Confusion(names, counts), tmp_path / "c.png", caption="a run: rows are labels")
    with Image.open(tmp_path / "c.png") as image:
        assert image.width >= classes * CELL_PX[0] and image.height >= classes * CELL_PX[0]
