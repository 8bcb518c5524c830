"""Splits: by hash, in the asked shares, stable when data grows."""

from collections import Counter

from sharding.split import choose_split, hash_of


def test_the_shares_are_as_asked():
    counts = Counter(choose_split(7, f"word{number}") for number in range(20_000))
    assert abs(counts["train"] / 20_000 - 0.8) < 0.01
    assert abs(counts["val"] / 20_000 - 0.1) < 0.01
    assert {choose_split(7, f"word{number}", (0.0, 0.0, 1.0)) for number in range(50)} == {"test"}


def test_a_split_depends_on_seed_and_unit_alone():
    assert choose_split(0, "کتاب") == choose_split(0, "کتاب")
    first, second = ([choose_split(seed, f"word{number}") for number in range(200)] for seed in (1, 2))
    assert first != second


def test_a_hash_is_the_same_on_every_machine():
    assert hash_of("order 0", "images/1.png") == 10876939782198821518
