"""How long a step takes on other ranks and other links: alpha, beta, and what overlaps. Arithmetic alone; no torch.

The model of Hockney for a message; rings and stars of `link`; groups of gradients begin to travel when they are there
and the groups before have arrived, as Shi et al., "A DAG Model of Synchronous Stochastic Gradient Descent in
Distributed Deep Learning", 2018, have it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from horovod_ocr.scaling.figures import Job, Study, Timeline
from horovod_ocr.scaling.link import Links, half_ring, ring, star, tree
from horovod_ocr.scaling.ways import WAYS, Way

MOST_RANKS = 128
COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, MOST_RANKS)
"""Numbers of ranks at which ways are compared: all of them would promise more than forecasts hold."""
FAR_OFF = 0.25  # a forecast that misses by more is named


@dataclass(frozen=True)
class Work:
    """What a rank does in a step, and what it has to send."""

    timeline: Timeline
    """Of its gradients."""
    own_s: float
    """A step without other ranks."""
    shares: tuple[float, float] = (1.0, 0.0)
    """Of powersgd: `Job.powersgd_shares`."""
    local_steps: int = 1
    """Of ways that step alone."""
    groups: int = 1
    """Of parameters, as the optimizer has them; sharded-server exchanges each on its own."""

    @property
    def after_s(self) -> float:
        """From the last gradient to the end of the step: update, and copies that the exchange makes."""
        return max(0.0, self.own_s - self.timeline.computation_s)

    def computing(self, factor: float) -> "Work":
        """With forward and backward that take `factor` times as long; the rest stays."""
        ready_s = tuple(factor * each for each in self.timeline.ready_s)
        own_s = self.after_s + factor * self.timeline.computation_s
        return replace(self, timeline=replace(self.timeline, ready_s=ready_s), own_s=own_s)

    def accumulated(self, passes: int) -> "Work":
        """With several forward and backward passes in a step: gradients travel during the last one."""
        before_s = (passes - 1) * self.timeline.computation_s
        ready_s = tuple(before_s + each for each in self.timeline.ready_s)
        return replace(self, timeline=replace(self.timeline, ready_s=ready_s), own_s=before_s + self.own_s)


def forecast_s(way: Way, work: Work, links: Links, ranks: int) -> float:
    """Seconds of a step of `ranks` ranks, on average."""
    if ranks == 1:
        return work.own_s
    size, link = work.timeline.size, links.of(way.collectives[-1])
    if way.exchange == "allreduce":
        if way.engine == "torch":  # it has two groups under way at once: while one waits for a message, the other sends
            link = replace(link, alpha_s=link.alpha_s / 2)
        return overlapped_s(work, lambda group: link.time_s(ring(ranks), group), link.call_s)
    plain = links.of("fp32")
    norm_s = plain.allreduce_s(0, ranks)
    if way.exchange == "parameter-server":  # gradients in, their norm, weights out
        return work.own_s + norm_s + 2 * (link.call_s + link.time_s(star(ranks), size))
    if way.exchange == "sharded-server":  # for each group of parameters a message to each peer, and all parts to all
        calls_s = (ranks - 1) * (link.call_s + link.alpha_s) + plain.call_s + plain.time_s(half_ring(ranks), 0)
        moved_s = (ranks - 1) / ranks * size * (1 / link.beta + 1 / plain.beta)
        return work.own_s + norm_s + work.groups * calls_s + moved_s
    if way.exchange == "powersgd":  # both matrices, one after the other; between them root's basis of each
        summed, bases = work.shares
        sums_s = plain.allreduce_s(summed * size, ranks) + plain.allreduce_s(0, ranks)
        return work.own_s + sums_s + (plain.call_s + plain.time_s(tree(ranks), bases * size) if bases else 0.0)
    copies = 3 if way.exchange == "weight-average" else 1  # AdamW's two moments travel too
    return work.own_s + plain.allreduce_s(copies * size, ranks) / work.local_steps


def overlapped_s(work: Work, travel_s: Callable[[float], float], call_s: float) -> float:
    """A step whose gradients travel, group after group, while backward goes on.

    travel_s: of a group, by its bytes. call_s: once for all groups that are there when the ones before have arrived.
    """
    groups = sorted(zip(work.timeline.ready_s, work.timeline.sizes, strict=True))
    now_s = 0.0
    while groups:
        now_s = max(now_s, groups[0][0])
        there = [group for group in groups if group[0] <= now_s]
        groups = groups[len(there) :]
        now_s += call_s + sum(travel_s(size) for _, size in there)
    return max(now_s, *work.timeline.ready_s) + work.after_s


def work_of(job: Job, name: str, local_steps: int) -> Work:
    """What a rank of this job does in a step of a way; if that was not measured, with the computation of allreduce."""
    own_s = (job.ways.get(name) or job.ways["allreduce"]).own_s
    return work_with(job, WAYS[name], own_s, local_steps)


def work_with(job: Job, way: Way, own_s: float, local_steps: int) -> Work:
    return Work(job.timeline, own_s, job.powersgd_shares, local_steps if way.is_local else 1, job.groups)


def unmeasured_s(job: Job, way: Way, local_steps: int) -> float:
    """A step of a job that has measured its link alone, without what comes after the last gradient."""
    own_s = job.timeline.computation_s
    if job.ranks == 1:
        return own_s
    return forecast_s(way, work_with(job, way, own_s, local_steps), job.links(), job.ranks)


class Miss(NamedTuple):
    """A step as it was measured and as it was forecast."""

    study: str
    """Name of the link."""
    scaling: str
    """weak or strong."""
    ranks: int
    """Of the job."""
    way: str
    """By the names of WAYS."""
    measured_s: float
    """A step."""
    forecast_s: float
    """The same step."""

    @property
    def error(self) -> float:
        """Of the forecast, as a fraction of the measured step."""
        return self.forecast_s / self.measured_s - 1


def check_forecasts(studies: Sequence[Study]) -> list[Miss]:
    """Every step in which several ranks met, against its forecast from the bare allreduce of the same job."""
    return [
        Miss(
            study.name,
            scaling,
            job.ranks,
            name,
            figures.step_s,
            forecast_s(WAYS[name], work_of(job, name, study.local_steps), job.links(), job.ranks),
        )
        for study in studies
        for scaling, job in study.all_jobs
        if job.ranks > 1
        for name, figures in job.ways.items()
        if WAYS[name].meets
    ]


class Crossing(NamedTuple):
    """From how many ranks on one way is faster than another."""

    ranks: int
    """The first of COUNTS."""
    faster: str
    """From there on, until the next crossing of the two."""
    slower: str
    """Up to there it was the faster one."""


def crossings(works: Mapping[str, Work], links: Links) -> list[Crossing]:
    """Where the lines of two ways cross, by number of ranks. works: by the names of ways."""
    found = []
    names = list(works)
    steps = {name: [forecast_s(WAYS[name], works[name], links, ranks) for ranks in COUNTS] for name in names}
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            signs = [a < b for a, b in zip(steps[one], steps[other], strict=True)]
            for number in range(1, len(signs)):
                if signs[number] != signs[number - 1]:
                    faster, slower = (one, other) if signs[number] else (other, one)
                    found.append(Crossing(COUNTS[number], faster, slower))
    return sorted(found)


class Fastest(NamedTuple):
    """From how many ranks on a way has the shortest step."""

    ranks: int
    """The first of COUNTS."""
    way: str
    """Until the next one."""


def fastest(works: Mapping[str, Work], links: Links) -> list[Fastest]:
    """The way with the shortest step. works: see `crossings`."""
    found: list[Fastest] = []
    for ranks in COUNTS:
        way = min(works, key=lambda name: forecast_s(WAYS[name], works[name], links, ranks))
        if not found or found[-1].way != way:
            found.append(Fastest(ranks, way))
    return found
