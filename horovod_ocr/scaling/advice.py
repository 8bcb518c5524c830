"""What to use on this link, in three sentences. Arithmetic alone; no torch."""

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from shlex import quote

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import DataError
from horovod_ocr.scaling.figures import Job, Study
from horovod_ocr.scaling.forecast import FAR_OFF, Work, check_forecasts, forecast_s, work_of
from horovod_ocr.scaling.ways import USUAL, WAYS

MEASURED = ("allreduce", "allreduce-fp16", "sharded-server", "powersgd")
"""What is measured for advice: the others follow from these and the link, or are never the fastest."""
# Samples to the same score, as a multiple of allreduce's, for ways that give other weights. Those of the word demo
# (docs/scaling.md); they depend on model, data and local steps
SAMPLES_TO_SCORE = {"weight-average": 1.2, "diloco": 1.7, "powersgd": 1.2}
CLOSE = 0.05  # a way must gain more than this to be advised instead of a simpler one
MUCH_WAITING, LITTLE_WAITING = 0.35, 0.2  # shares of a step
MOST_ACCUMULATED = 16
TOO_MUCH = 1.3  # times as fast as one rank for each rank: something else ran while one rank was measured


@dataclass(frozen=True)
class Option:
    """A way, and a number of ranks."""

    way: str
    """By the names of WAYS."""
    ranks: int
    """That share the global batch."""
    step_s: float
    """For the global batch."""
    is_measured: bool
    """Otherwise it is a forecast."""

    @property
    def cost_s(self) -> float:
        """Time of as many steps as bring it as far as one of allreduce does."""
        return self.step_s * SAMPLES_TO_SCORE.get(self.way, 1.0)


@dataclass(frozen=True)
class Advice:
    """What to use, and why."""

    chosen: Option
    """The one to use."""
    options: tuple[Option, ...]
    """All; of one rank there is allreduce, which exchanges nothing there."""
    accumulate: int
    """The factor by which a larger global batch would be worth a try; 1: it is large enough."""
    waiting: float
    """Share of a step that a rank of `chosen` waits."""
    waiting_then: float
    """With the larger batch."""
    error: float
    """Largest error of the forecasts that could be checked here, as a fraction."""

    def of(self, way: str, ranks: int) -> Option:
        return next(each for each in self.options if (each.way, each.ranks) == (way, ranks))


def advise(study: Study, counts: Collection[int]) -> Advice:
    """study: of `measure.measure_for_advice`. counts: numbers of ranks that are forecast, from the job of all ranks;
    see `measure.whole_hosts`. DataError if there are fewer than two ranks."""
    *fewer, job = study.strong
    if job.ranks < 2:
        raise DataError("advice needs two ranks or more; name all hosts with -H")
    options = [Option(name, each.ranks, way.step_s, True) for each in fewer for name, way in each.ways.items()]
    for ranks in sorted({1, *counts, job.ranks} - {each.ranks for each in fewer}):
        for name in USUAL if ranks > 1 else ("allreduce",):
            work = shared_work(study, job, name, ranks)
            figures = job.ways.get(name) if ranks == job.ranks else None
            step_s = figures.step_s if figures else forecast_s(WAYS[name], work, job.links(), ranks)
            options.append(Option(name, ranks, step_s, figures is not None))
    chosen = choose(options)
    its_job = next((each for each in fewer if each.ranks == chosen.ranks), job)
    work = shared_work(study, its_job, chosen.way, chosen.ranks)
    larger, waiting_then = accumulation(chosen, work, its_job)
    error = max(abs(miss.error) for miss in check_forecasts([study]))
    return Advice(chosen, tuple(options), larger, 1 - work.own_s / chosen.step_s, waiting_then, error)


def shared_work(study: Study, job: Job, name: str, ranks: int) -> Work:
    """Of one of `ranks` ranks that share the batch. job: that knows the link."""
    return work_of(job, name, study.local_steps).computing(study.part_of(ranks) / study.part_of(job.ranks))


def choose(options: list[Option]) -> Option:
    """The cheapest; of those that cost hardly more, the earliest in WAYS, and then the one with the fewest ranks."""
    order = list(WAYS)
    cheapest = min(option.cost_s for option in options)
    close = [option for option in options if option.cost_s <= (1 + CLOSE) * cheapest]
    return min(close, key=lambda option: (order.index(option.way), option.ranks))


def accumulation(chosen: Option, work: Work, job: Job) -> tuple[int, float]:
    """(how many times larger the batch should be, share of a step that a rank would wait)."""
    waiting = 1 - work.own_s / chosen.step_s
    if waiting <= MUCH_WAITING or WAYS[chosen.way].is_local:
        return 1, waiting
    factor = 1
    while waiting > LITTLE_WAITING and factor < MOST_ACCUMULATED:
        factor *= 2
        larger = work.accumulated(factor)
        waiting = 1 - larger.own_s / forecast_s(WAYS[chosen.way], larger, job.links(), chosen.ranks)
    return factor, waiting


