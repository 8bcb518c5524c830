"""Augmentation keeps all of a word on the canvas, says its valid width, and does what each strength is named after."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horovod_ocr.config.overlay import overlay, settings_of
from horovod_ocr.data.augment.augment import augment_image, change_image, sample_generator
from horovod_ocr.data.augment.change import Change, LevelChange, PhotoChange, Warp, draw_change
from horovod_ocr.data.augment.geometry import inverse_of, matrix_to_canvas
from horovod_ocr.data.augment.levels import PAPER_PX, noise_table, paper_at
from horovod_ocr.data.augment.strengths import ONLY_PHOTOS, Augmentation, check_for_words
from horovod_ocr.data.image import pad_image
from horovod_ocr.errors import ConfigError

MOST = {name: setting.notes[1].le for name, setting in settings_of(Augmentation).items() if name not in ONLY_PHOTOS}
OFF = Augmentation.off()
GEOMETRY = ("scale", "shear", "shift_px", "rotation_deg", "perspective", "elastic")
LEVELS = ("thickness_px", "paper", "blur_px", "contrast", "noise", "jpeg")
MODERATE = Augmentation(
    rotation_deg=3, perspective=0.15, elastic=0.05, thickness_px=0.6, blur_px=1, paper=0.3, jpeg=0.7, share=0.5
)


def word(seed: int = 0, size: tuple[int, int] = (48, 80), paper: int = 230) -> np.ndarray:
    """Some round strokes on paper, ink to the very border."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    image_HW = np.full(size, float(paper))
    for _ in range(8):
        away = np.hypot(y - rng.uniform(0, height), x - rng.uniform(0, width)) - rng.uniform(3, height / 3)
        image_HW = np.minimum(image_HW, paper - (paper - 20) * np.clip(2.5 - np.abs(away), 0, 1))
    return np.rint(image_HW).astype(np.uint8)


def inked(size: tuple[int, int]) -> np.ndarray:
    """Ink everywhere but in the last column, which says what the paper is."""
    image_HW = np.zeros(size, np.uint8)
    image_HW[:, -1] = 255
    return image_HW


def ink_of(image_HW: np.ndarray) -> float:
    return float((255 - image_HW.astype(float)).sum() / 255)


def steepness(image_HW: np.ndarray) -> float:
    return float(np.abs(np.diff(image_HW.astype(float))).mean())


def alone(name: str, strength: float, image_HW: np.ndarray, seed: int, width_px: int = 96) -> tuple[np.ndarray, int]:
    """One change at the whole of its strength."""
    strengths = replace(OFF, **{name: strength})
    change = draw_change(np.random.default_rng(seed), strengths, strongest=True)
    return change_image(image_HW, width_px, change)


@pytest.mark.slow
@settings(max_examples=150)
@given(
    height=st.integers(16, 64),
    width=st.integers(4, 300),
    room=st.integers(-30, 60),
    seed=st.integers(0, 10**6),
    parts=st.lists(st.floats(0, 1), min_size=6, max_size=6),
)
def test_no_corner_leaves_the_canvas(height, width, room, seed, parts):
    """The image's corners are on the canvas, the inverse leads back to them, and the valid width ends there."""
    width_px = max(8, width + room)
    strengths = Augmentation(**{name: part * min(MOST[name], 20) for name, part in zip(GEOMETRY, parts, strict=True)})
    change = draw_change(np.random.default_rng(seed), strengths, strongest=True)
    there, right = matrix_to_canvas(width, height, width_px, change.warp)
    back = inverse_of(there)
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    placed = [moved(there, *corner) for corner in corners]
    assert all(-1e-6 <= X <= right + 1e-6 and -1e-6 <= Y <= height + 1e-6 for X, Y in placed)
    assert right <= width_px + 1e-6 and max(X for X, _ in placed) == pytest.approx(right)
    for corner, position in zip(corners, placed, strict=True):
        assert moved(back, *position) == pytest.approx(corner, abs=1e-6)


def moved(matrix, x: float, y: float) -> tuple[float, float]:
    across, down, depth = (p * x + q * y + r for p, q, r in matrix)
    return across / depth, down / depth


