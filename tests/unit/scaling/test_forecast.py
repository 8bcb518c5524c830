"""Forecasts: what must hold of each way, whatever the link."""

from dataclasses import replace

import pytest

from horovod_ocr.scaling.figures import Timeline
from horovod_ocr.scaling.forecast import COUNTS, Work, check_forecasts, crossings, fastest, forecast_s, overlapped_s
from horovod_ocr.scaling.link import Link, Links
from horovod_ocr.scaling.ways import USUAL, WAYS
from tests.unit.scaling.conftest import OWN_S, SIZE, TIMELINE, works

GIGABIT = Link(1e-4, 125e6)
AT_GIGABIT = Links({"fp32": GIGABIT})


@pytest.mark.parametrize("name", USUAL)
def test_one_rank_takes_its_own_time_and_more_take_more(name):
    work = works()[name]
    steps = [forecast_s(WAYS[name], work, AT_GIGABIT, ranks) for ranks in (1, 2, 3, 16, 128)]
    assert steps[0] == OWN_S and steps == sorted(steps)


@pytest.mark.parametrize("name", USUAL)
def test_without_latency_a_faster_link_is_never_slower_and_an_endless_one_costs_nothing(name):
    work = works()[name]
    steps = [forecast_s(WAYS[name], work, Links({"fp32": Link(0.0, beta)}), 3) for beta in (1e6, 1e7, 1e8, 1e9, 1e15)]
    assert steps == sorted(steps, reverse=True) and steps[-1] == pytest.approx(OWN_S, rel=1e-3)


def test_a_ring_hides_behind_backward_what_it_can():
    alone = Timeline((0.09,), (SIZE,))  # one group: nothing to hide behind
    whole = forecast_s(WAYS["allreduce"], Work(alone, OWN_S), AT_GIGABIT, 3)
    assert whole == pytest.approx(OWN_S + GIGABIT.allreduce_s(SIZE, 3))
    grouped = forecast_s(WAYS["allreduce"], works()["allreduce"], AT_GIGABIT, 3)
    assert whole - grouped == pytest.approx(TIMELINE.ready_s[-1] - TIMELINE.ready_s[0], abs=0.01)
    # ranks agree at once on what waits: on the first group, and then on the other four
    late = overlapped_s(works()["allreduce"], lambda size: 0.001, 0.1)
    assert late == pytest.approx(TIMELINE.ready_s[0] + 0.1 + 0.001 + 0.1 + 4 * 0.001 + works()["allreduce"].after_s)
    # quick messages: only the last group is left when backward ends
    assert overlapped_s(works()["allreduce"], lambda size: 0.001, 0.0) == pytest.approx(OWN_S + 0.001)


def test_a_server_costs_as_theory_says_against_a_ring():
    work = Work(Timeline((0.0,), (SIZE,)), 0.0)
    ring, server, sharded = (
        forecast_s(WAYS[name], work, Links({"fp32": Link(0.0, 125e6)}), 3)
        for name in ("allreduce", "parameter-server", "sharded-server")
    )
    assert server / ring == pytest.approx(3) and sharded / ring == pytest.approx(1)


def test_local_steps_share_the_cost_of_a_meeting():
    work, link = works()["diloco"], Link(0.0, 125e6)
    links = Links({"fp32": link})
    assert forecast_s(WAYS["diloco"], work, links, 3) == pytest.approx(OWN_S + link.allreduce_s(SIZE, 3) / 16)
    assert forecast_s(WAYS["weight-average"], work, links, 3) == pytest.approx(
        OWN_S + link.allreduce_s(3 * SIZE, 3) / 16
    )


def test_a_shorter_computation_leaves_the_rest_of_a_step_as_it_is():
    work = works()["allreduce"]
    half = work.computing(0.5)
    assert half.own_s == pytest.approx(work.own_s - TIMELINE.ready_s[-1] / 2)
    assert half.after_s == pytest.approx(work.after_s) and half.timeline.sizes == TIMELINE.sizes


