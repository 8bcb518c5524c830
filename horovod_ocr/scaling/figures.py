"""What a study has measured, and its file. No torch."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from horovod_ocr.errors import DataError
from horovod_ocr.scaling.link import NEIGHBOURS, Link, Links, fit_link, ring, star
from sharding.system.files import write_whole

VERSION = 2
# Ways whose steps without exchange are the same work; the others copy weights too. LOCAL_WORK does so once in
# `local_steps`, which hardly counts from MANY_STEPS on
SAME_WORK, LOCAL_WORK = ("allreduce", "allreduce-fp16", "torch-ddp"), ("weight-average", "diloco")
MANY_STEPS = 8
UNSTEADY = 0.35  # hosts that do nothing else show 0.1 to 0.2


@dataclass(frozen=True)
class Timeline:
    """When a rank's gradients are there, from the beginning of its step."""

    ready_s: tuple[float, ...]
    """Of each group that travels together, in the order of backward."""
    sizes: tuple[int, ...]
    """Bytes of each group."""

    @property
    def size(self) -> int:
        """Bytes of all gradients."""
        return sum(self.sizes)

    @property
    def computation_s(self) -> float:
        """Forward and backward: until the last gradient is there."""
        return max(self.ready_s, default=0.0)


@dataclass(frozen=True)
class WayFigures:
    """One way to exchange, as one job measured it."""

    own_s: float
    """Median of a step in which the rank exchanges nothing, while the others do the same."""
    step_s: float
    """Median of a step; of ranks that step alone, the mean over whole rounds of meetings."""
    steps: int
    """Measured, without those to warm up."""
    sent: tuple[float, ...] = ()
    """Bytes that each rank sends in a step."""
    received: tuple[float, ...] = ()
    """Bytes that each rank receives in a step."""


@dataclass(frozen=True)
class Job:
    """What one job has measured."""

    ranks: int
    """One for each slot."""
    samples: int
    """Of a rank in a step."""
    bare_s: dict[str, dict[int, float]]
    """Of `Way.collectives` -> bytes of gradients, in fp32 -> median seconds; empty for one rank."""
    call_s: dict[str, float]
    """fp32 for Horovod, or torch -> seconds until ranks agree on a collective; empty for one rank."""
    timeline: Timeline
    """Of rank 0."""
    ways: dict[str, WayFigures]
    """By the names of `ways.WAYS`."""
    powersgd_shares: tuple[float, float]
    """Of the bytes of all gradients, those that powersgd sums, and those of the bases that its root sends."""
    groups: int
    """Of parameters, as the optimizer has them."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Way -> why it was not measured."""

    def links(self) -> Links:
        """Fitted, in bytes of gradients in fp32. There must be two ranks or more."""
        shapes = {"star": star(self.ranks), "neighbours": NEIGHBOURS}
        return Links(
            {
                name: fit_link(seconds, shapes.get(name, ring(self.ranks)), self.call_s.get(name, self.call_s["fp32"]))
                for name, seconds in self.bare_s.items()
            }
        )

    @property
    def link(self) -> Link:
        """That of the plain allreduce."""
        return self.links().of("fp32")