@pytest.mark.parametrize("seed", range(60))
def test_geometry_keeps_the_ink_and_says_where_it_ends(seed):
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(24, 72)), int(rng.integers(24, 160)))
    width_px = size[1] + int(rng.integers(0, 40))
    strengths = Augmentation(
        scale=0.1, shear=0.2, shift_px=5, contrast=0, noise=0, rotation_deg=6, perspective=0.2, elastic=0.08, share=0.7
    )
    change = draw_change(rng, strengths)
    canvas_HW, valid_width = change_image(inked(size), width_px, change)
    assert canvas_HW.shape == (size[0], width_px) and canvas_HW.dtype == np.uint8 and 1 <= valid_width <= width_px
    assert (canvas_HW[:, valid_width:] == 255).all(), "padding is paper"
    assert (canvas_HW[:, max(0, valid_width - 5) : valid_width] < 255).any(), "the valid width ends with the picture"
    there, _ = matrix_to_canvas(size[1], size[0], width_px, change.warp)
    corners = [moved(there, *corner) for corner in ((0, 0), (size[1] - 1, 0), (size[1] - 1, size[0]), (0, size[0]))]
    area = area_of(corners)  # of the ink; the elastic does not move the border
    assert ink_of(canvas_HW) == pytest.approx(area, rel=0.06 if change.warp.elastic else 0.04)


def area_of(corners: list[tuple[float, float]]) -> float:
    turned = [*corners[1:], corners[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(corners, turned, strict=True))) / 2


def test_off_is_the_picture_itself():
    for seed in range(5):
        image_HW = np.random.default_rng(seed).integers(0, 256, (32, 40)).astype(np.uint8)
        canvas_HW, valid_width = augment_image(image_HW, 48, np.random.default_rng(seed), OFF)
        assert valid_width == 40 and np.array_equal(canvas_HW, pad_image(image_HW, 48))


def test_the_generator_decides_and_nothing_else():
    image_HW = word()
    before = image_HW.copy()
    for seed in range(20):
        one, two = (augment_image(image_HW, 96, sample_generator(seed, 1, 2, 3), MODERATE) for _ in range(2))
        assert one[1] == two[1] and np.array_equal(one[0], two[0])
        assert not np.array_equal(one[0], augment_image(image_HW, 96, sample_generator(seed, 1, 2, 4), MODERATE)[0])
    assert np.array_equal(image_HW, before)


def test_the_numbers_of_a_word_never_change():
    """Runs go on with the pictures they would have had: 25 numbers are drawn for these."""
    rng, plain = sample_generator(3, 1, 4, 15), sample_generator(3, 1, 4, 15)
    change = draw_change(rng, replace(MODERATE, share=1.0))
    warp = [1.064, 0.9972, 0.0016, 0.3236, -0.8113, -0.0869, -0.0468, 0.039, 0.9102, 0.1133]
    brightness = 0.0
    levels = [0.2535, 0.1856, 0.8264, 0.2873, brightness, 0.0002, 98, 0.556, 0.6469]
    assert change.warp == pytest.approx(warp, abs=1e-4) and change.levels == pytest.approx(levels, abs=1e-4)
    assert change.photo == PhotoChange()
    plain.random(25)
    assert rng.random() == plain.random()


def parts_of(change: Change) -> dict[str, float]:
    return change.warp._asdict() | change.levels._asdict()


@pytest.mark.parametrize("name", [name for name in MOST if name != "share"])
def test_switching_one_on_leaves_the_others_as_they_were(name):
    base = Augmentation(**{entry: 0.0 if entry == name else MOST[entry] / 10 for entry in MOST} | {"share": 0.5})
    more = Augmentation(**vars(base) | {name: MOST[name] / 10})
    for seed in range(20):
        without, along = (parts_of(draw_change(np.random.default_rng(seed), s)) for s in (base, more))
        differ = {entry for entry in along if along[entry] != without[entry]}
        assert all(entry.startswith(name) for entry in differ)


