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
    return {
        name: Work(timeline, OWN_S, SHARES, LOCAL_STEPS if way.is_local else 1)
        for name, way in WAYS.items()
        if way.engine == "horovod"
    }


def ideal_job(link: Link, ranks: int, names: list[str] | None = None) -> Job:
    """What a link without noise would show. An fp16 message takes half the time of its fp32."""
    sizes = [1 << 10, 1 << 14, 1 << 18, 1 << 22, SIZE]
    links = {"fp32": link, "star": link, "neighbours": link, "fp16": replace(link, beta=2 * link.beta)}
    ways = {}
    for name, work in works().items():
        if names is None or name in names:
            step_s = forecast_s(WAYS[name], work, Links(links), ranks)
            sent = 2 * (ranks - 1) / ranks * (SHARES[0] if name == "powersgd" else 1.0) * SIZE
            ways[name] = WayFigures(OWN_S, step_s, 5, (sent,) * ranks, (sent,) * ranks)
    shapes = {"fp32": ring(ranks), "fp16": ring(ranks), "star": star(ranks), "neighbours": NEIGHBOURS}
    seconds = {
        wire: {size: each.call_s + each.time_s(shapes[wire], size) for size in sizes} for wire, each in links.items()
    }
    return Job(
        ranks,
        64,
        seconds if ranks > 1 else {},
        {"fp32": link.call_s} if ranks > 1 else {},
        TIMELINE,
        ways,
        SHARES,
        1,
    )


@pytest.fixture
def study_on() -> Callable[..., Study]:
    """A function of a link and the ways that were measured: a study of 3 ranks that share a batch."""

    def build(link: Link, names: list[str] | None = None) -> Study:
        jobs = tuple(ideal_job(link, ranks) for ranks in (1, 2, 3))
        shared = (ideal_job(link, 3, names),)
        return Study("a link", "a model", SIZE // 4, "cpu", None, LOCAL_STEPS, jobs, shared)

    return build
