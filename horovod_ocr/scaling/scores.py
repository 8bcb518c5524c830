"""What runs score at each step, and so at each time: some ways trade score for time. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from horovod_ocr.checkpoint.file import load_checkpoint
from horovod_ocr.checkpoint.restore import config_of
from horovod_ocr.errors import DataError
from horovod_ocr.evaluation.runs import numbers_of
from horovod_ocr.run.folder import METRICS
from horovod_ocr.scaling.ways import WAYS, Way
from horovod_ocr.tasks.figures import FIGURES


@dataclass(frozen=True)
class Curve:
    """The score of the val split during runs of one way; the mean of its runs."""

    task: str
    """The recipe, for people."""
    way: str
    """By the names of `ways.WAYS`."""
    score: str
    """Name of the score, for people; a fraction, the higher the better."""
    steps: tuple[int, ...]
    """Of each validation, rising."""
    scores: tuple[float, ...]
    """At these steps."""
    samples_of_step: int
    """The global batch."""
    runs: int = 1
    """That it is the mean of."""
    sync_batchnorm: bool = False
    """As in RanksConfig: with it, a step is another one."""

    def at(self, step: float) -> float:
        """The best score up to `step` steps, that of BEST: linear between validations, and from 0 before the first."""
        return float(np.interp(step, (0, *self.steps), (0.0, *np.maximum.accumulate(self.scores))))

    def steps_to(self, score: float) -> float | None:
        """Steps until this score is reached for the first time; None if it never is."""
        if score <= 0:
            return 0.0
        before = (0, 0.0)
        for step, reached in zip(self.steps, self.scores, strict=True):
            if reached >= score:
                part = (score - before[1]) / (reached - before[1])
                return before[0] + part * (step - before[0])
            before = (step, reached)
        return None


def read_curves(runs: Iterable[Path]) -> list[Curve]:
    """A curve for each recipe and way, in the order of WAYS. DataError for a run without validations, or for runs of
    one recipe that cannot be compared."""
    alike: dict[tuple[str, str], list[Curve]] = {}
    first_of_task: dict[str, tuple[Path, Curve]] = {}
    first_of_way: dict[tuple[str, str], tuple[Path, Curve]] = {}
    for run in runs:
        curve = read_curve(run)
        one, its_curve = first_of_task.setdefault(curve.task, (run, curve))
        lengths = [(each.steps[-1], each.samples_of_step) for each in (its_curve, curve)]
        if lengths[0] != lengths[1]:
            of_one, of_run = (f"{steps} steps of {samples} samples" for steps, samples in lengths)
            raise DataError(f"{one} took {of_one}, and {run} {of_run}; compare runs of equal samples")
        if its_curve.sync_batchnorm != curve.sync_batchnorm:
            of_one, of_run = ("with" if each.sync_batchnorm else "without" for each in (its_curve, curve))
            raise DataError(
                f"{one} was trained {of_one} sync_batchnorm, and {run} {of_run}; compare runs that are alike"
            )
        one, its_curve = first_of_way.setdefault((curve.task, curve.way), (run, curve))
        if its_curve.steps != curve.steps:
            raise DataError(f"{one} and {run} validated at other steps; compare runs that did at the same")
        alike.setdefault((curve.task, curve.way), []).append(curve)
    order = list(WAYS)
    return [mean_of(alike[key]) for key in sorted(alike, key=lambda key: (key[0], order.index(key[1])))]


def read_curve(run: Path) -> Curve:
    """Of one run. DataError if it has no validation, CheckpointError if it has no checkpoint."""
    config = config_of(load_checkpoint(run), run)
    rows = [numbers_of(line) for line in (run / METRICS).read_text("utf-8").splitlines()]
    firsts = [task.figures[0] for task in FIGURES.values()]
    figure = next((each for each in firsts for row in rows if each.key in row), None)
    if figure is None:
        raise DataError(f"{run}: no validation yet; train on, or validate more often")
    # a resumed run may have validated twice
    scores = {int(row["step"]): row[figure.key] for row in rows if figure.key in row and "step" in row}
    steps = tuple(sorted(scores))
    way = name_of(Way(config.exchange.exchange, config.exchange.compression))
    values = tuple(scores[step] for step in steps)
    return Curve(
        Path(config.recipe or "run").stem,
        way,
        figure.title,
        steps,
        values,
        config.plan.global_batch,
        sync_batchnorm=config.ranks.sync_batchnorm,
    )


def name_of(way: Way) -> str:
    return next(name for name, each in WAYS.items() if each == way)


def mean_of(curves: Sequence[Curve]) -> Curve:
    scores = np.mean([curve.scores for curve in curves], axis=0)
    return replace(curves[0], scores=tuple(scores.tolist()), runs=len(curves))


def steps_to_same(curves: Mapping[str, Curve]) -> tuple[float, dict[str, float]]:
    """(the score that all of them reach: the least of their best ones, way -> steps until it). curves: by way."""
    target = min(max(curve.scores) for curve in curves.values())
    return target, {way: curve.steps_to(target) or 0.0 for way, curve in curves.items()}


@dataclass(frozen=True)
class Race:
    """The ways of one recipe on one link, to the same score and in the same time."""

    task: str
    """The recipe, for people."""
    target: float
    """Of `steps_to_same`."""
    time_s: float
    """The time that the fastest of them needs for all of its steps."""
    to_target_s: dict[str, float]
    """Way -> seconds until `target`."""
    at_end: dict[str, float]
    """Way -> best score in all steps: equal samples."""
    in_time: dict[str, float]
    """Way -> best score in `time_s`: equal wall time. Its learning rate has not come down yet where it needs longer."""


def curves_by_way(curves: Sequence[Curve]) -> dict[str, Curve]:
    """A way that gives the weights of allreduce has the curve of allreduce."""
    by_way = {curve.way: curve for curve in curves}
    if "allreduce" in by_way:
        by_way = {name: by_way["allreduce"] for name, way in WAYS.items() if way.is_exact} | by_way
    return by_way


def race(curves: Sequence[Curve], step_s: Mapping[str, float]) -> Race:
    """curves: of one recipe. step_s: way -> seconds of a step on this link; only ways of both are compared."""
    by_way = curves_by_way(curves)
    both = [name for name in WAYS if name in by_way and name in step_s]
    target, steps = steps_to_same({name: by_way[name] for name in both})
    ends = {name: step_s[name] * by_way[name].steps[-1] for name in both}
    time_s = min(ends.values())
    to_target = {name: step_s[name] * steps[name] for name in both}
    return Race(
        curves[0].task,
        target,
        time_s,
        to_target,
        {name: max(by_way[name].scores) for name in both},
        {name: by_way[name].at(time_s / step_s[name]) for name in both},
    )
