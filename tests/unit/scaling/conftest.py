"""A study as three ranks would measure it on an ideal link, and one that computes for nothing but its forecasts."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from horovod_ocr.scaling.figures import Job, Study, Timeline, WayFigures
from horovod_ocr.scaling.forecast import Work, forecast_s
from horovod_ocr.scaling.link import NEIGHBOURS, Link, Links, ring, star
from horovod_ocr.scaling.ways import WAYS

SIZE = 40_000_000  # bytes of 10 M parameters
TIMELINE = Timeline(tuple(0.04 + 0.012 * number for number in range(5)), (SIZE // 5,) * 5)
OWN_S = 0.1
SHARES = (0.01, 0.005)  # of powersgd
LOCAL_STEPS = 16


def works(timeline: Timeline = TIMELINE) -> dict[str, Work]:
    own_s = OWN_S - TIMELINE.ready_s[-1] + timeline.ready_s[-1]
    return {
        name: Work(timeline, own_s, SHARES, LOCAL_STEPS if way.is_local else 1)
        for name, way in WAYS.items()
        if way.engine == "horovod"
    }


def ideal_job(link: Link, ranks: int, names: list[str] | None = None, computation: float = 1.0) -> Job:
    """What a link without noise would show. An fp16 message takes half the time of its fp32. computation: how many
    times that of TIMELINE."""
    timeline = Timeline(tuple(computation * each for each in TIMELINE.ready_s), TIMELINE.sizes)
    sizes = [1 << 10, 1 << 14, 1 << 18, 1 << 22, SIZE]
    links = {"fp32": link, "star": link, "neighbours": link, "fp16": replace(link, beta=2 * link.beta)}
    ways = {}
    for name, work in works(timeline).items():
        if names is None or name in names:
            step_s = forecast_s(WAYS[name], work, Links(links), ranks)
            sent = 2 * (ranks - 1) / ranks * (SHARES[0] if name == "powersgd" else 1.0) * SIZE
            ways[name] = WayFigures(work.own_s, step_s, 5, (sent,) * ranks, (sent,) * ranks)
    shapes = {"fp32": ring(ranks), "fp16": ring(ranks), "star": star(ranks), "neighbours": NEIGHBOURS}
    seconds = {
        collective: {size: each.call_s + each.time_s(shapes[collective], size) for size in sizes}
        for collective, each in links.items()
    }
    return Job(
        ranks,
        round(64 * computation),
        seconds if ranks > 1 else {},
        {"fp32": link.call_s} if ranks > 1 else {},
        timeline,
        ways,
        SHARES,
        1,
    )


@pytest.fixture
def study_on() -> Callable[..., Study]:
    """A function of a link, the ways that were measured, and how many times as long one rank computes with the whole
    batch as three ranks with their shares: a study of one rank and 3 that share a batch."""

    def build(link: Link, names: list[str] | None = None, computation: float = 3.0) -> Study:
        jobs = tuple(ideal_job(link, ranks) for ranks in (1, 2, 3))
        shared = (ideal_job(link, 1, ["allreduce"], computation), ideal_job(link, 3, names))
        return Study("a link", "a model", SIZE // 4, "cpu", None, LOCAL_STEPS, jobs, shared)

    return build
