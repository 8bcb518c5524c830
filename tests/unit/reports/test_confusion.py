"""A confusion matrix as a picture: looked at by its colours."""

import numpy as np
import pytest
from PIL import Image

from horovod_ocr.reports import confusion
from horovod_ocr.reports.confusion import CELL_PX, MOST_NAMED, SHEET_PX, draw_confusion
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


def pixels_of(path) -> np.ndarray:
    """(H, W, 3)"""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def box_of(pixels_HWC: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The part of a picture that is between the outermost pixels of this colour."""
    rows, columns = np.nonzero((pixels_HWC == colour).all(2))
    return pixels_HWC[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def with_one_mistake(classes: int, count: int) -> Confusion:
    """So many samples of the first class, one of fifty, are read as the second."""
    counts = [[0] * classes for _ in range(classes)]
    counts[0][:2] = 49 * count, count
    return Confusion([f"class {number}" for number in range(classes)], counts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("classes", "counts"), [(2, (7, 341, 1341, 23456, 345678)), (29, (7, 341, 1341, 23456)), (MOST_NAMED, (1341,))]
)
def test_counts_are_drawn_within_their_cells(tmp_path, classes, counts):
    for count in counts:
        draw_confusion(with_one_mistake(classes, count), tmp_path / "c.png")
        light = tuple(round(255 + (ink - 255) * 0.02**0.5) for ink in confusion.WRONG)
        cell = box_of(pixels_of(tmp_path / "c.png"), light)
        is_dark = cell.max(2) < 150
        assert is_dark.sum() > 6, f"{count} of {classes} classes"
        edges = [is_dark[0], is_dark[-1], is_dark[:, 0], is_dark[:, -1]]
        assert not any(edge.any() for edge in edges), "it reaches over its cell"
        columns = np.flatnonzero(is_dark.any(0))
        assert (np.ptp(columns) > 0.5 * cell.shape[1]) == (count > 100)


def test_the_count_of_a_dark_cell_is_white(tmp_path):
    draw_confusion(Confusion(["a", "b"], [[1341, 0], [0, 0]]), tmp_path / "c.png")
    cell = box_of(pixels_of(tmp_path / "c.png"), confusion.RIGHT)
    assert (cell.min(2) > 240).sum() > 30


@pytest.mark.slow
def test_names_are_drawn_as_long_as_they_fit_and_the_caption_says_if_they_are_not(tmp_path, monkeypatch):
    captions, begin_sheet = [], confusion.begin_sheet
    monkeypatch.setattr(confusion, "begin_sheet", lambda *sizes: captions.append(sizes[-1]) or begin_sheet(*sizes))
    widths = {}
    for classes in (91, 150, MOST_NAMED, MOST_NAMED + 1):
        draw_confusion(with_one_mistake(classes, 5), tmp_path / "c.png", caption="a run")
        pixels_HWC = pixels_of(tmp_path / "c.png")
        left = pixels_HWC[pixels_HWC.shape[0] // 2 :, : 60 if classes <= MOST_NAMED else 12]
        widths[classes] = pixels_HWC.shape[1]
        lines = (left.max(2) < 120).any(1)
        starts = int((lines[1:] & ~lines[:-1]).sum())
        assert starts >= classes // 2 - 2 if classes <= MOST_NAMED else starts == 0
    order = "a run; the classes are in the order of eval.json"
    assert captions == ["a run", "a run", "a run", order]
    assert widths[91] < widths[150] < widths[MOST_NAMED] > widths[MOST_NAMED + 1]
