"""Splits: by hash, in the asked shares, stable when data grows."""

from collections import Counter

from sharding.split import SplitRule, hash_of


def splits(count: int, **rule) -> list[int]:
    return [SplitRule(**rule).choose(f"word{number}", b"") for number in range(count)]


def test_the_shares_are_as_asked():
    counts = Counter(splits(20_000, seed=7))
    assert abs(counts[0] / 20_000 - 0.8) < 0.01
    assert abs(counts[1] / 20_000 - 0.1) < 0.01
    assert set(splits(50, fractions=(0.0, 0.0, 1.0))) == {2}


def test_a_split_depends_on_seed_and_unit_alone():
    assert splits(200, seed=1) == splits(200, seed=1) != splits(200, seed=2)


def test_a_hash_is_the_same_on_every_machine():
    assert hash_of("order 0", "images/1.png") == 16511976375930422797
