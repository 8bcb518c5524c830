"""Augmentation of photos keeps their shape, shows nothing but the photo, and does what each strength is named after."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from horovod_ocr.config.overlay import overlay, settings_of
from horovod_ocr.data.augment.augment import augment_photo, change_photo, sample_generator
from horovod_ocr.data.augment.change import (
    Change,
    Colour,
    Erasing,
    LevelChange,
    PhotoChange,
    Warp,
    draw_change,
    draw_photo_change,
)
from horovod_ocr.data.augment.geometry import inverse_of, matrix_to_canvas
from horovod_ocr.data.augment.levels import change_levels
from horovod_ocr.data.augment.photo_geometry import matrix_to_image
from horovod_ocr.data.augment.photo_levels import change_colour, erase
from horovod_ocr.data.augment.strengths import ONLY_PHOTOS, Augmentation
from horovod_ocr.errors import ConfigError

OFF = Augmentation.off()
RANGES = {name: setting.notes[1].le for name, setting in settings_of(Augmentation).items() if setting.notes}
CHANGES = [name for name in settings_of(Augmentation) if name != "share"]
MOST = Augmentation(**RANGES, flip=True)
GEOMETRY = ("scale", "shear", "shift_px", "crop", "flip", "rotation_deg", "perspective", "elastic")
LEVELS = ("contrast", "noise", "thickness_px", "blur_px", "paper", "jpeg", "brightness", "colour")
MODERATE = Augmentation(
    crop=0.2,
    flip=True,
    rotation_deg=10,
    perspective=0.1,
    elastic=0.04,
    blur_px=1,
    brightness=0.2,
    colour=0.2,
    erase=0.2,
)
SIZE = (48, 72)  # height and width
KINDS = pytest.mark.parametrize("shape", [SIZE, (*SIZE, 3)], ids=["grey", "rgb"])


def photo(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Soft spots, in colours if there are channels; no border is even."""
    spots = np.random.default_rng(seed).integers(20, 236, (6, 9, *shape[2:])).astype(np.uint8)
    return np.asarray(Image.fromarray(spots).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def alone(name: str, part: float, image: np.ndarray, seed: int) -> np.ndarray:
    """One change at that part of the greatest strength there may be."""
    most = getattr(MOST, name)
    strengths = replace(OFF, **{name: most if most is True else most * part})
    return change_photo(image, draw_photo_change(np.random.default_rng(seed), strengths, strongest=True))


def numbers_of(change: Change) -> dict[str, object]:
    return change.warp._asdict() | change.levels._asdict() | change.photo._asdict()


@KINDS
def test_off_is_the_photo_itself(shape):
    for seed in range(5):
        noisy = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        assert np.array_equal(augment_photo(noisy, np.random.default_rng(seed), OFF), noisy)


@KINDS
def test_the_generator_decides_and_nothing_else(shape):
    image = photo(shape)
    before = image.copy()
    for seed in range(10):
        one, again = (augment_photo(image, sample_generator(seed, 1, 2, 3), MODERATE) for _ in range(2))
        assert np.array_equal(one, again) and one.shape == shape and one.dtype == np.uint8
        for other in ((seed + 100, 1, 2, 3), (seed, 2, 2, 3), (seed, 1, 3, 3), (seed, 1, 2, 4)):
            assert not np.array_equal(one, augment_photo(image, sample_generator(*other), MODERATE))
    assert np.array_equal(image, before)


def test_a_photo_draws_the_numbers_of_a_word_first():
    for seed in range(5):
        word = draw_change(np.random.default_rng(seed), MODERATE)
        drawn = draw_photo_change(np.random.default_rng(seed), MODERATE)
        assert drawn.warp == word.warp and drawn.levels._replace(brightness=0.0) == word.levels


@pytest.mark.parametrize("name", CHANGES)
def test_switching_one_on_leaves_the_others_as_they_were(name):
    of = {"shift_px": {"shift_px", "right_px", "down_px"}, "erase": {"erasing"}}
    base = replace(MODERATE, share=0.5, **{name: type(getattr(MODERATE, name))(0)})
    more = replace(base, **{name: getattr(MOST, name)})
    changed = set()
    for seed in range(20):
        without, along = (numbers_of(draw_photo_change(np.random.default_rng(seed), s)) for s in (base, more))
        changed |= {entry for entry in along if along[entry] != without[entry]}
    assert changed and all(entry in of.get(name, ()) or entry.startswith(name) for entry in changed)


@pytest.mark.slow
@KINDS
@settings(max_examples=100)
@given(seed=st.integers(0, 10**6), parts=st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_nothing_but_the_photo_is_seen(shape, seed, parts):
    """However far its pixels move, a photo of one level keeps it: no padding comes in."""
    names = [name for name in GEOMETRY if name != "flip"]
    strengths = replace(OFF, flip=True, **{name: RANGES[name] * part for name, part in zip(names, parts, strict=True)})
    image = np.full(shape, 200, np.uint8)
    change = draw_photo_change(np.random.default_rng(seed), strengths, strongest=True)
    assert np.array_equal(change_photo(image, change), image)


@KINDS
def test_no_border_is_even_after_a_rotation(shape):
    for rotation_deg in (45.0, -45.0):
        turned = change_photo(photo(shape), Change(Warp(rotation_deg=rotation_deg)))
        for border in (turned[0], turned[-1], turned[:, 0], turned[:, -1]):
            steps = np.abs(np.diff(border.astype(int), axis=0)).reshape(len(border) - 1, -1).max(axis=1)
            assert (steps > 0).mean() > 0.6


@KINDS
def test_what_moves_out_is_replaced_by_the_reflection(shape):
    image = photo(shape)
    moved = change_photo(image, Change(photo=PhotoChange(right_px=10, down_px=-7)))
    assert np.array_equal(moved[:-7, 10:], image[7:, :-10])
    assert np.array_equal(moved[:-7, :10], image[7:, :10][:, ::-1])
    assert np.array_equal(moved[-7:, 10:], image[-7:, :-10][::-1])
    far = change_photo(image, Change(photo=PhotoChange(right_px=2 * SIZE[1])))
    assert np.array_equal(far, image), "reflections repeat"


@KINDS
@pytest.mark.parametrize("name", GEOMETRY)
def test_what_moves_pixels_keeps_to_the_levels_of_the_photo(shape, name):
    for seed in range(5):
        image = photo(shape, seed)
        changed = alone(name, 0.25, image, seed)
        assert changed.shape == shape and not np.array_equal(changed, image)
        assert changed.min() >= image.min() and changed.max() <= image.max()


@KINDS
@pytest.mark.parametrize("name", LEVELS)
def test_what_changes_levels_moves_nothing(shape, name):
    for seed in range(5):
        image = photo(shape, seed)
        changed = alone(name, 0.25, image, seed)
        assert changed.shape == shape and np.array_equal(changed, image) == (name == "colour" and len(shape) == 2)
        assert np.corrcoef(changed.ravel(), image.ravel())[0, 1] > 0.7


def test_a_grey_photo_in_three_channels_changes_as_in_one():
    image_HW = photo(SIZE)
    image_HWC = np.stack([image_HW] * 3, axis=2)
    levels = LevelChange(thickness_px=0.5, paper=0.3, blur_px=1.2, contrast=0.3, brightness=-0.1, paper_position=0.3)
    warp = Warp(1.1, 0.9, 0.1, 0, 10, 0.1, -0.1, 0.05, 0, 0.5)
    change = Change(warp, levels, PhotoChange(2.5, -3.5, 0.2, 0.3, 0.8, True))
    grey_HW, rgb_HWC = change_photo(image_HW, change), change_photo(image_HWC, change)
    assert np.abs(rgb_HWC.astype(int) - grey_HW[:, :, None]).max() <= 1


@KINDS
def test_flip_mirrors_half_of_the_photos_and_does_nothing_else(shape):
    image = photo(shape)
    flipped = [augment_photo(image, np.random.default_rng(seed), replace(OFF, flip=True)) for seed in range(200)]
    mirrored = [np.array_equal(each, image[:, ::-1]) for each in flipped]
    assert all(is_mirrored or np.array_equal(each, image) for is_mirrored, each in zip(mirrored, flipped, strict=True))
    assert 70 < sum(mirrored) < 130
    for seed in range(50):
        assert not draw_photo_change(np.random.default_rng(seed), replace(MODERATE, flip=False)).photo.flip


def test_a_mirrored_photo_is_changed_like_one_that_was_mirrored_before():
    image = photo((*SIZE, 3))
    for seed in range(5):
        change = draw_photo_change(np.random.default_rng(seed), replace(MODERATE, flip=False, elastic=0.0))
        flipped = change._replace(photo=change.photo._replace(flip=True))
        difference = change_photo(image, flipped).astype(int) - change_photo(image[:, ::-1], change)
        assert np.abs(difference).max() <= 1


def placed(matrix, x: float, y: float) -> tuple[float, float]:
    across, down, depth = (p * x + q * y + r for p, q, r in matrix)
    return across / depth, down / depth


def test_crop_cuts_out_a_part_of_the_photo_wherever_it_is():
    lefts, tops, sides = [], [], []
    height, width = SIZE
    for seed in range(300):
        change = draw_photo_change(np.random.default_rng(seed), replace(OFF, crop=0.4))
        to_image = matrix_to_image(width, height, change.warp, change.photo)
        (left, top), (right, bottom) = placed(to_image, 0, 0), placed(to_image, width, height)
        assert -1e-9 <= left < right <= width + 1e-9 and -1e-9 <= top < bottom <= height + 1e-9
        assert (right - left) / width == pytest.approx((bottom - top) / height)
        sides.append((right - left) / width)
        lefts.append(left / width / (1 - sides[-1]))
        tops.append(top / height / (1 - sides[-1]))
    assert 0.6 <= min(sides) < 0.62 and 0.98 < max(sides) <= 1
    for free in (lefts, tops):
        assert min(free) < 0.05 and max(free) > 0.95 and np.mean(free) == pytest.approx(0.5, abs=0.06)
    quarter = change_photo(photo(SIZE), Change(photo=PhotoChange(crop=0.5, crop_x=1.0, crop_y=0.0)))
    stretched = Image.fromarray(photo(SIZE)[: height // 2, width // 2 :]).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    assert np.abs(quarter.astype(int) - np.asarray(stretched))[:-2, 2:].max() <= 1


def test_a_photo_is_scaled_sheared_and_turned_in_the_same_directions_as_a_word():
    width = height = 50
    for warp in (Warp(0.5, 0.6), Warp(0.7, 0.7, shear=0.3), Warp(0.6, 0.6, 0.2, rotation_deg=10)):
        of_word = matrix_to_canvas(width, height, width, warp)[0]
        of_photo = inverse_of(matrix_to_image(width, height, warp, PhotoChange()))
        for mine, other in zip(of_photo[:2], of_word[:2], strict=True):
            assert mine[:2] == pytest.approx(other[:2])
        assert placed(of_photo, 25, 25) == pytest.approx((25, 25))
    half = matrix_to_image(width, height, Warp(2.0, 0.5), PhotoChange())
    assert placed(half, 0, 0) == pytest.approx((12.5, -25)), "above 1 is nearer, below 1 is farther away"


def test_perspective_makes_one_side_shorter():
    for x, y in ((0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)):
        warp = Warp(perspective_x=x, perspective_y=y)
        to_image = matrix_to_image(100, 50, warp, PhotoChange())
        # of the photo the canvas shows the more, the shorter its side becomes
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (placed(to_image, *c) for c in ((0, 0), (100, 0), (0, 50), (100, 50)))
        ratio = (y2 - y0) / (y3 - y1) if x else (x1 - x0) / (x3 - x2)
        assert ratio == pytest.approx(0.9 / 1.1 if x + y > 0 else 1.1 / 0.9)


def test_photos_move_along_both_axes_in_both_directions():
    drawn = [draw_photo_change(np.random.default_rng(seed), replace(OFF, shift_px=8.0)).photo for seed in range(300)]
    for moves in ([change.right_px for change in drawn], [change.down_px for change in drawn]):
        assert -8 <= min(moves) < -7 and 7 < max(moves) <= 8 and np.mean(moves) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("crop", [0.0, 0.9])
def test_the_elastic_bends_a_photo_and_never_folds_it(crop):
    """Levels that rise from left to right still do, however near the photo is."""
    ramp_HW = np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1))
    middle = PhotoChange(crop=crop, crop_x=0.5, crop_y=0.5)
    plain_HW = change_photo(ramp_HW, Change(photo=middle))
    for position in np.linspace(0, 0.9, 30):
        bent_HW = change_photo(
            ramp_HW, Change(Warp(elastic=RANGES["elastic"], elastic_position=position), photo=middle)
        )
        assert (np.diff(bent_HW[:, 4:-4].astype(int), axis=1) >= 0).all() and not np.array_equal(bent_HW, plain_HW)


def test_contrast_keeps_the_mean_and_brightness_multiplies():
    image = photo((*SIZE, 3))
    for contrast in (-0.3, 0.1):
        changed = change_levels(image, float(image.mean()), LevelChange(contrast=contrast)).astype(float)
        assert changed.mean() == pytest.approx(image.mean(), abs=0.6)
        assert changed.std() == pytest.approx((1 + contrast) * image.std(), rel=0.02)
    for brightness in (-0.5, 0.2):
        changed = change_levels(image, 0.0, LevelChange(brightness=brightness))
        assert np.abs(changed - np.minimum(255, (1 + brightness) * image)).max() <= 0.51


def test_hue_and_saturation_keep_greys():
    levels_HWC = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, axis=2)
    for seed in range(20):
        colour = draw_photo_change(np.random.default_rng(seed), replace(OFF, colour=1.0, share=1.0)).photo.colour
        assert np.array_equal(change_colour(levels_HWC, colour._replace(gains=(1.0, 1.0, 1.0))), levels_HWC)


def test_colour_turns_hues_fades_them_and_weighs_channels():
    image_HWC = photo((*SIZE, 3))
    plain = (1.0, 1.0, 1.0)
    assert np.array_equal(change_colour(image_HWC, Colour(1.0, 0.0, plain)), image_HWC)
    assert np.array_equal(change_colour(image_HWC, Colour(1.0, 120.0, plain)), np.roll(image_HWC, 1, axis=2))
    faded_HWC = change_colour(image_HWC, Colour(0.0, 30.0, plain))
    assert np.abs(faded_HWC - image_HWC.mean(axis=2, keepdims=True)).max() <= 0.51
    weighed_HWC = change_colour(image_HWC, Colour(1.0, 0.0, (0.5, 1.0, 0.8)))
    assert np.abs(weighed_HWC - image_HWC * np.array((0.5, 1.0, 0.8))).max() <= 0.51


@KINDS
def test_erase_hides_one_rectangle_of_at_most_its_fraction(shape):
    image = photo(shape)
    aspects, shares = [], []
    for seed in range(300):
        change = draw_photo_change(np.random.default_rng(seed), replace(OFF, erase=0.3, share=0.5))
        differs_HW = (change_photo(image, change) != image).reshape(*SIZE, -1).any(axis=2)
        shares.append(differs_HW.mean())
        if change.photo.erasing:
            rows, columns = np.flatnonzero(differs_HW.any(axis=1)), np.flatnonzero(differs_HW.any(axis=0))
            aspects.append(change.photo.erasing.aspect)
            if len(rows):
                box_HW = differs_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                assert box_HW.mean() > 0.9, "all of the rectangle is noise"
                assert box_HW.size <= 0.3 * differs_HW.size
    assert max(shares) <= 0.3 and max(shares) > 0.25
    assert len(aspects) / 300 == pytest.approx(0.5, abs=0.1)
    assert 0.3 <= min(aspects) < 0.4 and 2.5 < max(aspects) <= 1 / 0.3


def test_what_is_erased_has_its_aspect_and_its_place():
    black_HW = np.zeros((60, 60), np.uint8)
    for x, y, rows, columns in ((0.0, 0.0, (0, 39), (0, 19)), (0.999, 0.999, (20, 59), (40, 59))):
        erased_HW = erase(black_HW, Erasing(800.5 / 3600, 2.0, x, y, 0.2))
        hit = np.flatnonzero(erased_HW.any(axis=1)), np.flatnonzero(erased_HW.any(axis=0))
        assert [(int(where[0]), int(where[-1])) for where in hit] == [rows, columns]
        assert 50 < erased_HW[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1].std() < 75


@pytest.mark.parametrize("name", [name for name in ONLY_PHOTOS if name != "flip"])
def test_a_strength_out_of_its_range_is_refused_by_name(name):
    for wrong in (-0.1, RANGES[name] * 1.01):
        with pytest.raises(ConfigError, match=rf"{name} must be at least 0 and at most "):
            overlay(Augmentation(), {name: wrong}, "a test")
