"""The charts of a scaling study, as SVG. Drawn by matplotlib; computes nothing but forecasts' lines."""

from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from horovod_ocr.scaling.figures import Job, Study
from horovod_ocr.scaling.forecast import FAR_OFF, MOST_RANKS, Miss, Work, forecast_s
from horovod_ocr.scaling.link import Links
from horovod_ocr.scaling.scores import Curve
from horovod_ocr.scaling.ways import WAYS

# Okabe and Ito's colours, which colour-blind people tell apart, and one more
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#999999", "#7A4FBF")
MARKERS = "osD^vP*Xh"
COLUMNS = 3  # of panels, as wide as the page
PANEL = (3.7, 2.9)  # inches
LEGEND = 1.5  # inches of an entry
LABELLED_DECADES = (2.5, 0.7)  # an axis of fewer decades has labels at some minor ticks; at all of them
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "horovod-ocr",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "text.color": "#333333",
}


def style_of(way: str) -> dict[str, Any]:
    """Colour and marker: the same in every chart."""
    number = list(WAYS).index(way)
    return {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 5, "label": way}


def line_of(way: str) -> dict[str, Any]:
    return {**style_of(way), "marker": None}


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, in rows of three at most."""
    columns = 2 if count == 4 else min(COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def svg_of(figure: Figure, axes: Sequence[Axes]) -> str:
    """The element, with one legend for all panels."""
    handles: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        columns = max(2, int(figure.get_figwidth() / LEGEND))
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)
    written = StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def scale_ranks(axes: Axes) -> None:
    """1, 2, 4 ... 128 from left to right."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("ranks")


def scale_speed(axes: Axes) -> None:
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("times one rank")


def scale_step(axes: Axes, what: str = "a step, ms") -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=LABELLED_DECADES))
    axes.set_ylabel(what)


def draw(count: int, draw_panel: Callable[[Axes, int], None]) -> str:
    """draw_panel: (axes, number of the panel)."""
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(count)
        for number, each in enumerate(axes):
            draw_panel(each, number)
        return svg_of(figure, axes)


def steps_by_link(studies: Sequence[Study]) -> str:
    """The step of each way with the most ranks, on each link."""
    with matplotlib.rc_context(STYLE):
        width = min(COLUMNS * PANEL[0], max(5.0, 1.0 * len(studies) + 3))
        figure = Figure(figsize=(width, 4.4), layout="constrained")
        axes = figure.subplots()
        for way in ways_of([study.last for study in studies]):
            found = {study.name: 1e3 * study.last.ways[way].step_s for study in studies if way in study.last.ways}
            axes.plot(list(found), list(found.values()), **style_of(way), linestyle="")
        scale_step(axes)
        axes.tick_params(axis="x", rotation=45 if len(studies) > 3 else 0)
        return svg_of(figure, [axes])


def steps_by_way(studies: Sequence[Study]) -> str:
    """The step of each way on the only link: what a rank does alone, and what exchange adds."""
    job = studies[0].last

    def panel(axes: Axes, number: int) -> None:
        ways = ways_of([job])[::-1]  # from top to bottom
        steps = [1e3 * job.ways[way].step_s for way in ways]
        # one process for all GPUs has no step of its own
        own = [1e3 * min(job.ways[way].own_s, job.ways[way].step_s) if WAYS[way].meets else 0.0 for way in ways]
        axes.barh(ways, steps, color=COLOURS[1], label="with exchange")
        axes.barh(ways, own, color=COLOURS[0], label="own")
        axes.set_xlabel("a step, ms")
        axes.grid(axis="y", visible=False)

    return draw(1, panel)


