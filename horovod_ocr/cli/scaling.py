"""horovod-ocr scaling"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from horovod_ocr.cli.options import AsJson, Hosts, hosts_given, takes_settings
from horovod_ocr.cli.sentence import one_sentence, tell
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ConfigError

if TYPE_CHECKING:
    from horovod_ocr.launch.hosts.hosts_file import Host
    from horovod_ocr.scaling.figures import Study
    from horovod_ocr.scaling.request import Request

MOST_PARAMETERS = 10_000_000_000


@takes_settings(TrainConfig, "shards", "recipe", "global_batch", "local_steps", "device")
def scaling(
    given: dict[str, Any],
    hosts: Hosts = None,
    advise: Annotated[
        bool, typer.Option("--advise", help="In two minutes: what to use on these hosts, what it gains, how sure.")
    ] = False,
    ranks: Annotated[
        str | None, typer.Option(metavar="N,N", help="Numbers of ranks.  [default: 1, 2, 4 ... and all slots]")
    ] = None,
    ways: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME", help="Ways to exchange.  [default: all but torch-ddp and data-parallel]"),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="weak|strong", help="weak: a rank keeps its samples; strong: ranks share them.  [default: both]"
        ),
    ] = None,
    simulate_step_ms: Annotated[
        float | None,
        typer.Option(metavar="MS", min=0.0, help="Sleep for the step of a rank instead of computing."),
    ] = None,
    parameters: Annotated[
        int, typer.Option(metavar="N", min=1, max=MOST_PARAMETERS, help="Of the model that sleeps.")
    ] = 10_000_000,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="For each way and number of ranks, about.")
    ] = 8.0,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What people call this link.")] = "this link",
    draw: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Measure nothing; draw these scaling.json, one after the other, on one page."
        ),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="Folder of a run that was trained in one of the ways: its scores are drawn."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="For scaling.json and scaling.html.")] = Path("scaling"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting of train; may be given several times."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a step costs on 1, 2, 4 ... ranks in every way to exchange, and forecast it for other links."""
    with one_sentence():
        from horovod_ocr.config.sources import with_settings
        from horovod_ocr.scaling.figures import load_studies

        if draw:
            studies = [study for path in draw for study in load_studies(path)]
        else:
            where = hosts_given(hosts)
            request = request_of(with_settings(given, settings or []), simulate_step_ms, parameters, seconds, advise)
            if advise:
                give_advice(where, request, name, hosts, as_json)
                return
            studies = [measured(where, request, name, ranks, ways, only)]
        write_results(studies, scores or [], out, as_json)


def request_of(
    given: dict[str, Any], simulate_step_ms: float | None, parameters: int, seconds: float, is_quick: bool
) -> "Request":
    """Of one rank with the whole batch."""
    from horovod_ocr.scaling.advice import MEASURED
    from horovod_ocr.scaling.request import Request
    from horovod_ocr.scaling.ways import USUAL
    from horovod_ocr.tasks.recipe import new_config

    typed = {name: value for name, value in given.items() if name != "recipe"}
    config = new_config(given.get("recipe"), typed, needs_shards=simulate_step_ms is None)
    return Request(
        ways=MEASURED if is_quick else USUAL,
        samples=config.plan.global_batch,
        local_steps=config.exchange.local_steps,
        seconds=seconds,
        device=config.ranks.device,
        step_ms=simulate_step_ms,
        parameters=parameters,
        recipe=config.recipe,
        settings=typed,
    )


def measured(
    hosts: "tuple[Host, ...]", request: "Request", name: str, ranks: str | None, ways: str | None, only: str | None
) -> "Study":
    from horovod_ocr.launch.hosts.hosts_file import ranks_of
    from horovod_ocr.scaling.measure import Axes, measure, usual_ranks
    from horovod_ocr.scaling.ways import ways_named

    if only not in (None, "weak", "strong"):
        raise ConfigError(f"--only {only}: there are weak and strong")
    if ways is not None:
        request = replace(request, ways=ways_named(ways.split(",")))
    numbers = usual_ranks(ranks_of(hosts)) if ranks is None else numbers_in(ranks)
    return measure(name, hosts, request, Axes(numbers, weak=only != "strong", strong=only != "weak"), tell)


def numbers_in(text: str) -> tuple[int, ...]:
    """ConfigError for what are not numbers of ranks."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise ConfigError(f"--ranks {text}: write numbers of ranks, such as 1,2,4")
    return tuple(sorted({int(part) for part in parts}))


def give_advice(hosts: "tuple[Host, ...]", request: "Request", name: str, typed: str | None, as_json: bool) -> None:
    from horovod_ocr.launch.hosts.hosts_file import ranks_of, spell_hosts
    from horovod_ocr.scaling.advice import advise, sentences
    from horovod_ocr.scaling.measure import Axes, measure

    ranks = ranks_of(hosts)
    if ranks < 2:
        raise ConfigError("an advice needs two ranks or more; give -H with all hosts that may train")
    study = measure(name, hosts, request, Axes((ranks,), weak=False), tell)
    advice = advise(study)
    text = sentences(study, advice, request.samples, typed or spell_hosts(hosts))
    if as_json:
        print(json.dumps({"sentences": text, "advice": asdict(advice), "study": asdict(study)}))
    else:
        print("\n".join(text))


def write_results(studies: "list[Study]", runs: list[Path], out: Path, as_json: bool) -> None:
    from horovod_ocr.reports.page import write_page
    from horovod_ocr.reports.scaling import scaling_sections
    from horovod_ocr.scaling.figures import save_studies
    from horovod_ocr.scaling.forecast import check_forecasts
    from horovod_ocr.scaling.scores import read_curves

    curves = read_curves(runs)
    more = {
        "forecasts": [miss._asdict() | {"error": miss.error} for miss in check_forecasts(studies)],
        "scores": [asdict(curve) for curve in curves],
    }
    sections = scaling_sections(studies, curves)
    out.mkdir(parents=True, exist_ok=True)
    save_studies(studies, more, out / "scaling.json")
    write_page("Scaling", sections, out / "scaling.html")
    if as_json:
        print((out / "scaling.json").read_text("utf-8"), end="")
    else:
        from rich.console import Console

        from horovod_ocr.reports.terminal import draw_sections

        Console(soft_wrap=True).print(draw_sections(sections))
        tell(f"{out / 'scaling.html'}, {out / 'scaling.json'}")
