"""Aspect classes, the shuffle and the row of shards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharding.assign import (
    ASPECT_STEP,
    build_aspect_edges,
    classes_of,
    default_samples_per_shard,
    plan_shards,
    shuffle_order,
)


@given(st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 400)), min_size=1, max_size=400))
def test_every_sample_has_a_class_and_bounds_lie_on_the_grid(sizes: list[tuple[int, int]]):
    aspects = np.array([width / height for width, height in sizes])
    edges = build_aspect_edges(aspects)
    assert list(edges) == sorted(set(edges))
    classes = classes_of(aspects, edges)
    assert classes.max() == len(edges) - 1
    lower = np.array((0.0, *edges))[classes]
    assert ((lower < aspects) & (aspects <= np.array(edges)[classes])).all()
    powers = np.log(edges) / np.log(ASPECT_STEP)
    assert np.allclose(powers, np.round(powers), atol=0.05)  # six digits of a small bound
    assert edges[-1] < aspects.max() * ASPECT_STEP * 1.001  # no wider than it must be


def test_small_classes_join_the_next_wider_one():
    aspects = np.array([0.5] * 10 + [1.0] * 100 + [1.2] * 63 + [2.0] * 100 + [9.0] * 3)
    edges = build_aspect_edges(aspects)
    counts = np.bincount(classes_of(aspects, edges)).tolist()
    assert counts == [110, 163, 3]  # the widest has no wider one to join


def test_shards_are_full_but_the_last_of_each_split_and_class():
    generator = np.random.default_rng(0)
    splits, classes = generator.integers(0, 3, 1000), generator.integers(0, 4, 1000)
    order = shuffle_order([f"{number}.png" for number in range(1000)], seed=3)
    plans = plan_shards(splits, classes, order, 30)
    assert sorted(np.concatenate([plan.samples for plan in plans]).tolist()) == list(range(1000))
    assert len({plan.name for plan in plans}) == len(plans)
    for plan, following in zip(plans, plans[1:], strict=False):
        assert following.first_key == plan.first_key + len(plan.samples)
        if (plan.split, plan.aspect_class) == (following.split, following.aspect_class):
            assert len(plan.samples) == 30
        assert {splits[sample] for sample in plan.samples} == {("train", "val", "test").index(plan.split)}
        assert {classes[sample] for sample in plan.samples} == {plan.aspect_class}


def test_the_shuffle_depends_on_seed_and_paths_alone():
    paths = [f"{number}.png" for number in range(500)]
    order = shuffle_order(paths, 1)
    assert sorted(order) == list(range(500))
    assert (order != np.arange(500)).mean() > 0.9
    assert (order != shuffle_order(paths, 2)).any()
    fewer = [path for path in (paths[place] for place in order) if path != "7.png"]
    rest = [path for path in paths if path != "7.png"]
    assert [rest[place] for place in shuffle_order(rest, 1)] == fewer  # what is left keeps its order


@pytest.mark.parametrize(("samples", "size"), [(10, 100), (6400, 100), (64_000, 1000), (35_000_000, 10_000)])
def test_the_default_shard_size(samples: int, size: int):
    assert default_samples_per_shard(samples) == size