def times_over_ranks(study: Study, works: Mapping[str, Work], links: Links) -> str:
    """Measured points over forecast lines, 1 to 128 ranks: step time and speed with weak scaling, step time with
    strong. works: of each way; of a rank with all samples."""
    ranks = range(1, MOST_RANKS + 1)

    def panel(axes: Axes, number: int) -> None:
        is_strong, is_speed = number == 2, number == 1
        for way, work in works.items():
            own = [work.computing(study.part_of(each)) if is_strong else work for each in ranks]
            steps = [forecast_s(WAYS[way], each, links, count) for each, count in zip(own, ranks, strict=True)]
            values = [work.own_s * count / step for step, count in zip(steps, ranks, strict=True)]
            axes.plot(ranks, values if is_speed else [1e3 * step for step in steps], **line_of(way))
        jobs = study.strong if is_strong else study.jobs
        for way in ways_of(jobs):
            seen = [(job.ranks, job.ways[way].step_s) for job in jobs if way in job.ways]
            # data-parallel has points alone: what it does between GPUs is not modelled
            base = works.get(way) or works.get("allreduce")
            alone = base.own_s if base else seen[0][1]
            axes.plot(
                [count for count, _ in seen],
                [alone * count / step if is_speed else 1e3 * step for count, step in seen],
                **(style_of(way) if way not in works else {**style_of(way), "label": None}),
                linestyle="",
            )
        if is_speed:
            axes.plot(ranks, ranks, color="grey", linestyle=":", linewidth=1)
        scale_ranks(axes)
        (scale_speed if is_speed else scale_step)(axes)
        axes.set_title(("weak scaling: step", "weak scaling: speed", "strong scaling: step")[number])

    return draw(3, panel)


def forecasts(works: Mapping[str, Work], links: Mapping[str, Links]) -> str:
    """Speed over ranks on other links, weak scaling."""
    names = list(links)
    ranks = range(1, MOST_RANKS + 1)

    def panel(axes: Axes, number: int) -> None:
        link = links[names[number]]
        for way, work in works.items():
            values = [work.own_s * count / forecast_s(WAYS[way], work, link, count) for count in ranks]
            axes.plot(ranks, values, **line_of(way))
        axes.plot(ranks, ranks, color="grey", linestyle=":", linewidth=1)
        scale_ranks(axes)
        scale_speed(axes)
        axes.set_title(names[number])

    return draw(len(names), panel)


def forecast_against_measured(misses: Sequence[Miss]) -> str:
    def panel(axes: Axes, number: int) -> None:
        for way in [each for each in WAYS if any(miss.way == each for miss in misses)]:
            mine = [miss for miss in misses if miss.way == way]
            measured = [1e3 * miss.measured_s for miss in mine]
            axes.plot(measured, [1e3 * miss.forecast_s for miss in mine], **style_of(way), linestyle="", alpha=0.8)
        ends = [
            1e3 * min(miss.measured_s for miss in misses) / 1.2,
            1e3 * max(miss.measured_s for miss in misses) * 1.2,
        ]
        axes.plot(ends, ends, color="grey", linewidth=1)
        band = ([(1 - FAR_OFF) * end for end in ends], [(1 + FAR_OFF) * end for end in ends])
        axes.fill_between(ends, *band, color="grey", alpha=0.15)
        axes.set_xscale("log")
        axes.set_xlabel("measured, ms")
        scale_step(axes, f"forecast, ms (band: {100 * FAR_OFF:g} %)")

    return draw(1, panel)


def score_curves(curves: Sequence[Curve], steps: Mapping[str, Mapping[str, float]]) -> str:
    """The score of one recipe over samples, and over time on each link. steps: link -> way -> seconds of a step."""
    links = list(steps)

    def panel(axes: Axes, number: int) -> None:
        for curve in curves:
            if number == 0:
                axes.plot([step * curve.samples_of_step for step in curve.steps], curve.scores, **style_of(curve.way))
            elif curve.way in steps[links[number - 1]]:
                step_s = steps[links[number - 1]][curve.way]
                axes.plot([step * step_s for step in curve.steps], curve.scores, **style_of(curve.way))
        axes.set_xlabel("samples" if number == 0 else "seconds of steps")
        axes.set_ylabel(curves[0].score)
        axes.set_title("equal samples" if number == 0 else links[number - 1])

    return draw(1 + len(links), panel)


def ways_of(jobs: Sequence[Job]) -> list[str]:
    """Those of any job, in the order of WAYS."""
    return [way for way in WAYS if any(way in job.ways for job in jobs)]
