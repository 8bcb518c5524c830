"""horovod-ocr launch"""

from typing import TYPE_CHECKING, Annotated

import typer

from horovod_ocr.cli.options import Hosts, NetworkInterfaces, hosts_given, interfaces_option
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.cli.train import train

if TYPE_CHECKING:
    from horovod_ocr.launch.supervise.begin import TrainOptions

# what is not ours is the trainer's
TAKES_MORE = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "options_metavar": "[OPTIONS] [OPTIONS OF TRAIN]",
}


def launch(
    context: typer.Context,
    np: Annotated[int | None, typer.Option("-np", metavar="RANKS", min=1, help="Ranks.  [default: all slots]")] = None,
    hosts: Hosts = None,
    min_np: Annotated[
        int, typer.Option(metavar="RANKS", help="Continue with fewer ranks while hosts are away, down to this.")
    ] = 1,
    max_restarts: Annotated[int, typer.Option(metavar="N", min=0, help="Give up after this many restarts.")] = 20,
    standby: Annotated[
        bool,
        typer.Option("--standby", help="Keep a second set of ranks ready, for faster restarts; it takes memory."),
    ] = False,
    network_interfaces: NetworkInterfaces = None,
    cycle_time_ms: Annotated[str | None, typer.Option(metavar="MS", help="As in horovodrun.")] = None,
    fusion_threshold_mb: Annotated[str | None, typer.Option(metavar="MB", help="As in horovodrun.")] = None,
    timeline_filename: Annotated[
        str | None, typer.Option(metavar="FILE", help="As in horovodrun; each start overwrites the file.")
    ] = None,
    autotune: Annotated[bool, typer.Option("--autotune", help="As in horovodrun.")] = False,
) -> None:
    """Train under horovodrun, and start it again from the last checkpoint when a rank or a host is lost.

    Every other option is one of `train`. The same command again continues the run.
    """
    with one_sentence():
        from horovod_ocr.launch.supervise.begin import launch as launch_run

        launcher = ["--autotune"] * autotune + interfaces_option(network_interfaces)
        for name, value in (
            ("--cycle-time-ms", cycle_time_ms),
            ("--fusion-threshold-mb", fusion_threshold_mb),
            ("--timeline-filename", timeline_filename),
        ):
            launcher += [name, value] if value is not None else []
        where = hosts_given(hosts, np or 1)
        np = np or sum(host.slots for host in where)
        raise typer.Exit(launch_run(where, np, min_np, max_restarts, standby, launcher, train_options(context.args)))


def train_options(words: list[str]) -> "TrainOptions":
    """What the trainer's own parser makes of its options: a wrong one is reported now, once, not by every rank."""
    from horovod_ocr.config.sources import with_settings
    from horovod_ocr.launch.supervise.begin import TrainOptions

    app = typer.Typer(add_completion=False)
    app.command("train")(train)
    with typer.main.get_command(app).make_context("horovod-ocr launch", list(words)) as context:
        typed = {name: value for name, value in context.params.items() if value is not None}
    assignments = typed.pop("settings", [])
    given = with_settings(typed, assignments)
    recipe, resumes = given.pop("recipe", None), given.pop("resume", False)
    return TrainOptions([word for word in words if word != "--resume"], given, recipe, resumes)
