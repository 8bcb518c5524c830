"""The commands around several hosts."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.console import console
from horovod_ocr.errors import ClusterError, ShardError

HOSTS_FILE = Path("hosts.txt")
Hosts = Annotated[
    str | None,
    typer.Option("-H", "--hosts", help="hosts.txt, or node1:1,node2:4.  [default: hosts.txt, or this machine]"),
]
output = Console(soft_wrap=True)


def doctor(
    hosts: Hosts = None,
    shards: Annotated[str | None, typer.Option(help="Where the shards are, as in train.  [default: shards]")] = None,
    runs: Annotated[str | None, typer.Option(metavar="FOLDER", help="As in train.  [default: runs]")] = None,
    device: Annotated[str | None, typer.Option(metavar="auto|cpu|cuda", help="As in train.  [default: auto]")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Load neither torch nor Horovod, and let no ranks meet.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Say whether these hosts can train together, and how to mend what is wrong. Ends with 4 where they cannot."""
    with one_sentence():
        from horovod_ocr.config.settings import default_recipe, load_config
        from horovod_ocr.launch.hosts.doctor import examine
        from horovod_ocr.reports.doctor import draw_doctor

        given = {"shards": shards, "runs": runs, "device": device}
        given = {name: value for name, value in given.items() if value is not None}
        try:
            recipe = default_recipe(shards or "")
        except ShardError:
            recipe = ""  # the report says that there are no shards
        report = examine(hosts_given(hosts), load_config(recipe, given), quick, tell)
        if as_json:
            print(json.dumps({"can_start": report.can_start} | asdict(report), ensure_ascii=False))
        else:
            output.print(draw_doctor(report, output.width))
        if not report.can_start:
            unfit = [host for host in report.hosts if host not in report.fit_hosts]
            raise ClusterError(f"training could not start on {', '.join(unfit)}; mend what fails, or leave it out")


def hosts_given(text: str | None, slots: int = 1):
    """The hosts of a file or of `node1:1,node2:4`; by default of hosts.txt in the working folder, or this machine, with
    so many slots. ConfigError as there."""
    from horovod_ocr.launch.hosts.hosts_file import Host, parse_hosts, read_hosts

    if text is None and not HOSTS_FILE.exists():
        return (Host("localhost", slots=slots),)
    # a list may be longer than a file's name: os.path says no to that, where Path raises
    if text is None or os.path.isfile(text) or not set(",:@") & set(text):
        return read_hosts(Path(text or HOSTS_FILE))
    return parse_hosts(text.replace(",", "\n"), "-H")


def tell(sentence: str) -> None:
    """A remark while a command runs."""
    console.print(sentence, markup=False, highlight=False)
