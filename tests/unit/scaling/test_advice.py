"""Advice on ideal links: the way that is fastest to the same score, said in three sentences."""

from dataclasses import replace

import pytest

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.scaling.advice import (
    CLOSE,
    MEASURED,
    SAMPLES_TO_SCORE,
    Advice,
    Option,
    accumulation,
    advise,
    choose,
    sentences,
)
from horovod_ocr.scaling.forecast import work_of
from horovod_ocr.scaling.link import Link
from horovod_ocr.scaling.ways import USUAL
from tests.unit.scaling.conftest import ideal_job

ALL = (2, 3)  # ranks


@pytest.mark.parametrize("gigabits", [0.1, 1, 10, 100])
def test_the_advised_way_is_the_cheapest_of_all_that_were_measured_or_close_to_it(gigabits, study_on):
    link = Link(1e-4, gigabits * 125e6)
    advice = advise(study_on(link, list(MEASURED)), ALL)
    every = study_on(link).strong[-1].ways
    costs = {name: every[name].step_s * SAMPLES_TO_SCORE.get(name, 1.0) for name in USUAL}
    assert advice.chosen.cost_s <= (1 + CLOSE) * min(costs.values()) * (1 + 1e-6)


def test_a_slow_link_wants_few_bytes_and_a_fast_one_the_simplest_way(study_on):
    slow, fast = (advise(study_on(Link(1e-4, beta), list(MEASURED)), ALL) for beta in (12.5e6, 12.5e9))
    assert slow.chosen.way in ("powersgd", "diloco", "weight-average")
    assert (fast.chosen.way, fast.chosen.ranks, fast.accumulate) == ("allreduce", 3, 1)


def test_a_simpler_way_or_fewer_ranks_are_preferred_to_a_small_gain():
    options = [
        Option("powersgd", 3, 0.100 / SAMPLES_TO_SCORE["powersgd"], True),
        Option("allreduce", 3, 0.104, True),
        Option("allreduce", 2, 0.1045, False),
    ]
    assert choose(options) == options[2]
    assert choose([*options, Option("diloco", 3, 0.02, False)]).way == "diloco"


def test_a_link_that_makes_two_ranks_slower_than_one_is_left_alone(study_on):
    study = study_on(Link(0.5, 1e5), list(MEASURED))
    advice = advise(study, ALL)
    assert advice.chosen.ranks == 1
    assert sentences(study, advice, TrainConfig(), "hosts.txt")[0].startswith("Use one rank")


def test_fewer_ranks_compute_as_long_as_between_one_rank_and_all(study_on):
    """Two thirds of a step of all ranks is the same for any number of samples, so one rank is but 1.5 times slower."""
    link = Link(0.0, 1e15)
    advice = advise(study_on(link, ["allreduce"], computation=1.5), ALL)
    after_s = 0.012
    one, two, three = (advice.of("allreduce", ranks).step_s - after_s for ranks in (1, 2, 3))
    assert one == pytest.approx(1.5 * three)
    assert two == pytest.approx(three + (one - three) / 4)  # on a line over 1 / ranks
    assert advice.of("allreduce", 1).is_measured and not advice.of("allreduce", 2).is_measured


def test_one_whole_host_may_be_the_best(study_on):
    """Its ranks meet without the slow link."""
    study = study_on(Link(1e-3, 12.5e6), list(MEASURED))
    host = ideal_job(Link(1e-6, 1e12), 2, ["allreduce"], computation=1.5)
    advice = advise(replace(study, strong=(study.strong[0], host, study.strong[1])), (3,))
    assert (advice.chosen.way, advice.chosen.ranks, advice.chosen.is_measured) == ("allreduce", 2, True)
    assert advice.accumulate == 1 and advice.waiting < 0.1
    assert {(each.way, each.ranks) for each in advice.options if each.ranks < 3} == {("allreduce", 1), ("allreduce", 2)}


def test_an_option_that_costs_hardly_more_is_too_close_to_tell(study_on):
    study = study_on(Link(1e-4, 125e6), list(MEASURED))
    chosen = Option("allreduce", 3, 0.100, True)
    for rival, is_close in ((0.104, True), (0.12, False)):
        options = (Option("allreduce", 1, 0.3, True), Option("allreduce", 2, rival, True), chosen)
        sure = sentences(study, Advice(chosen, options, 1, 0.0, 0.0, 0.3), TrainConfig(), "hosts.txt")[2]
        assert ("allreduce on 2 ranks is too close to call" in sure) == is_close


