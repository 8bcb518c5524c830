"""Aspect classes and the row of shards."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sharding.assign import choose_edges, default_samples_per_shard


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40).filter(any))
def test_every_class_has_its_share_but_the_widest_and_none_is_lost(cells):
    counts = np.array(cells)
    edges = choose_edges(counts)
    assert (np.diff(edges) > 0).all()
    assert counts[edges[-1] + 1 :].sum() == 0
    held = [part.sum() for part in np.split(counts[: edges[-1] + 1], edges[:-1] + 1)]
    assert sum(held) == counts.sum()
    assert all(count >= max(0.01 * counts.sum(), 64) for count in held[:-1])


def test_small_sets_get_small_shards():
    assert [default_samples_per_shard(n) for n in (1, 500, 30_000, 35_000_000)] == [100, 100, 468, 10_000]
