"""scaling.json is read as it was written; anything else is refused by name."""

import json
from dataclasses import asdict, replace

import pytest

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ClusterError, ConfigError, DataError
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of
from horovod_ocr.scaling import measure as measure_module
from horovod_ocr.scaling.advice import advise
from horovod_ocr.scaling.figures import load_all, load_studies, save_studies
from horovod_ocr.scaling.link import Link
from horovod_ocr.scaling.measure import Axes, measure, measure_for_advice, take_slots, usual_ranks, whole_hosts
from horovod_ocr.scaling.request import Request, not_measured, request_of
from horovod_ocr.scaling.ways import USUAL, WAYS, ways_named

REQUEST = Request(("allreduce",), 64, 16, 1.0, "cpu", step_ms=100.0, parameters=1000)


def test_studies_are_read_as_they_were_written(study_on, tmp_path):
    studies = [study_on(Link(1e-4, 125e6)), study_on(Link(1e-3, 12.5e6))]
    save_studies(studies, {"forecasts": []}, tmp_path / "scaling.json")
    assert load_studies(tmp_path / "scaling.json") == studies


def test_studies_that_cannot_stand_on_one_page_are_refused(study_on, tmp_path):
    study = study_on(Link(1e-4, 125e6))
    for name, other in (("a", {}), ("b", {"name": "b"}), ("c", {"name": "c", "model": "another"})):
        save_studies([replace(study, **other)], {}, tmp_path / f"{name}.json")
    paths = {name: tmp_path / f"{name}.json" for name in "abc"}
    assert [study.name for study in load_all([paths["a"], paths["b"]])] == ["a link", "b"]
    with pytest.raises(DataError, match="two studies are called 'a link'"):
        load_all([paths["a"], paths["a"]])
    with pytest.raises(DataError, match="different models"):
        load_all([paths["a"], paths["c"]])
    save_studies([], {}, tmp_path / "none.json")
    with pytest.raises(DataError, match="holds no study"):
        load_studies(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2}',
        '{"version": 4, "shards": []}',
        '{"version": 2, "studies": [{"jobs": [], "strong": []}]}',
    ],
)
def test_another_file_is_refused_by_name(text, tmp_path):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=r"x\.json: not a file that horovod-ocr scaling has written$"):
        load_studies(tmp_path / "x.json")
    (tmp_path / "x.json").write_text(json.dumps({"version": 99, "studies": []}))
    with pytest.raises(DataError, match="another version"):
        load_studies(tmp_path / "x.json")
    with pytest.raises(DataError, match="No such file"):
        load_studies(tmp_path / "y.json")


def test_the_same_work_in_very_different_times_is_unsteady(study_on):
    study = study_on(Link(1e-4, 125e6))
    often, job = replace(study, local_steps=1), study.last
    assert study.same_work_s(job) == (0.1, 0.1) and not study.is_unsteady(job)
    for name, of_study, is_unsteady in (
        ("allreduce-fp16", often, True),
        ("diloco", study, True),
        ("diloco", often, False),  # which takes an outer step each time
        ("powersgd", study, False),  # which multiplies matrices
    ):
        ways = job.ways | {name: replace(job.ways[name], own_s=0.15)}
        assert of_study.is_unsteady(replace(job, ways=ways)) == is_unsteady
    assert not study.is_unsteady(replace(job, ways={}))


def test_slots_are_taken_in_the_order_of_the_hosts():
    hosts = [Host("a", 2), Host("b", 1), Host("c", 4)]
    assert take_slots(hosts, 1) == [Host("a", 1)]
    assert take_slots(hosts, 4) == [Host("a", 2), Host("b", 1), Host("c", 1)]
    assert [usual_ranks(slots) for slots in (1, 3, 8)] == [(1,), (1, 2, 3), (1, 2, 4, 8)]


def test_an_advice_is_about_whole_hosts_which_meet_over_the_measured_link():
    assert whole_hosts([Host("a"), Host("b"), Host("c")]) == (2, 3)
    assert whole_hosts([Host("a", 8), Host("b", 8), Host("c", 4)]) == (16, 20)
    assert whole_hosts([Host("a", 3)]) == (2, 3)


