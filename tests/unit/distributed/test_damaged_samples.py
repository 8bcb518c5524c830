"""Damage is named once, counted over the ranks, and too much of it is an error for all of them."""

import numpy as np
import pytest

from horovod_ocr.data.reader import Damage
from horovod_ocr.distributed.damaged_samples import MOST_LISTED, DamagedSamples
from horovod_ocr.errors import ShardError
from sharding.format.index import ShardInfo

SHARDS = [ShardInfo(f"train-{number:06d}", "train", 0, 50, 1, "") for number in range(3)]


class OtherRank:
    """The world of one rank of two; the other one has met `others`."""

    def __init__(self, rank: int = 1, others: dict | None = None):
        self.rank, self.others = rank, others or {}

    def sum_array(self, values):
        return np.asarray(values, np.float64) + len(self.others)

    def gather(self, value):
        return [self.others, value]


def tally(most: int, **world) -> DamagedSamples:
    return DamagedSamples(OtherRank(**world), SHARDS, most)


def test_each_is_named_once_with_rank_and_host(capsys, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node-b")
    damage = tally(60)
    for _ in range(2):
        damage.add([Damage("train-000001", 7, "torn"), Damage("train-000002", None, "gone")])
        damage.agree()
        assert damage.count == 51 and not damage.fresh
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "warning: rank 1 on node-b: train-000001, sample 7: torn",
        "warning: rank 1 on node-b: train-000002: gone",
    ]


def test_a_lost_shard_counts_as_its_samples_and_the_ranks_are_added():
    others = {("train-000000", 3): "rank 0 on node-a: train-000000, sample 3: torn"}
    damage = tally(52, others=others)
    damage.add([Damage("train-000000", 4, "torn"), Damage("train-000001", 7, "torn")])
    damage.agree()
    assert damage.count == 3
    damage.add([Damage("train-000001", None, "gone")])
    damage.agree()
    assert damage.count == 52  # the sample that was known of the lost shard is not counted twice


def test_above_the_limit_all_ranks_raise_the_same_list_that_root_prints():
    others = {("train-000000", 3): "rank 0 on node-a: train-000000, sample 3: torn"}
    damage = tally(1, others=others)
    damage.add([Damage("train-000001", 7, "cut")])
    with pytest.raises(ShardError, match=r"^2 samples cannot be read, at most 1 may be \(--max-bad\)") as raised:
        damage.agree()
    listed = str(raised.value).splitlines()[1:]
    assert "rank 0 on node-a: train-000000, sample 3: torn" in listed[0] and "sample 7: cut" in listed[1]
    assert raised.value.shown_by == 0


def test_a_long_list_is_cut():
    damage = tally(0)
    damage.add([Damage("train-000001", row, "torn") for row in range(MOST_LISTED + 5)])
    with pytest.raises(ShardError) as raised:
        damage.agree()
    lines = str(raised.value).splitlines()
    assert len(lines) == 1 + MOST_LISTED + 1 and lines[-1].strip() == "and 5 more"
