"""Alpha and beta are found again in what they make, and theory's costs follow from them."""

import numpy as np
import pytest

from horovod_ocr.errors import ClusterError
from horovod_ocr.scaling.link import Link, fit_link

SIZES = [1 << 10, 1 << 14, 1 << 18, 1 << 22, 40_000_000]


@pytest.mark.parametrize("ranks", [2, 3, 16])
def test_a_link_is_found_again_in_its_allreduces(ranks):
    link = Link(3e-4, 125e6)
    fitted = fit_link({size: link.allreduce_s(size, ranks) for size in SIZES}, ranks)
    assert fitted.alpha_s == pytest.approx(link.alpha_s) and fitted.beta == pytest.approx(link.beta)


def test_noise_of_a_tenth_moves_the_fit_by_little():
    link, noise = Link(3e-4, 125e6), np.random.default_rng(0)
    fits = [
        fit_link({size: link.allreduce_s(size, 3) * noise.uniform(0.9, 1.1) for size in SIZES}, 3) for _ in range(50)
    ]
    assert max(abs(fit.beta / link.beta - 1) for fit in fits) < 0.15
    assert max(abs(fit.alpha_s / link.alpha_s - 1) for fit in fits) < 0.15


def test_latency_below_the_noise_is_none_and_never_negative():
    assert fit_link({1000: 0.5e-6, 1_000_000: 0.01, 40_000_000: 0.4}, 2).alpha_s == 0.0


def test_time_that_does_not_grow_is_refused():
    with pytest.raises(ClusterError, match="cannot be measured"):
        fit_link({1000: 0.1, 1_000_000: 0.01, 40_000_000: 0.001}, 2)


def test_costs_are_those_of_theory():
    link, size = Link(0.0, 100e6), 30_000_000
    for ranks in (2, 3, 8):
        assert link.allreduce_s(size, ranks) == pytest.approx(2 * (ranks - 1) / ranks * size / 100e6)
        assert link.star_s(size, ranks) == pytest.approx((ranks - 1) * size / 100e6)
        # gradients in and weights out of one server: as many times a ring's time as there are ranks
        assert 2 * link.star_s(size, ranks) / link.allreduce_s(size, ranks) == pytest.approx(ranks)
    assert link.faster(8e9).beta == 1e9
