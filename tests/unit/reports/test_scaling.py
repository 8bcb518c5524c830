"""The page of a study: every figure of it, charts as SVG that load nothing."""

import re
from dataclasses import replace
from xml.etree import ElementTree

from horovod_ocr.reports.page import TableOf, build_page
from horovod_ocr.reports.scaling import crossing_parts, samples_table, scaling_sections
from horovod_ocr.reports.scaling_charts import forecasts
from horovod_ocr.scaling.figures import Job
from horovod_ocr.scaling.forecast import crossings
from horovod_ocr.scaling.link import Link, Links
from horovod_ocr.scaling.scores import Curve
from tests.unit.scaling.conftest import study_on, works  # noqa: F401  # a fixture

CURVES = [
    Curve("xray", "allreduce", "accuracy", (10, 20), (0.6, 0.9), 32),
    Curve("xray", "diloco", "accuracy", (10, 20), (0.5, 0.8), 32, runs=3),
]


def links(beta: float) -> Links:
    return Links({"fp32": Link(1e-4, beta)})


def test_a_page_holds_times_bytes_scores_and_forecasts(study_on):  # noqa: F811
    studies = [study_on(Link(1e-4, 125e6)), study_on(Link(1e-3, 12.5e6))]
    studies[0] = replace(studies[0], hosts="node1:1,node2:2", day="2026-11-29")
    page = build_page("Scaling", scaling_sections(studies, CURVES))
    for text in (
        "most MB sent",
        "53.33",
        "80.00%",
        "equal time",
        "strong",
        "100 Gbit/s",
        "1 Gbit/s, forecast: the shortest step is that of",
        "node1:1,node2:2",
        "2026-11-29",
        "samples until 80.0%",
    ):
        assert text in page
    assert "No forecast is off by more than 25 %" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == [] and "@import" not in page


def test_times_of_all_links_are_of_the_same_kind_of_scaling(study_on):  # noqa: F811
    """Steps of a third of the samples on one link would not be compared with whole ones on another."""
    both, weak = study_on(Link(1e-4, 125e6)), replace(study_on(Link(1e-3, 12.5e6)), name="weak", strong=())
    strong_s, weak_s = 6.0, 10.0  # seconds of 20 steps
    both = replace(both, jobs=of_steps(both.jobs, weak_s / 20), strong=of_steps(both.strong, strong_s / 20))
    alone, beside = (build_page("Scaling", scaling_sections(studies, CURVES)) for studies in ([both], [both, weak]))
    assert "best scores in 6 s" in alone and "best scores in 10 s" not in alone
    assert "best scores in 10 s" in beside and "best scores in 6 s" not in beside
    assert "a link: 3 ranks with 64 samples each; weak: 3 ranks" in beside
    assert "a step of the runs has 32 samples in all" in beside


def of_steps(jobs: tuple[Job, ...], step_s: float) -> tuple[Job, ...]:
    """The same jobs with steps of this time."""
    return tuple(
        replace(job, ways={name: replace(way, step_s=step_s) for name, way in job.ways.items()}) for job in jobs
    )


def test_samples_until_the_score_that_all_ways_reach():
    table = samples_table(CURVES)
    assert table.rows == [["allreduce", 640, "90.00%", "533", "1.00"], ["diloco", 640, "80.00%", "640", "1.20"]]


def test_a_chart_is_one_svg_element_with_a_line_for_each_way():
    svg = ElementTree.fromstring(forecasts(works(), {"1 Gbit/s": links(125e6), "10 Gbit/s": links(1.25e9)}))
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert set(works()) <= set(texts) and {"1 Gbit/s", "10 Gbit/s", "ranks"} <= set(texts)
    assert forecasts(works(), {"a": links(1e8)}) == forecasts(works(), {"a": links(1e8)})  # the same bytes


def test_each_crossing_is_named_once_for_all_links(study_on):  # noqa: F811
    both = {name: works()[name] for name in ("allreduce", "powersgd")}
    slow, fast = links(125e6), links(1.25e10)
    texts = crossing_parts(both, {"slow": slow, "fast": fast})
    (table,) = (part for part in texts if isinstance(part, TableOf))
    cells = {(faster, than): dict(zip(table.head[2:], rest, strict=True)) for faster, than, *rest in table.rows}
    assert cells == {
        ("allreduce", "powersgd"): {"slow": "", "fast": "6"},
        ("powersgd", "allreduce"): {"slow": "", "fast": "96"},
    }
    assert [each.ranks for each in crossings(both, fast)] == [6, 96]


def test_a_busy_host_is_told(study_on):  # noqa: F811
    study = study_on(Link(1e-4, 125e6))
    alone = study.jobs[0]
    slow = replace(alone, ways=alone.ways | {"diloco": replace(alone.ways["diloco"], own_s=0.2)})
    pages = [
        build_page("Scaling", scaling_sections([replace(study, jobs=(job, *study.jobs[1:]))], []))
        for job in (alone, slow)
    ]
    assert "Unsteady" not in pages[0]
    assert "a link, weak, 1 rank: the same step without exchange took 100.0 to 200.0 ms" in pages[1]


def test_one_rank_alone_has_a_page_too(study_on):  # noqa: F811
    study = study_on(Link(1e-4, 125e6))
    alone = study.__class__(**{**vars(study), "jobs": study.jobs[:1], "strong": ()})
    assert "Forecast" not in build_page("Scaling", scaling_sections([alone], []))


def test_a_page_of_what_was_left_out_or_cannot_be_compared_is_a_page(study_on):  # noqa: F811
    study = study_on(Link(1e-4, 125e6), ["allreduce", "sharded-server"])
    few = replace(study, jobs=(), strong=tuple(replace(job, left_out={"diloco": "too slow"}) for job in study.strong))
    page = build_page("Scaling", scaling_sections([few], CURVES[1:]))  # scores of diloco alone
    assert "Left out: a link, strong, 3 ranks, diloco: too slow" in page and "Score at equal samples" in page
    only_out = tuple(replace(job, ways={}, left_out={"data-parallel": "needs GPUs"}) for job in few.strong)
    assert "needs GPUs" in build_page("Scaling", scaling_sections([replace(few, strong=only_out)], []))
