"""horovod-ocr scaling"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from horovod_ocr.cli.options import AsJson, Hosts, NetworkInterfaces, hosts_given, interfaces_option, takes_settings
from horovod_ocr.cli.sentence import one_sentence, tell
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.errors import ConfigError
from horovod_ocr.reports.terminal import draw_sections

if TYPE_CHECKING:
    from horovod_ocr.launch.hosts.hosts_file import Host
    from horovod_ocr.scaling.request import Request

output = Console(soft_wrap=True)
MOST_PARAMETERS = 10_000_000_000
Advise = Annotated[
    bool, typer.Option("--advise", help="In two minutes: what to use on these hosts, what it gains, how sure.")
]
Ranks = Annotated[
    str | None, typer.Option(metavar="N,N", help="Numbers of ranks.  [default: 1, 2, 4 ... and all slots]")
]
Ways = Annotated[
    str | None,
    typer.Option(metavar="NAME,NAME", help="Ways to exchange.  [default: all but torch-ddp and data-parallel]"),
]
Only = Annotated[
    str | None,
    typer.Option(
        metavar="weak|strong", help="weak: a rank keeps its samples; strong: ranks share them.  [default: both]"
    ),
]
Asleep = Annotated[
    float | None, typer.Option(metavar="MS", min=0.0, help="Sleep for the step of a rank instead of computing.")
]
Parameters = Annotated[int, typer.Option(metavar="N", min=1, max=MOST_PARAMETERS, help="Of the model that sleeps.")]
Seconds = Annotated[float, typer.Option(metavar="S", min=0.1, help="For each way and number of ranks, about.")]
LinkName = Annotated[str, typer.Option(metavar="TEXT", help="What people call this link.")]
Draw = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Measure nothing; draw these scaling.json on one page."),
]
ScoredRuns = Annotated[
    list[Path] | None,
    typer.Option(metavar="RUN", help="Folder of a run that was trained in one of the ways: its scores are drawn."),
]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="For scaling.json and scaling.html.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of train, except exchange, compression, engine, sync_batchnorm and accumulate.",
    ),
]


@takes_settings(TrainConfig, "shards", "recipe", "global_batch", "local_steps", "device")
def scaling(
    given: dict[str, Any],
    hosts: Hosts = None,
    network_interfaces: NetworkInterfaces = None,
    advise: Advise = False,
    ranks: Ranks = None,
    ways: Ways = None,
    only: Only = None,
    simulate_step_ms: Asleep = None,
    parameters: Parameters = 10_000_000,
    seconds: Seconds = 8.0,
    name: LinkName = "this link",
    draw: Draw = None,
    scores: ScoredRuns = None,
    out: Out = Path("scaling"),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a step costs on 1, 2, 4 ... ranks in every way to exchange, and forecast it for other links."""
    with one_sentence():
        from horovod_ocr.config.sources import with_settings
        from horovod_ocr.reports.scaling import write_scaling
        from horovod_ocr.scaling.figures import load_all
        from horovod_ocr.scaling.measure import axes_of, measure
        from horovod_ocr.scaling.request import not_measured, request_of
        from horovod_ocr.scaling.scores import read_curves
        from horovod_ocr.scaling.ways import ways_named
        from horovod_ocr.tasks.recipe import new_config

        measuring = {"--ranks": ranks, "--ways": ways, "--only": only}
        if draw:
            typed_too = {f"--{each.replace('_', '-')}": True for each in given}
            not_drawn = {"--advise": advise, "--simulate-step-ms": simulate_step_ms, "-H": hosts, "--set": settings}
            refuse("--draw", {**not_drawn, **measuring, **typed_too})
        if advise:
            refuse("--advise", {"--scores": scores, **measuring})
        curves = read_curves(scores or [])
        if draw:
            studies = load_all(draw)
        else:
            where, named = hosts_given(hosts), ways_named(ways)
            typed, given = spell_options(given, settings or []), with_settings(given, settings or [])
            recipe = given.pop("recipe", None)
            config = new_config(recipe, given, needs_shards=simulate_step_ms is None)
            for setting in not_measured(config):
                tell(f"{setting} of the recipe is not part of a measured step")
            request = request_of(config, given, named, seconds)
            if simulate_step_ms is not None:
                request = replace(request, step_ms=simulate_step_ms, parameters=parameters)
            launcher = interfaces_option(network_interfaces)
            if advise:
                give_advice(where, request, name, hosts, config, typed, as_json, launcher)
                return
            studies = [measure(name, where, request, axes_of(ranks, only, where), tell, launcher)]
        sections = write_scaling(studies, curves, out)
        if as_json:
            print((out / "scaling.json").read_text("utf-8"), end="")
        else:
            output.print(draw_sections(sections))
            tell(f"{out / 'scaling.html'}, {out / 'scaling.json'}")


def refuse(option: str, others: dict[str, object]) -> None:
    """ConfigError if any of the others is given beside an option with which it means nothing."""
    if given := [name for name, value in others.items() if value]:
        raise ConfigError(f"{option} does not go with {', '.join(given)}; leave one of them out")


def spell_options(given: dict[str, Any], settings: list[str]) -> str:
    """The options that were typed, as a shell and train take them. given, settings: see `scaling`."""
    words = [f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in given.items()]
    return " ".join([*words, *(f"--set {quote(setting)}" for setting in settings)])


def give_advice(
    hosts: "tuple[Host, ...]",
    request: "Request",
    name: str,
    typed: str | None,
    config: TrainConfig,
    options: str,
    as_json: bool,
    launcher: Sequence[str],
) -> None:
    """typed: hosts as a person gave them. options: of train. launcher: of horovodrun."""
    from horovod_ocr.launch.hosts.hosts_file import spell_hosts
    from horovod_ocr.scaling.advice import MEASURED, advise, sentences
    from horovod_ocr.scaling.measure import measure_for_advice, whole_hosts

    study = measure_for_advice(name, hosts, replace(request, ways=MEASURED), tell, launcher)
    advice = advise(study, whole_hosts(hosts))
    text = sentences(study, advice, config, typed or spell_hosts(hosts), options, launcher)
    if as_json:
        print(json.dumps({"sentences": text, "advice": asdict(advice), "study": asdict(study)}))
    else:
        print("\n".join(text))
