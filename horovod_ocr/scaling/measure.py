"""Measures a study: a job of the probe for each number of ranks."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

from horovod_ocr.console import span
from horovod_ocr.errors import ClusterError, ConfigError
from horovod_ocr.launch.hosts.ask_ranks import ask_ranks
from horovod_ocr.launch.hosts.horovodrun import START_TIMEOUT_S
from horovod_ocr.launch.hosts.hosts_file import Host, ranks_of, spell_hosts
from horovod_ocr.launch.hosts.ssh import Ssh
from horovod_ocr.scaling.figures import Study, job_of
from horovod_ocr.scaling.request import Request

PROBE = "horovod_ocr.scaling.probe"
STARTS_S = 15.0  # of a job, about, until its ranks measure
TAKES = 2.0  # times `Request.seconds`, about, for each way
BESIDE_S = 60.0  # of a job, beside its ways: imports, connections, bare collectives


@dataclass(frozen=True)
class Axes:
    """Which jobs a study has."""

    ranks: tuple[int, ...]
    """Numbers of ranks, rising."""
    weak: bool = True
    """Whether a rank keeps its samples, however many ranks there are."""
    strong: bool = True
    """Whether the ranks share the samples of one."""
    plain: tuple[int, ...] = ()
    """Of these numbers of ranks, allreduce alone is measured; they are left out if that fails, as where the whole batch
    does not fit one device."""


def measure(
    name: str,
    hosts: Sequence[Host],
    request: Request,
    axes: Axes,
    tell: Callable[[str], None] = lambda sentence: None,
    launcher: Sequence[str] = (),
) -> Study:
    """Measure every job. request: of one rank. tell: called with a sentence before each job. launcher: options of
    horovodrun.

    Raises ConfigError for numbers of ranks that the hosts do not have, ClusterError if ranks do not answer.
    """
    if axes.ranks[-1] > ranks_of(hosts):
        raise ConfigError(f"{axes.ranks[-1]} ranks, but the hosts have {ranks_of(hosts)} slots in all")
    with tempfile.TemporaryDirectory(prefix="horovod-ocr-") as folder:
        ssh = Ssh(tuple(hosts), Path(folder))

        def ask(ranks: int, asked: Request, what: str) -> dict[str, Any]:
            about_s = STARTS_S + TAKES * asked.seconds * len(asked.ways)
            tell(f"{what}: {ranks} rank{'s' * (ranks > 1)}, {', '.join(asked.ways)}: up to about {span(about_s)}")
            timeout_s = START_TIMEOUT_S + BESIDE_S + 8 * asked.seconds * (len(asked.ways) + 1)
            answer = ask_ranks(ssh, take_slots(hosts, ranks), PROBE, asked.to_json(), timeout_s, launcher)
            assert isinstance(answer, dict)
            return answer

        shared = {ranks: request.shared_by(ranks) for ranks in axes.ranks} if axes.strong else {}
        weak = [ask(ranks, request, name) for ranks in axes.ranks] if axes.weak else []
        shares = []
        for ranks, of_rank in shared.items():
            asked = replace(of_rank, ways=("allreduce",)) if ranks in axes.plain else of_rank
            try:
                shares.append(ask(ranks, asked, f"{name}, strong scaling"))
            except ClusterError as error:
                if ranks not in axes.plain:
                    raise
                tell(f"left out: {error}")
    first = (weak or shares)[0]
    about = {key: first[key] for key in ("model", "parameters", "device")}
    jobs, strong = (tuple(job_of(answer["job"]) for answer in answers) for answers in (weak, shares))
    return Study(
        name,
        **about,
        simulated_step_ms=request.step_ms,
        local_steps=request.local_steps,
        jobs=jobs,
        strong=strong,
        hosts=spell_hosts(take_slots(hosts, axes.ranks[-1])),
        day=date.today().isoformat(),
    )


def measure_for_advice(
    name: str,
    hosts: Sequence[Host],
    request: Request,
    tell: Callable[[str], None] = lambda sentence: None,
    launcher: Sequence[str] = (),
) -> Study:
    """The jobs that `advice.advise` needs: one rank, those of the first host, and all, which share the batch.
    ConfigError for fewer than two slots."""
    ranks = ranks_of(hosts)
    if ranks < 2:
        raise ConfigError("advice needs two ranks or more; name all hosts that may train with -H")
    fewer = {1, hosts[0].slots} - {ranks}
    axes = Axes((*sorted(fewer), ranks), weak=False, plain=tuple(fewer))
    return measure(name, hosts, request, axes, tell, launcher)


def axes_of(ranks: str | None, only: str | None, hosts: Sequence[Host]) -> Axes:
    """ranks: as typed, 1,2,4. only: weak or strong; None: both. ConfigError for anything else."""
    if only not in (None, "weak", "strong"):
        raise ConfigError(f"--only {only}: there are weak and strong")
    if ranks is None:
        numbers = usual_ranks(ranks_of(hosts))
    else:
        parts = [part.strip() for part in ranks.split(",")]
        if not all(part.isdecimal() and int(part) >= 1 for part in parts):
            raise ConfigError(f"--ranks {ranks}: write numbers of ranks, such as 1,2,4")
        numbers = tuple(sorted({int(part) for part in parts}))
    return Axes(numbers, weak=only != "strong", strong=only != "weak")


def take_slots(hosts: Sequence[Host], ranks: int) -> list[Host]:
    """Hosts with `ranks` slots in all: the first slots of hosts.txt, as horovodrun takes them."""
    taken: list[Host] = []
    for host in hosts:
        slots = min(host.slots, ranks - ranks_of(taken))
        if slots:
            taken.append(replace(host, slots=slots))
    return taken


def whole_hosts(hosts: Sequence[Host]) -> tuple[int, ...]:
    """The numbers of ranks that fill the first hosts and meet over the same link as all ranks: on two hosts or more,
    or on any part of a single host. Ranks of the first of several hosts meet over another link."""
    if len(hosts) == 1:
        return tuple(range(2, hosts[0].slots + 1))
    return tuple(accumulate(host.slots for host in hosts))[1:]


def usual_ranks(slots: int) -> tuple[int, ...]:
    """1, 2, 4, ... and all slots."""
    doubled = [1 << power for power in range(slots.bit_length())]
    return tuple(sorted({*(ranks for ranks in doubled if ranks <= slots), slots}))