def test_the_share_and_the_strengths_are_those_of_the_settings():
    rng = np.random.default_rng(0)
    changes = [parts_of(draw_change(rng, MODERATE)) for _ in range(4000)]
    for name, strength in (("rotation_deg", 3), ("thickness_px", 0.6), ("perspective_x", 0.15), ("scale_x", 0.08)):
        drawn = np.array([change[name] for change in changes]) - (name == "scale_x")
        hit = drawn[drawn != 0]
        assert len(hit) / 4000 == pytest.approx(1 if name == "scale_x" else 0.5, abs=0.03)
        assert np.abs(hit).max() <= strength and hit.mean() == pytest.approx(0, abs=strength / 20)
        assert np.abs(hit).mean() == pytest.approx(strength / 2, rel=0.05)
    quality = np.array([change["jpeg"] for change in changes if change["jpeg"]])
    assert 30 <= quality.min() < 35 and quality.max() > 95
    none = [parts_of(draw_change(rng, Augmentation())) for _ in range(50)]
    new = ("rotation_deg", "perspective_x", "perspective_y", "elastic", "thickness_px", "blur_px", "paper", "jpeg")
    assert all(change[name] == 0 for change in none for name in new)


@pytest.mark.parametrize("name", GEOMETRY)
def test_levels_stay_between_those_of_the_picture(name):
    for seed in range(10):
        canvas_HW, _ = alone(name, MOST[name] / 4, word(seed), seed)
        assert canvas_HW.min() >= word(seed).min() and canvas_HW.max() <= word(seed).max()


@pytest.mark.parametrize("name", LEVELS)
def test_what_changes_levels_moves_nothing(name):
    for seed in range(5):
        image_HW = word(seed)
        canvas_HW, valid_width = alone(name, MOST[name] / 4, image_HW, seed)
        assert valid_width == 80 and not np.array_equal(canvas_HW, pad_image(image_HW, 96))
        assert np.corrcoef(canvas_HW[:, :80].ravel(), image_HW.ravel())[0, 1] > 0.7


def test_rotation_tilts_by_its_angle_and_wide_lines_by_less():
    line_HW = np.full((64, 128), 255, np.uint8)
    line_HW[30:34] = 0
    line_HW[:, -1] = 255
    for seed in range(10):
        canvas_HW, _ = alone("rotation_deg", 5.0, line_HW, seed, 160)
        columns = np.flatnonzero((canvas_HW < 128).any(0))
        middle = [np.flatnonzero(canvas_HW[:, column] < 128).mean() for column in columns]
        slope = np.polyfit(columns, middle, 1)[0]
        assert abs(np.degrees(np.arctan(slope))) == pytest.approx(5, abs=0.3)
    there, _ = matrix_to_canvas(2000, 64, 2000, Warp(rotation_deg=20))
    left, right = moved(there, 0, 0), moved(there, 0, 64)
    assert 0.79 * 64 <= np.hypot(right[0] - left[0], right[1] - left[1]) < 64


def test_perspective_makes_one_side_shorter():
    for x, y in ((0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)):
        there, _ = matrix_to_canvas(100, 50, 100, Warp(perspective_x=x, perspective_y=y))
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (moved(there, *c) for c in ((0, 0), (100, 0), (0, 50), (100, 50)))
        ratio = (y3 - y1) / (y2 - y0) if x else (x3 - x2) / (x1 - x0)
        assert ratio == pytest.approx(0.9 / 1.1 if x + y > 0 else 1.1 / 0.9)


def test_elastic_bends_the_inside_and_leaves_the_border():
    image_HW = word()
    for seed in range(10):
        canvas_HW, valid_width = alone("elastic", 0.08, image_HW, seed, 80)
        change = np.abs(canvas_HW.astype(int) - image_HW)
        assert valid_width == 80 and change[10:-10, 10:-10].mean() > 3
        border = np.concatenate([change[0], change[-1], change[:, 0], change[:, -1]])
        assert border.mean() < change.mean()


