"""The rank that the others wait for."""

from types import SimpleNamespace

import pytest
import torch

from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.tasks.base import Losses
from horovod_ocr.training.interval import Interval, slowest
from horovod_ocr.training.lines import straggler_line
from tests.unit.distributed.thread_world import ThreadWorld, on_ranks


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


NO_TASK = SimpleNamespace(log_sums=(), log_values=lambda sums: {})


def test_bytes_are_those_since_the_line_before_and_first_those_of_training():
    interval, world = Interval(NO_TASK, torch.device("cpu")), AloneWorld()
    world.traffic.add(1000, 1000)  # the weights that the run begins with
    interval.begin(world)
    for sent in (100, 30, 0):
        world.traffic.add(sent, 7)
        assert interval.summarise(world)["sent_bytes"] == sent
        interval.reset()


def test_the_bytes_of_the_busiest_rank_are_told():
    """Those of a server would be hidden in the sum."""

    def program(world: ThreadWorld) -> dict[str, float]:
        interval = Interval(NO_TASK, torch.device("cpu"))
        world.traffic.add(*((200, 300) if world.is_root else (150, 100)))
        return interval.summarise(world)

    for line in on_ranks(3, program):
        assert (line["sent_bytes"], line["most_sent_bytes"], line["most_received_bytes"]) == (500, 200, 300)


def test_the_slowest_rank_is_the_one_that_did_not_wait():
    def program(world: ThreadWorld) -> tuple[float, bool]:
        interval = Interval(NO_TASK, torch.device("cpu"))
        interval.started_s -= 10
        interval.ranks_wait_s = 0.0 if world.rank == 1 else 8.0
        line = interval.summarise(world)
        return line["slowest_rank"], 4 < line["slowest_ratio"] < 6

    assert on_ranks(3, program) == [(1, True)] * 3
