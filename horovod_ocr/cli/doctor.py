"""horovod-ocr doctor"""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import Device, Hosts, NetworkInterfaces, TrainedShards, hosts_given, interfaces_option
from horovod_ocr.cli.sentence import one_sentence, tell
from horovod_ocr.errors import ClusterError

output = Console(soft_wrap=True)


def doctor(
    hosts: Hosts = None,
    shards: TrainedShards = None,
    runs: Annotated[str | None, typer.Option(metavar="FOLDER", help="As in train.  [default: runs]")] = None,
    device: Device = None,
    network_interfaces: NetworkInterfaces = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Load neither torch nor Horovod, and let no ranks meet.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Say whether these hosts can train together, and how to repair what is wrong. Ends with 4 if they cannot."""
    with one_sentence():
        from horovod_ocr.launch.hosts.doctor import examine
        from horovod_ocr.reports.doctor import draw_doctor
        from horovod_ocr.tasks.recipe import new_config

        given = {"shards": shards, "runs": runs, "device": device}
        given = {name: value for name, value in given.items() if value is not None}
        config = new_config(None, given, needs_shards=False)  # the report says if there are none
        report = examine(hosts_given(hosts), config, quick, tell, interfaces_option(network_interfaces))
        if as_json:
            print(json.dumps({"can_start": report.can_start} | asdict(report), ensure_ascii=False))
        else:
            output.print(draw_doctor(report, output.width))
        if not report.can_start:
            unfit = [host for host in report.hosts if host not in report.fit_hosts]
            raise ClusterError(f"training could not start on {', '.join(unfit)}; repair what fails, or leave it out")