def sentences(
    study: Study,
    advice: Advice,
    config: TrainConfig,
    hosts: str,
    options: str = "",
    launcher: Sequence[str] = (),
) -> list[str]:
    """Three: what to use, what it gains, how sure that is. config: of the training. hosts: as -H takes them. options:
    of train, as given. launcher: options of horovodrun."""
    started = " ".join(["-H", *map(quote, (hosts, *launcher))])
    return [
        what_to_use(advice, config, started, f"horovod-ocr train {options}".rstrip()),
        what_it_gains(study, advice),
        how_sure(study, advice),
    ]


def what_to_use(advice: Advice, config: TrainConfig, started: str, train: str) -> str:
    """started: options of horovodrun. train: the command of a rank, as given."""
    chosen = advice.chosen
    if chosen.ranks == 1:
        return f"Use one rank, since more of them gain little or nothing here: {train}"
    way, larger, global_batch = WAYS[chosen.way], "", config.plan.global_batch
    command = f"horovodrun -np {chosen.ranks} {started} {train} {way.options(config)}".rstrip()
    if advice.accumulate > 1:
        larger = (
            f" (ranks wait for {advice.waiting:.0%} of a step; --global-batch {global_batch * advice.accumulate} "
            f"--accumulate {advice.accumulate} would lower that to {advice.waiting_then:.0%}, if the score allows it)"
        )
    wire = "fp16" if way.compression == "fp16" else "fp32"
    batch = f"with the global batch of {global_batch}"
    return f"Use {chosen.way} ({wire} on the wire) on {chosen.ranks} ranks {batch}{larger}: {command}"


def what_it_gains(study: Study, advice: Advice) -> str:
    chosen, alone = advice.chosen, advice.of("allreduce", 1)
    others = [each for each in advice.options if each != chosen and each.ranks > 1]
    best, worst = min(others, key=cost_of), max(others, key=cost_of)
    gain, one_rank = "", ""
    if chosen.ranks > 1:
        gain = f", and the same score is reached {alone.cost_s / chosen.cost_s:.1f} times as fast as on one rank"
        one_rank = f"; one rank takes {ms(alone.step_s)}"
    return (
        f"A step of this batch takes {ms(chosen.step_s)}{gain}{one_rank}; the best of the others is {best.way} on "
        f"{best.ranks} ranks ({cost_text(best)}), the slowest {worst.way} on {worst.ranks} ({cost_text(worst)})."
    )


def cost_of(option: Option) -> float:
    return option.cost_s


def cost_text(option: Option) -> str:
    """The step, and what it counts for."""
    factor = SAMPLES_TO_SCORE.get(option.way, 1.0)
    return ms(option.step_s) + (f" for {factor:g} times the samples" if factor > 1 else "")


def how_sure(study: Study, advice: Advice) -> str:
    job, chosen = study.strong[-1], advice.chosen
    misses = [abs(miss.error) for miss in check_forecasts([study])]
    forecast_only = [name for name in USUAL if name not in job.ways]
    base = "is a forecast"
    if chosen.is_measured:
        its_job = next(each for each in study.strong if each.ranks == chosen.ranks)
        base = f"was measured over {its_job.ways[chosen.way].steps} steps"
    rival = min((each for each in advice.options if each != chosen), key=cost_of)
    rivals = [each for each in advice.options if each.cost_s < (1 + advice.error) * chosen.cost_s]
    unsure = 0.0 if all(each.is_measured for each in (chosen, *rivals)) else advice.error
    its_name = "one rank" if rival.ranks == 1 else f"{rival.way} on {rival.ranks} ranks"
    close = f"; {its_name} is too close to call" if rival.cost_s / chosen.cost_s - 1 < max(CLOSE, unsure) else ""
    doubts = []
    alone = advice.of("allreduce", 1)
    gains_too_much = alone.step_s > TOO_MUCH * chosen.ranks * chosen.step_s
    if gains_too_much or any(map(study.is_unsteady, study.strong)):
        doubts.append("the same work took very different times, so measure again while the hosts are idle")
    if unsure > FAR_OFF:
        doubts.append("forecasts are far off here")
    verdict = f"not very, since {' and '.join(doubts)}; " if doubts else ""
    return (
        f"How sure: {verdict}this step {base}; the link has {job.link.gigabits:,.3g} Gbit/s and "
        f"{1e3 * job.link.alpha_s:,.2g} ms, and forecasts are off by "
        f"{statistics.median(misses):.0%} (median) and at most {advice.error:.0%}{close}; "
        f"forecast only: {', '.join(forecast_only) or 'nothing'}."
    )


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f} ms"
