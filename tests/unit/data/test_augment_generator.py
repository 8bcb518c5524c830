"""The generators of neighbouring samples, epochs and seeds know nothing of each other."""

import numpy as np
import pytest

from horovod_ocr.data.augment.augment import sample_generator

COUNT = 10_000


def first_draws(seed: int = 0, epoch: int = 0, shard: int = 0, row: int = 0, moving: str = "row") -> np.ndarray:
    """Two first draws of 10,000 generators whose `moving` part goes up by one: [COUNT, 2]."""
    at = {"seed": seed, "epoch": epoch, "shard": shard, "row": row}
    return np.array([sample_generator(**{**at, moving: at[moving] + number}).random(2) for number in range(COUNT)])


@pytest.mark.parametrize("moving", ["seed", "epoch", "shard", "row"])
def test_neighbours_look_independent(moving):
    drawn = first_draws(seed=7, epoch=2, shard=5, row=11, moving=moving)
    for lag in (1, 2, 64):
        together = np.corrcoef(drawn[lag:, 0], drawn[:-lag, 0])[0, 1]
        assert abs(together) < 4 / np.sqrt(COUNT)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 4 / np.sqrt(COUNT)
    assert len(np.unique(drawn[:, 0])) == COUNT
    counts = np.histogram(drawn[:, 0], bins=100, range=(0, 1))[0]
    chi_square = ((counts - COUNT / 100) ** 2 / (COUNT / 100)).sum()
    assert 45 < chi_square < 180  # 99 degrees of freedom: 1 in 10,000 lies outside 54 to 160


def test_each_part_counts_and_none_stands_for_another():
    keys = [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 0, 0, 0), (2**63, 0, 0, 0), (2**63, 1, 0, 0)]
    keys += [(2**63 - 1, 10**6, 2**32 - 1, 2**32 - 1), (0, 0, 0, 2**32 - 1), (0, 0, 2**32 - 1, 0)]
    first = {sample_generator(*key).random() for key in keys}
    assert len(first) == len(keys)
    assert {sample_generator(*key).random() for key in keys} == first


def test_the_stream_of_a_key_never_changes():
    """Runs go on with the pictures they would have had: the first numbers are written down."""
    assert sample_generator(3, 1, 4, 15).integers(0, 1 << 32, 3).tolist() == [3153821689, 298052519, 59854791]
    plain = np.random.Philox(key=np.array([3, 4 << 32 | 15], np.uint64), counter=1 << 192)
    assert np.array_equal(sample_generator(3, 1, 4, 15).random(9), np.random.Generator(plain).random(9))