def test_lines_cross_where_they_change_places():
    fast, slow = Work(TIMELINE, 0.1), Work(TIMELINE, 0.12, (0.01, 0.005))
    both, links = {"allreduce": fast, "powersgd": slow}, Links({"fp32": Link(1e-4, 1e9)})
    (crossing,) = crossings(both, links)
    assert (crossing.faster, crossing.slower) == ("powersgd", "allreduce")
    assert fastest(both, links) == [(2, "allreduce"), (crossing.ranks, "powersgd")]
    before, after = (
        [forecast_s(WAYS[name], both[name], links, ranks) for name in both]
        for ranks in (COUNTS[COUNTS.index(crossing.ranks) - 1], crossing.ranks)
    )
    assert before[0] < before[1] and after[0] > after[1]


def test_forecasts_of_an_ideal_link_are_exact_and_a_slow_step_shows(study_on):
    study = study_on(GIGABIT)
    misses = check_forecasts([study])
    assert len(misses) == 3 * len(USUAL)  # 2 and 3 ranks apart, 3 that share
    assert max(abs(miss.error) for miss in misses) < 1e-6
    figures = study.jobs[-1].ways
    figures["diloco"] = figures["diloco"].__class__(**{**vars(figures["diloco"]), "step_s": 1.0})
    worst = min(check_forecasts([study]), key=lambda miss: miss.error)
    assert (worst.way, worst.scaling, worst.ranks) == ("diloco", "weak", 3) and worst.error < -0.8


@pytest.mark.parametrize(
    "name, messages, calls",
    [
        ("allreduce", 2 * 3, 1),
        ("parameter-server", 1 + 1 + 2 * 3, 3),  # gradients in, weights out, and the ring of their norm
        ("sharded-server", 3 + 3 + 2 * 3, 5),  # one to each peer, a ring of all parts, and one of the norm
        ("powersgd", 2 * 2 * 3 + 2, 3),  # both matrices, and a tree of the basis between them
        ("diloco", 2 * 3 / 16, 1 / 16),
        ("weight-average", 2 * 3 / 16, 1 / 16),
    ],
)
def test_messages_and_calls_of_four_ranks_are_those_of_the_exchange(name, messages, calls):
    work = replace(works()[name], timeline=Timeline((0.0,), (SIZE,)), own_s=0.0)
    for link, count in ((Link(1.0, float("inf")), messages), (Link(0.0, float("inf"), 1.0), calls)):
        assert forecast_s(WAYS[name], work, Links({"fp32": link}), 4) == pytest.approx(count)


def test_each_group_of_parameters_is_exchanged_on_its_own_by_sharded_servers():
    one, links = works()["sharded-server"], Links({"fp32": Link(0.0, 125e6, 1.0)})
    steps = [forecast_s(WAYS["sharded-server"], each, links, 3) for each in (one, replace(one, groups=2))]
    assert steps[1] - steps[0] == pytest.approx(3)


def test_groups_travel_in_the_order_in_which_they_are_there():
    sent = []
    work = Work(Timeline((0.1, 0.5, 0.05), (10, 20, 30)), 0.5)
    overlapped_s(work, lambda size: sent.append(size) or 0.0, 0.0)
    assert sent == [30, 10, 20]


def test_of_several_passes_the_last_one_alone_hides_messages():
    work = works()["allreduce"]
    four = work.accumulated(4)
    assert four.own_s == pytest.approx(work.own_s + 3 * TIMELINE.ready_s[-1])
    waited = [forecast_s(WAYS["allreduce"], each, AT_GIGABIT, 3) - each.own_s for each in (work, four)]
    assert waited[0] == pytest.approx(waited[1])


def test_torch_waits_for_the_messages_of_two_groups_at_once():
    links = Links({"fp32": Link(5e-3, 125e6), "torch": Link(5e-3, 125e6)})
    work = Work(Timeline((0.0,) * 4, (SIZE // 4,) * 4), 0.0)
    ours, theirs = (forecast_s(WAYS[name], work, links, 3) for name in ("allreduce", "torch-ddp"))
    assert ours - theirs == pytest.approx(4 * 4 * 5e-3 / 2)


def test_sharded_servers_send_to_neighbours_and_gather_in_a_ring():
    links = Links({"fp32": Link(0.0, 100e6), "neighbours": Link(0.0, 50e6)})
    work = replace(works()["sharded-server"], own_s=0.0)
    assert forecast_s(WAYS["sharded-server"], work, links, 2) == pytest.approx(SIZE / 2 * (1 / 50e6 + 1 / 100e6))
