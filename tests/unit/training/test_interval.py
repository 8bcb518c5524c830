"""The rank that the others wait for."""

from types import SimpleNamespace

import pytest
import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.tasks.base import Losses
from horovod_ocr.training.interval import Interval, slowest
from horovod_ocr.training.lines import straggler_line


@pytest.mark.parametrize(
    "own_s, rank, ratio", [([3.0], 0, 1.0), ([1.0, 2.0], 1, 2.0), ([5.0, 1.0, 2.0, 3.0], 0, 2.5), ([1.0, 1.0], 0, 1.0)]
)
def test_the_slowest_is_compared_with_the_median_of_the_others(own_s, rank, ratio):
    assert slowest(own_s) == (rank, ratio)


def test_it_is_named_only_where_it_stands_out():
    hosts = ["node0", "node1"]
    line = straggler_line({"slowest_rank": 1, "slowest_ratio": 2.0}, hosts, 20)
    assert line == "straggler: rank 1 on node1 takes 2.0 x as long for a step as the other ranks"
    assert straggler_line({"slowest_rank": 1, "slowest_ratio": 1.2}, hosts, 20) is None
    assert straggler_line({"slowest_rank": 1, "slowest_ratio": 2.0}, hosts, 1) is None


def test_a_loss_that_is_not_finite_counts_as_none():
    interval = Interval(SimpleNamespace(log_sums=("odd", "even")), torch.device("cpu"))
    for sums in ({"odd": 1, "even": torch.tensor(2)}, {"odd": 3, "even": torch.tensor(4)}):
        interval.add(Losses(torch.tensor([1.0, float("nan"), 2.0, float("inf")]), torch.ones(4).bool(), sums))
    assert float(interval.loss_sum) == 6.0 and interval.sums == {"odd": 4, "even": 6}
    interval.reset()
    assert float(interval.loss_sum) == 0.0 and interval.sums == {"odd": 0, "even": 0}


def test_bytes_are_those_since_the_line_before():
    task = SimpleNamespace(log_sums=(), log_values=lambda sums: {})
    interval, world = Interval(task, torch.device("cpu")), AloneWorld()
    for sent, expected in ((100, 100), (30, 30), (0, 0)):
        world.traffic.add(sent, 7)
        assert interval.summarise(world)["sent_bytes"] == expected
        interval.reset()
