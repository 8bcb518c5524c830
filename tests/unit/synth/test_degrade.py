"""A degraded picture keeps all its ink, and follows from its generator."""

import numpy as np
import pytest

from horovod_ocr.synth.degrade import Degradation, degrade
from horovod_ocr.synth.render import WordRenderer

OFF = Degradation(rotation_deg=0, shear=0, scale=0, thickness=0, blur=0, ink=0, paper=0, noise=0)
WORDS = ("پیچھے", "گھمبیر", "ا", "نصیحت")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [WordRenderer(margin=0).render(word) for word in WORDS]


def degraded(image: np.ndarray, seed: int, limits: Degradation) -> np.ndarray:
    return degrade(image, np.random.default_rng(seed), limits)


def test_same_generator_same_picture_another_one_another(pictures):
    for image in pictures:
        assert np.array_equal(degraded(image, 1, Degradation()), degraded(image, 1, Degradation()))
        assert not np.array_equal(degraded(image, 1, Degradation()), degraded(image, 2, Degradation()))


def test_source_is_left_alone(pictures):
    for image in pictures:
        before = image.copy()
        for seed in range(20):
            degraded(image, seed, Degradation())
        assert np.array_equal(image, before)


def test_all_off_only_moves_the_margins(pictures):
    for image in pictures:
        for seed in range(10):
            result = degraded(image, seed, OFF)
            ink = np.argwhere(result < 255)
            (top, left), (bottom, right) = ink.min(0), ink.max(0) + 1
            assert np.array_equal(result[top:bottom, left:right], image)
            assert all(1 <= margin <= 4 for margin in (top, left, *np.subtract(result.shape, (bottom, right))))


@pytest.mark.slow
@pytest.mark.parametrize("strength", [1, 3])
def test_ink_never_reaches_the_border(pictures, strength):
    light = Degradation.of_strength(strength)
    limits = Degradation(**{**vars(light), "ink": 0, "paper": 0, "noise": 0, "share": 1})
    for image in pictures:
        for seed in range(100):
            result = degraded(image, seed, limits)
            for border in (result[0], result[-1], result[:, 0], result[:, -1]):
                assert border.min() == 255


@pytest.mark.parametrize("effect", ["rotation_deg", "shear", "blur"])
def test_amount_of_ink_stays(pictures, effect):
    limits = Degradation(**{**vars(OFF), effect: getattr(Degradation.of_strength(3), effect), "share": 1})
    for image in pictures:
        for seed in range(20):
            before, after = (255.0 - image).sum(), (255.0 - degraded(image, seed, limits)).sum()
            assert after == pytest.approx(before, rel=0.02)


def test_scale_changes_size_and_thickness_changes_ink_both_ways(pictures):
    image = pictures[0]
    heights = {degraded(image, seed, Degradation(**{**vars(OFF), "scale": 0.3})).shape[0] for seed in range(40)}
    assert min(heights) < 0.9 * image.shape[0] and max(heights) > 1.1 * image.shape[0]
    limits = Degradation(**{**vars(OFF), "thickness": 0.5})
    inks = [(255.0 - degraded(image, seed, limits)).sum() / (255.0 - image).sum() for seed in range(40)]
    assert min(inks) < 0.9 and max(inks) > 1.1


def test_word_stays_readable_at_the_highest_strength(pictures):
    limits = Degradation(**{**vars(Degradation.of_strength(3)), "noise": 0, "thickness": 0, "blur": 0, "share": 1})
    for image in pictures:
        for seed in range(50):
            result = degraded(image, seed, limits)
            assert result.dtype == np.uint8
            assert int(result[0, 0]) - int(result.min()) >= 60  # the paper's grey and the darkest ink


def test_noise_lies_over_paper_and_ink(pictures):
    limits = Degradation(**{**vars(OFF), "noise": 20, "paper": 60, "share": 1})
    deviations = [degraded(pictures[0], seed, limits)[0].std() for seed in range(20)]
    assert max(deviations) > 12 and max(deviations) < 22
    assert len(set(deviations)) > 15
