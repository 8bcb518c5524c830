"""Alpha and beta are found again in what they make, and theory's costs follow from them."""

import numpy as np
import pytest

from horovod_ocr.scaling.link import Link, Links, fit_link, half_ring, ring, star

SIZES = [1 << 10, 1 << 14, 1 << 18, 1 << 22, 40_000_000]


@pytest.mark.parametrize("ranks", [2, 3, 16])
@pytest.mark.parametrize("shape_of", [ring, half_ring, star])
@pytest.mark.parametrize("call_s", [0.0, 2e-3])
def test_a_link_is_found_again_in_its_collectives(ranks, shape_of, call_s):
    link, shape = Link(3e-4, 125e6, call_s), shape_of(ranks)
    fitted = fit_link({size: call_s + link.time_s(shape, size) for size in SIZES}, shape, call_s)
    assert fitted.alpha_s == pytest.approx(link.alpha_s) and fitted.beta == pytest.approx(link.beta)


def test_noise_of_a_tenth_moves_the_fit_by_little():
    link, noise = Link(3e-4, 125e6), np.random.default_rng(0)
    fits = [
        fit_link({size: link.allreduce_s(size, 3) * noise.uniform(0.9, 1.1) for size in SIZES}, ring(3))
        for _ in range(50)
    ]
    assert max(abs(fit.beta / link.beta - 1) for fit in fits) < 0.15
    assert max(abs(fit.alpha_s / link.alpha_s - 1) for fit in fits) < 0.15


def test_latency_below_the_noise_is_none_and_never_negative():
    assert fit_link({1000: 0.5e-6, 1_000_000: 0.01, 40_000_000: 0.4}, ring(2)).alpha_s == 0.0


def test_time_that_does_not_grow_gives_the_least_speed_that_fits_the_largest():
    link = fit_link({1000: 0.1, 1_000_000: 0.01, 40_000_000: 0.05}, ring(2))
    assert link.allreduce_s(40_000_000, 2) == pytest.approx(0.05, rel=0.1)
    falling = fit_link({1000: 0.1, 1_000_000: 0.02, 40_000_000: 0.01}, ring(2))
    assert falling.alpha_s >= 0 and falling.beta == pytest.approx(40_000_000 / 0.01)


def test_costs_are_those_of_theory():
    link, size = Link(0.0, 100e6), 30_000_000
    for ranks in (2, 3, 8):
        assert link.allreduce_s(size, ranks) == pytest.approx(2 * (ranks - 1) / ranks * size / 100e6)
        assert link.time_s(star(ranks), size) == pytest.approx((ranks - 1) * size / 100e6)
        assert 2 * link.time_s(half_ring(ranks), size) == pytest.approx(link.allreduce_s(size, ranks))
        # gradients in and weights out of one server: as many times a ring's time as there are ranks
        assert 2 * link.time_s(star(ranks), size) / link.allreduce_s(size, ranks) == pytest.approx(ranks)
    assert link.faster(8e9).beta == 1e9


def test_a_call_that_takes_as_long_as_the_smallest_message_leaves_no_latency():
    link = fit_link({1000: 0.01, 1_000_000: 0.02, 40_000_000: 0.41}, ring(2), call_s=0.02)
    assert link.alpha_s >= 0 and link.beta == pytest.approx(100e6, rel=0.1)


def test_the_speed_that_a_link_has_already_changes_nothing():
    """Bytes are counted as they are in fp32, of which half travel as fp16."""
    links = Links({"fp32": Link(1e-4, 125e6, 1e-3), "fp16": Link(1e-4, 250e6, 1e-3), "star": Link(2e-4, 125e6, 1e-3)})
    assert links.faster(1e9) == links
    assert links.faster(2e9).of("torch").beta == 250e6  # not measured: as the plain allreduce