def test_what_is_measured_on_busy_hosts_or_forecast_badly_is_not_sure(study_on):
    study = study_on(Link(1e-4, 125e6), list(MEASURED))
    chosen, measured = Option("allreduce", 3, 0.1, True), Option("allreduce", 1, 0.3, True)
    forecast = replace(measured, way="diloco", ranks=3, step_s=0.07, is_measured=False)
    for options, error, busy, doubt in (
        ((measured, chosen), 0.54, False, None),  # both were measured
        ((forecast, measured, chosen), 0.26, False, "How sure: not very, since forecasts are far off here; this step"),
        ((replace(forecast, step_s=0.09), chosen), 0.26, False, None),  # it would need to be further off
        ((forecast, chosen), 0.2, False, None),
        ((measured, chosen), 0.1, True, "How sure: not very, since the same work took very different times"),
    ):
        job = study.strong[-1]
        ways = job.ways | {"allreduce-fp16": replace(job.ways["allreduce-fp16"], own_s=0.3 if busy else 0.1)}
        seen = replace(study, strong=(study.strong[0], replace(job, ways=ways)))
        every = (measured, Option("allreduce", 2, 0.35, True), *options)
        sure = sentences(seen, Advice(chosen, every, 1, 0.0, 0.0, error), TrainConfig(), "hosts.txt")[2]
        assert sure.startswith(doubt or "How sure: this step was measured")
    slow = replace(measured, step_s=0.4)  # three ranks would be four times as fast
    sure = sentences(study, Advice(chosen, (slow, every[1], chosen), 1, 0.0, 0.0, 0.1), TrainConfig(), "hosts.txt")[2]
    assert sure.startswith("How sure: not very, since the same work took very different times")


def test_hosts_are_quoted_for_a_shell(study_on):
    study = study_on(Link(1e-4, 125e6), list(MEASURED))
    options = advise(study, ALL).options
    three, one = (Advice(Option("allreduce", n, 0.3, True), options, 1, 0.0, 0.0, 0.1) for n in (3, 1))
    use, alone = (sentences(study, each, TrainConfig(), "a:1, b:2", "--recipe xray")[0] for each in (three, one))
    assert use.endswith("horovodrun -np 3 -H 'a:1, b:2' horovod-ocr train --recipe xray")
    over = sentences(study, three, TrainConfig(), "a:1", "", ["--network-interfaces", "eth0,eth1"])[0]
    assert over.endswith("horovodrun -np 3 -H a:1 --network-interfaces eth0,eth1 horovod-ocr train")
    assert alone.endswith("gain little or nothing here: horovod-ocr train --recipe xray")


def test_a_larger_batch_is_advised_where_ranks_mostly_wait(study_on):
    study = study_on(Link(1e-4, 60e6), ["allreduce"])
    advice = advise(study, ALL)
    job = study.strong[-1]
    work = work_of(job, "allreduce", 16)
    factor, waiting = accumulation(advice.of("allreduce", 3), work, job)
    assert factor in (2, 4, 8, 16) and waiting < 1 - work.own_s / advice.of("allreduce", 3).step_s


def test_three_sentences_name_the_command_the_gain_and_the_error(study_on):
    study = study_on(Link(1e-4, 125e6), list(MEASURED))
    use, gain, sure = sentences(study, advise(study, ALL), TrainConfig(), "hosts.txt")
    assert "horovodrun -np 3 -H hosts.txt horovod-ocr train" in use and "on the wire" in use and "64" in use
    assert "one rank takes 276 ms" in gain  # thrice forward and backward of 88 ms, and an update of 12
    assert "1 Gbit/s and 0.1 ms" in sure and "off by 0% (median)" in sure and "forecast only: parameter-server" in sure
    assert "for 1.2 times the samples" in gain or "for 1.7 times the samples" in gain


def test_a_way_that_was_left_out_is_forecast_from_the_computation_of_allreduce(study_on):
    study = study_on(Link(1e-4, 12.5e6), ["allreduce"])
    powersgd = advise(study, ALL).of("powersgd", 3)
    assert not powersgd.is_measured and powersgd.step_s < 0.2  # a hundredth of the bytes


def test_the_command_can_be_typed_as_it_stands_and_a_larger_batch_is_a_clause_of_its_own(study_on):
    study = study_on(Link(1e-4, 125e6), list(MEASURED))
    chosen = Option("allreduce-fp16", 3, 0.3, True)
    advice = Advice(chosen, advise(study, ALL).options, 4, 0.6, 0.2, 0.1)
    use = sentences(study, advice, TrainConfig(), "hosts.txt", "--recipe xray")[0]
    assert (
        use.endswith(": horovodrun -np 3 -H hosts.txt horovod-ocr train --recipe xray --compression fp16")
        and "fp16 on the wire" in use
    )
    assert (
        "(ranks wait for 60% of a step; --global-batch 256 --accumulate 4 would lower that to 20%, if the score allows "
        "it): horovodrun" in use
    )
    alone = Advice(Option("allreduce", 1, 0.3, False), advise(study, ALL).options, 1, 0.0, 0.0, 0.1)
    assert sentences(study, alone, TrainConfig(), "hosts.txt", "--recipe xray")[0].endswith(
        ": horovod-ocr train --recipe xray"
    )


def test_the_command_goes_the_advised_way_whatever_recipe_and_settings_file_say(study_on):
    study = study_on(Link(1e-4, 125e6), list(MEASURED))
    options = advise(study, ALL).options
    ring, local = (Advice(Option(way, 3, 0.3, False), options, 1, 0.0, 0.0, 0.1) for way in ("allreduce", "diloco"))
    config = TrainConfig.of(exchange="diloco", sync_batchnorm=True)
    assert sentences(study, ring, config, "hosts.txt")[0].endswith("horovod-ocr train --exchange allreduce")
    assert sentences(study, local, config, "hosts.txt")[0].endswith("horovod-ocr train --no-sync-batchnorm")
    fp16 = TrainConfig.of(compression="fp16")
    assert sentences(study, local, fp16, "hosts.txt")[0].endswith("train --exchange diloco --compression none")
