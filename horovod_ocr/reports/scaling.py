"""The page of a scaling study: three results (time, bytes, score), the forecasts, and how far these can be trusted."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from horovod_ocr.console import size_text
from horovod_ocr.reports import scaling_charts as charts
from horovod_ocr.reports.page import Cell, Drawing, Figures, Paragraph, Part, Section, TableOf, write_page
from horovod_ocr.reports.wording import counted
from horovod_ocr.scaling.figures import Job, Study, save_studies
from horovod_ocr.scaling.forecast import FAR_OFF, Miss, Work, check_forecasts, crossings, fastest, work_of
from horovod_ocr.scaling.link import Links
from horovod_ocr.scaling.scores import Curve, Race, curves_by_way, race, steps_to_same
from horovod_ocr.scaling.ways import WAYS

SPEEDS = {"1 Gbit/s": 1e9, "10 Gbit/s": 10e9, "25 Gbit/s": 25e9, "100 Gbit/s": 100e9}


def write_scaling(studies: list[Study], curves: list[Curve], out: Path) -> list[Section]:
    """Write scaling.json and scaling.html into a folder, and return the sections of the page. OSError if it cannot be
    written."""
    more = {
        "forecasts": [miss._asdict() | {"error": miss.error} for miss in check_forecasts(studies)],
        "scores": [asdict(curve) for curve in curves],
    }
    out.mkdir(parents=True, exist_ok=True)
    save_studies(studies, more, out / "scaling.json")
    sections = scaling_sections(studies, curves)
    write_page(f"Scaling: {studies[0].model}", sections, out / "scaling.html")
    return sections


def scaling_sections(studies: Sequence[Study], curves: Sequence[Curve]) -> list[Section]:
    """From top to bottom."""
    sections = [about(studies), step_times(studies)]
    several = [study for study in studies if study.last.ranks > 1 and works_of(study)]
    for study in several:
        sections.append(over_ranks(study))
    for task in dict.fromkeys(curve.task for curve in curves):
        sections.append(score_section([curve for curve in curves if curve.task == task], several))
    if several:
        sections.append(forecast_section(several[-1]))
    if misses := check_forecasts(several):
        sections.append(errors_section(misses))
    return sections


def about(studies: Sequence[Study]) -> Section:
    study = studies[0]
    parts: list[Part] = [
        Figures(
            [
                ("model", study.model),
                ("parameters", f"{study.parameters:,}"),
                ("gradients", size_text(study.last.timeline.size)),
                ("device", study.device),
                ("most ranks", str(max(each.last.ranks for each in studies))),
                ("hosts", "; ".join(sorted({each.hosts for each in studies} - {""})) or "-"),
                ("measured", ", ".join(sorted({each.day for each in studies} - {""})) or "-"),
            ]
        )
    ]
    if study.simulated_step_ms is not None:
        parts.append(
            Paragraph(
                f"The computation is simulated: forward and backward sleep {study.simulated_step_ms:g} ms, so that the "
                "network decides and not the cores. Gradients, exchange and update are real."
            )
        )
    parts += [
        Paragraph(unsteady_text(f"{study.name}, {scaling}", job, study.same_work_s(job)))
        for study in studies
        for scaling, job in study.all_jobs
        if study.is_unsteady(job)
    ]
    parts.append(
        TableOf(
            ["link", "scaling", "ranks", "alpha, ms", "beta, Gbit/s", "call, ms"],
            [
                [
                    study.name,
                    scaling,
                    job.ranks,
                    f"{1e3 * job.link.alpha_s:.3f}",
                    f"{job.link.gigabits:.3f}",
                    f"{1e3 * job.link.call_s:.2f}",
                ]
                for study in studies
                for scaling, job in study.all_jobs
                if job.ranks > 1
            ],
        )
    )
    return Section("What was measured", parts)


def unsteady_text(what: str, job: Job, same_work_s: tuple[float, float]) -> str:
    """what: was measured, for people."""
    shortest, longest = map(ms, same_work_s)
    return (
        f"Unsteady: {what}, {counted(job.ranks, 'rank')}: the same step without exchange took {shortest} to {longest} "
        "ms while one way after the other was measured, so something else ran on the hosts. Do not compare these ways; "
        "measure again while the hosts are idle."
    )


def step_times(studies: Sequence[Study]) -> Section:
    """Time and bytes of a step, with the most ranks of each study."""
    rows: list[list[Cell]] = []
    for study in studies:
        job = study.last
        base = job.ways["allreduce"].step_s if "allreduce" in job.ways else None
        for name, way in job.ways.items():
            ratio = f"{way.step_s / base:.2f}" if base else ""
            sent, received = (f"{max(each, default=0.0) / 1e6:,.2f}" for each in (way.sent, way.received))
            own = ms(way.own_s) if WAYS[name].meets else ""  # one process for all GPUs has none
            rows.append([study.name, job.ranks, name, ms(way.step_s), own, ratio, sent, received])
    head = ["link", "ranks", "way", "step, ms", "own, ms", "of allreduce", "most MB sent", "most MB received"]
    caption = "A step with the most ranks. Of ways that step alone, the mean over whole rounds."
    draw = charts.steps_by_link if len(studies) > 1 else charts.steps_by_way
    note = Paragraph(
        "own: the same step while nothing is exchanged. Bytes are those of tensors, of the rank that moves the most, "
        "in a step on average."
    )
    return Section(
        "Time and bytes of a step",
        [Drawing(draw(studies), caption), TableOf(head, rows), note, *left_out_parts(studies)],
    )


def left_out_parts(studies: Sequence[Study]) -> list[Part]:
    """Why there are no figures of a way."""
    return [
        Paragraph(f"Left out: {study.name}, {scaling}, {counted(job.ranks, 'rank')}, {name}: {why}")
        for study in studies
        for scaling, job in study.all_jobs
        for name, why in job.left_out.items()
    ]


def over_ranks(study: Study) -> Section:
    """Measured points over forecast lines."""
    works = works_of(study)
    links = study.last.links()
    ways = charts.ways_of([*study.jobs, *study.strong])
    head = ["scaling", "ranks", *ways]
    rows: list[list[Cell]] = [
        [scaling, job.ranks, *(ms(job.ways[way].step_s) if way in job.ways else "left out" for way in ways)]
        for scaling, job in study.all_jobs
    ]
    caption = "Points are measured, lines are forecast from the link and from one rank's own step; dots: no exchange."
    drawing = Drawing(charts.times_over_ranks(study, works, links), caption)
    return Section(
        f"Over ranks: {study.name}", [drawing, TableOf(head, rows), *crossing_parts(works, {study.name: links})]
    )


def forecast_section(study: Study) -> Section:
    """Other links, with the latency and the work of this study."""
    works = works_of(study)
    links = {name: study.last.links().faster(speed) for name, speed in SPEEDS.items()}
    parts: list[Part] = [
        Drawing(
            charts.forecasts(works, links),
            f"Forecast speed with weak scaling, 1 to 128 ranks, with alpha and calls of {study.name}.",
        )
    ]
    parts += crossing_parts(works, links)
    return Section("Forecast for other links", parts)


def crossing_parts(works: dict[str, Work], links: dict[str, Links]) -> list[Part]:
    """Which way has the shortest step on each link, and where the lines of two ways cross. links: by name."""
    parts: list[Part] = []
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, link in links.items():
        ranges = [f"{each.way} from {each.ranks} ranks on" for each in fastest(works, link)]
        parts.append(Paragraph(f"{name}, forecast: the shortest step is that of {', '.join(ranges)}."))
        for each in crossings(works, link):
            cells.setdefault((each.faster, each.slower), {}).setdefault(name, []).append(str(each.ranks))
    rows = [[*pair, *(", ".join(by_link.get(name, ())) for name in links)] for pair, by_link in sorted(cells.items())]
    if rows:
        text = (
            "Where lines cross: from so many ranks on the first way is forecast to be faster, until the row of the "
            "opposite pair says otherwise. Empty: they do not cross so on that link."
        )
        parts.append(Paragraph(text))
        parts.append(TableOf(["faster", "than", *links], rows))
    return parts


def errors_section(misses: Sequence[Miss]) -> Section:
    """How far forecasts are off."""
    median, most = (function(abs(miss.error) for miss in misses) for function in (statistics.median, max))
    far: list[list[Cell]] = [
        [miss.study, miss.scaling, miss.ranks, miss.way, ms(miss.measured_s), ms(miss.forecast_s), f"{miss.error:+.0%}"]
        for miss in misses
        if abs(miss.error) > FAR_OFF
    ]
    parts: list[Part] = [
        Figures([("steps", str(len(misses))), ("median error", f"{median:.1%}"), ("largest", f"{most:.1%}")]),
        Drawing(charts.forecast_against_measured(misses), "Each step of two ranks or more."),
    ]
    head = ["link", "scaling", "ranks", "way", "measured, ms", "forecast, ms", "off"]
    parts.append(TableOf(head, far) if far else Paragraph(f"No forecast is off by more than {100 * FAR_OFF:g} %."))
    return Section("Forecast against measured", parts)


def score_section(curves: Sequence[Curve], studies: Sequence[Study]) -> Section:
    """Score at equal samples and at equal time."""
    # of all studies the same kind, if there is one, so that times can be compared
    is_strong = all(study.strong for study in studies)
    steps: dict[str, dict[str, float]] = {}
    of_batch: list[str] = []
    for study in studies:
        job = (study.strong if is_strong else study.jobs or study.strong)[-1]
        steps[study.name] = {name: way.step_s for name, way in job.ways.items() if name in curves_by_way(curves)}
        of_batch.append(f"{study.name}: {job.ranks} ranks with {job.samples} samples each")
    runs = ", ".join(f"{curve.way} {curve.runs}" for curve in curves)
    parts: list[Part] = [
        Drawing(charts.score_curves(curves, steps), f"{curves[0].score} of the val split; runs: {runs}."),
        samples_table(curves),
    ]
    for study in studies:
        if steps[study.name]:
            result = race(curves, steps[study.name])
            parts += [Paragraph(race_text(study.name, result)), race_table(result)]
    if of_batch:
        parts.append(
            Paragraph(
                f"Time is steps times the step measured on that link ({'; '.join(of_batch)}; a step of the runs has "
                f"{curves[0].samples_of_step} samples in all). In equal time, a slower way is cut off before its "
                "learning rate has come down; a run planned for fewer steps would score more. Ways that give the "
                "weights of allreduce have its scores."
            )
        )
    return Section(f"Score at equal samples and in equal time: {curves[0].task}", parts)


def samples_table(curves: Sequence[Curve]) -> TableOf:
    """The score of each way after all samples, and samples until the score that all reach."""
    target, steps = steps_to_same({curve.way: curve for curve in curves})
    base = steps.get("allreduce")
    rows: list[list[Cell]] = []
    for curve in curves:
        needed = steps[curve.way]
        ratio = f"{needed / base:.2f}" if base else ""
        until = round(needed * curve.samples_of_step)
        rows.append(
            [curve.way, curve.steps[-1] * curve.samples_of_step, f"{max(curve.scores):.2%}", f"{until:,}", ratio]
        )
    return TableOf(["way", "samples", curves[0].score, f"samples until {target:.1%}", "of allreduce"], rows)


def race_text(link: str, result: Race) -> str:
    return (
        f"{link}: time until {result.target:.1%}, and best scores in {result.time_s:,.0f} s, when the first has ended."
    )


def race_table(result: Race) -> TableOf:
    rows = [
        [way, f"{result.to_target_s[way]:,.1f}", f"{result.at_end[way]:.2%}", f"{result.in_time[way]:.2%}"]
        for way in sorted(result.to_target_s, key=result.to_target_s.__getitem__)
    ]
    return TableOf(["way", f"s until {result.target:.1%}", "equal samples", "equal time"], rows)


def works_of(study: Study) -> dict[str, Work]:
    """The work of each way in the job with the most ranks, also of those left out: of a rank with all samples."""
    job = study.last
    names = [name for name in WAYS if WAYS[name].meets and (name in job.ways or name in job.left_out)]
    if "allreduce" not in job.ways:
        names = [name for name in names if name in job.ways]
    works = {name: work_of(job, name, study.local_steps) for name in names}
    return works if study.jobs else {name: work.computing(1 / study.part_of(job.ranks)) for name, work in works.items()}


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.1f}"