def test_thickness_goes_both_ways():
    signs = set()
    for seed in range(12):
        image_HW = word(seed)
        levels = LevelChange(thickness_px=0.5 if seed % 2 else -0.5)
        more = ink_of(change_image(image_HW, 80, Change(levels=levels))[0]) - ink_of(image_HW)
        assert (more > 0) == (levels.thickness_px > 0) and abs(more) > 0.02 * ink_of(image_HW)
        drawn = draw_change(np.random.default_rng(seed), Augmentation(thickness_px=1.0), strongest=True)
        signs.add(drawn.levels.thickness_px)
    assert signs == {1.0, -1.0}


def test_blur_softens_by_its_deviation_and_keeps_the_ink():
    edge_HW = np.full((20, 60), 255, np.uint8)
    edge_HW[:, :30] = 0
    last = steepness(word())
    for deviation in (0.5, 1.0, 2.0, 4.0):
        slope = np.diff(alone("blur_px", deviation, edge_HW, 0, 60)[0][10].astype(float)) / 255
        assert (slope * (np.arange(59) - 29) ** 2).sum() == pytest.approx(deviation**2, rel=0.05)
        canvas_HW, _ = alone("blur_px", deviation, word(), 0, 80)
        assert steepness(canvas_HW) < 0.98 * last and ink_of(canvas_HW) == pytest.approx(ink_of(word()), rel=0.01)
        last = steepness(canvas_HW)


def test_paper_darkens_the_paper_and_not_the_ink():
    image_HW = word()
    canvas_HW, _ = alone("paper", 0.3, image_HW, 1, 96)
    padding, ink = canvas_HW[:, 80:], canvas_HW[:, :80][image_HW < 40]
    assert 0.69 * 230 <= padding.min() and padding.max() <= 230 and padding.std() > 3
    assert (ink <= image_HW[image_HW < 40]).all() and ink.min() >= 12


def test_jpeg_changes_little():
    canvas_HW, _ = alone("jpeg", 0.6, word(), 0, 80)
    change = np.abs(canvas_HW.astype(int) - word())
    assert 0.3 < change.mean() < 8
    rough, _ = alone("jpeg", 0.9, word(), 0, 80)
    assert np.abs(rough.astype(int) - word()).mean() > change.mean()


def test_contrast_is_about_the_background_and_noise_has_its_deviation():
    spreads = []
    for seed in range(12):
        canvas_HW, _ = alone("contrast", 0.3, word(), seed)
        assert (canvas_HW[:, 80:] == 230).all()
        spreads.append(230 - float(canvas_HW.min()))
        grey_HW = np.full((48, 80), 128, np.uint8)
        noisy_HW, _ = alone("noise", 0.06, grey_HW, seed)
        assert noisy_HW.std() == pytest.approx(0.06 * 255, rel=0.06) and abs(noisy_HW.mean() - 128) < 1.5
    assert min(spreads) == pytest.approx(0.7 * 210, abs=1) and max(spreads) == 230


def test_tables_serve_canvases_larger_than_they_are():
    assert paper_at(0.99, (PAPER_PX[0] + 9, PAPER_PX[1] + 9)).shape == (PAPER_PX[0] + 9, PAPER_PX[1] + 9)
    wide = np.full((300, 4000), 200, np.uint8)
    assert wide.size > len(noise_table())
    assert (
        change_image(wide, 4000, Change(levels=LevelChange(noise=0.05, paper=0.2, noise_position=0.5)))[0].shape
        == wide.shape
    )


@pytest.mark.parametrize("wrong", [{name: -0.1} for name in MOST] + [{name: MOST[name] * 1.01} for name in MOST])
def test_a_strength_out_of_its_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=rf"{next(iter(wrong))} must be at least 0 and at most "):
        overlay(Augmentation(), wrong, "a test")


def test_what_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="blur_px"):
        overlay(Augmentation(), {"blur_px": float("nan")}, "a test")


def test_changes_that_only_photos_know_are_refused_by_name():
    check_for_words(MODERATE)
    for name in ONLY_PHOTOS:
        with pytest.raises(ConfigError, match=f"^augmentation.{name}: only images of classes .* leave that out$"):
            check_for_words(replace(MODERATE, **{name: 0.1}))
    with pytest.raises(ConfigError, match=r"^augmentation.erase, augmentation.flip: "):
        check_for_words(replace(OFF, flip=True, erase=0.1))