@dataclass(frozen=True)
class Study:
    """Jobs of one model over one link."""

    name: str
    """Of the link, for people."""
    model: str
    """What is trained, for people."""
    parameters: int
    """That are trained."""
    device: str
    """cpu or cuda."""
    simulated_step_ms: float | None
    """The computation is asleep for so long; None: it computes."""
    local_steps: int
    """Of ways that step alone."""
    jobs: tuple[Job, ...]
    """By number of ranks, the largest last. Weak scaling: a rank's samples do not depend on the number of ranks."""
    strong: tuple[Job, ...] = ()
    """Strong scaling: the ranks share the samples of one."""
    hosts: str = ""
    """As -H takes them."""
    day: str = ""
    """On which it was measured, as 2026-11-29."""

    @property
    def all_jobs(self) -> list[tuple[str, Job]]:
        """(weak or strong, job)"""
        return [*(("weak", job) for job in self.jobs), *(("strong", job) for job in self.strong)]

    @property
    def last(self) -> Job:
        """The job with the most ranks; of weak scaling, if there is one."""
        return (self.jobs or self.strong)[-1]

    def same_work_s(self, job: Job) -> tuple[float, float]:
        """(shortest, longest) step without exchange, of ways and jobs in which it is the same work; (0, 0): of none.

        They are measured one after the other, so these differ if something else runs on the hosts now and then.
        """
        names = (*SAME_WORK, *(LOCAL_WORK if self.local_steps >= MANY_STEPS else ()))
        # one rank has the same samples with weak and with strong scaling
        others = [each for _, each in self.all_jobs if (each.ranks, each.samples) == (job.ranks, job.samples)]
        same = [way.own_s for each in (job, *others) for name, way in each.ways.items() if name in names]
        return min(same, default=0.0), max(same, default=0.0)

    def is_unsteady(self, job: Job) -> bool:
        """Whether the same work took times that differ too much for ways to be compared."""
        shortest, longest = self.same_work_s(job)
        return longest > (1 + UNSTEADY) * shortest

    def part_of(self, ranks: int) -> float:
        """Forward and backward of one of `ranks` ranks that share the samples of one rank, as a fraction of those of
        one rank.

        A fixed part does not depend on the number of samples. It is fitted to one rank and the most ranks that share,
        and is 0 where these were not measured.
        """
        fixed = 0.0
        alone = next((job for job in (*self.strong, *self.jobs) if job.ranks == 1), None)
        if alone and alone.timeline.computation_s and self.strong and self.strong[-1].ranks > 1:
            shared = self.strong[-1]
            ideal = 1 / shared.ranks
            fixed = (shared.timeline.computation_s / alone.timeline.computation_s - ideal) / (1 - ideal)
            fixed = min(1.0, max(0.0, fixed))
        return fixed + (1 - fixed) / ranks


def save_studies(studies: list[Study], more: Mapping[str, Any], path: Path) -> None:
    """Write scaling.json. more: other values to be read by machines, such as forecasts."""
    body = {"version": VERSION, "studies": [asdict(study) for study in studies], **more}
    write_whole(path, (json.dumps(body, indent=1) + "\n").encode())


def load_studies(path: Path) -> list[Study]:
    """Read what `save_studies` wrote. DataError if it is something else."""
    try:
        body = json.loads(path.read_text("utf-8"))
        if "studies" in body and body["version"] != VERSION:
            raise DataError(f"{path}: of another version of horovod-ocr; measure again")
        studies = [study_of(values) for values in body["studies"]]
        if not studies or not all(study.jobs or study.strong for study in studies):
            raise DataError(f"{path}: holds no study; measure again")
        return studies
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a file that horovod-ocr scaling has written") from error


def load_all(paths: Iterable[Path]) -> list[Study]:
    """The studies of several files. DataError if they are not of one model, or if two have the same name."""
    studies = [study for path in paths for study in load_studies(path)]
    if len({(each.model, each.parameters, each.device, each.simulated_step_ms) for each in studies}) > 1:
        raise DataError("these files are of different models or devices; draw those of one")
    names = [study.name for study in studies]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"two studies are called {twice[0]!r}; measure one again with another --name")
    return studies


def study_of(values: dict[str, Any]) -> Study:
    jobs, strong = (tuple(job_of(job) for job in values[name]) for name in ("jobs", "strong"))
    return Study(**{**values, "jobs": jobs, "strong": strong})


def job_of(values: dict[str, Any]) -> Job:
    """A job as JSON has it: keys are texts there."""
    ways = {
        name: WayFigures(**{**way, "sent": tuple(way["sent"]), "received": tuple(way["received"])})
        for name, way in values["ways"].items()
    }
    timeline = Timeline(*(tuple(values["timeline"][name]) for name in ("ready_s", "sizes")))
    seconds = {name: {int(size): time_s for size, time_s in times.items()} for name, times in values["bare_s"].items()}
    shares = tuple(values["powersgd_shares"])
    return Job(**{**values, "bare_s": seconds, "timeline": timeline, "ways": ways, "powersgd_shares": shares})