def test_an_advice_measures_one_rank_the_first_host_and_all(monkeypatch):
    asked = []
    monkeypatch.setattr(measure_module, "measure", lambda *arguments: asked.append(arguments[3]))
    for hosts in ([Host("a"), Host("b")], [Host("a", 4), Host("b", 4)], [Host("a", 4)]):
        measure_for_advice("x", hosts, REQUEST)
    assert [(each.ranks, set(each.plain), each.weak, each.strong) for each in asked] == [
        ((1, 2), {1}, False, True),
        ((1, 4, 8), {1, 4}, False, True),
        ((1, 4), {1}, False, True),
    ]


def test_one_rank_that_cannot_be_measured_is_left_out_and_all_are_not(monkeypatch, study_on):
    """As where the whole batch does not fit one GPU."""
    job = asdict(study_on(Link(1e-4, 125e6)).strong[-1])
    answer = {"job": job, "model": "a", "parameters": 1, "device": "cuda"}
    failing, told = {1}, []

    def ask(ssh, hosts, *rest):
        if ranks_of(hosts) in failing:
            raise ClusterError("rank 0: out of memory")
        return answer

    monkeypatch.setattr(measure_module, "ask_ranks", ask)
    study = measure_for_advice("x", [Host("a"), Host("b", 2)], REQUEST, told.append)
    assert [each.ranks for each in study.strong] == [3] and told[1] == "left out: rank 0: out of memory"
    alone = advise(study, ()).of("allreduce", 1)
    assert not alone.is_measured and alone.step_s == pytest.approx(0.276)  # in proportion to the samples
    failing.add(3)
    with pytest.raises(ClusterError, match="out of memory"):
        measure_for_advice("x", [Host("a"), Host("b", 2)], REQUEST)


def test_settings_of_a_recipe_that_no_measured_step_heeds_are_told():
    assert not_measured(TrainConfig()) == []
    assert not_measured(TrainConfig.of(sync_batchnorm=True, accumulate=2)) == ["sync_batchnorm", "accumulate"]


@pytest.mark.parametrize("name", ["exchange", "compression", "engine", "accumulate", "sync_batchnorm"])
def test_settings_that_a_measured_step_does_not_heed_are_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is not part of a measured step"):
        request_of(TrainConfig(), {"lr": 1e-3, name: 1}, USUAL, 8.0)


def test_more_ranks_than_slots_or_samples_are_refused():
    with pytest.raises(ConfigError, match="5 ranks, but the hosts have 3 slots"):
        measure("x", [Host("a", 3)], REQUEST, Axes((1, 5)))
    with pytest.raises(ConfigError, match="64 samples for 65 ranks"):
        REQUEST.shared_by(65)
    shared = REQUEST.shared_by(4)
    assert (shared.samples, shared.step_ms) == (16, 25.0)
    assert REQUEST.shared_by(3).samples == 22  # the largest share: all ranks wait for it


def test_ways_have_names_and_options_of_train():
    assert ways_named("diloco, allreduce") == ("allreduce", "diloco")
    with pytest.raises(ConfigError, match="no way 'adasum' to exchange; there are: allreduce, allreduce-fp16"):
        ways_named("adasum")
    assert [WAYS[name].options(TrainConfig()) for name in ("allreduce", "allreduce-fp16", "powersgd")] == [
        "",
        "--compression fp16",
        "--exchange powersgd",
    ]
    assert ways_named(None) == USUAL
    assert "torch-ddp" not in USUAL and len({WAYS[name] for name in USUAL}) == len(USUAL)


def test_fp64_is_refused_since_it_would_be_measured_in_fp32():
    with pytest.raises(ConfigError, match="not in fp64"):
        request_of(TrainConfig.of(precision="fp64"), {}, ("allreduce",), 1.0)


def test_too_few_samples_are_refused_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(measure_module, "ask_ranks", lambda *given: pytest.fail("it was measured"))
    hosts, axes = [Host("a"), Host("b"), Host("c")], Axes((1, 3))
    with pytest.raises(ConfigError, match="2 samples for 3 ranks; give a larger --global-batch"):
        measure("x", hosts, replace(REQUEST, samples=2), axes)
