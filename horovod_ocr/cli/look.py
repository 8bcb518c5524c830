"""The look at raw images before anything is packed."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.progress import shard_progress

SHOWN_EXAMPLES = 3  # of each reason, on the terminal; the page has more
output = Console(soft_wrap=True)


def audit(
    src: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of raw images and labels; may be repeated.  [default: raw]"),
    ] = None,
    layout: Annotated[str | None, typer.Option(help="How labels are given.  [default: found by itself]")] = None,
    label_from_name: Annotated[
        str | None, typer.Option(metavar="REGEX", help="The label is what it finds in a file's name.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Script: urdu, thai, latin, plain.  [default: by the labels' letters]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Decides split and order.  [default: 0]")] = None,
    check: Annotated[str | None, typer.Option(help="full, structure or header.  [default: full]")] = None,
    split: Annotated[str | None, typer.Option(help="By label or by file.  [default: as given, else by label]")] = None,
    group_from: Annotated[
        str | None, typer.Option(metavar="REGEX", help="What it finds in a path (page, writer) decides the split.")
    ] = None,
    max_label: Annotated[int | None, typer.Option(help="Refuse labels of more letters.  [default: no limit]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.  [default: all cores]")] = None,
    sample: Annotated[int | None, typer.Option(help="Look at about so many images only.  [default: all]")] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("audit.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as one JSON object.")] = False,
) -> None:
    """Look at raw images before anything is packed: what would be refused and why, letters, sizes, copies."""
    with one_sentence():
        from horovod_ocr.reports.audit import audit_sections, audit_values, verdict, write_page
        from horovod_ocr.reports.terminal import draw_sections
        from sharding.audit import audit_source

        given = {
            "layout": layout, "label_from_name": label_from_name, "profile": profile, "seed": seed, "check": check,
            "split": split, "group_from": group_from, "max_label": max_label, "workers": workers,
        }  # fmt: skip
        given = {name: value for name, value in given.items() if value is not None}
        options = options_of(src, given)
        with shard_progress() as progress:
            found = audit_source(options, sample, progress)
        write_page(found, audit_sections(found), out)
        if as_json:
            print(json.dumps({**audit_values(found), "page": str(out)}, ensure_ascii=False))
        else:
            output.print(draw_sections(audit_sections(found, SHOWN_EXAMPLES)))
            print(f"written: {out}")
            if found.packed:
                print(f"next: {shard_command(src, given)}")
        if not found.packed:
            print(f"horovod-ocr: {verdict(found)}; {out} says why", file=sys.stderr)
            raise typer.Exit(3)


def options_of(src: list[Path] | None, given: dict):
    """ShardOptions: what the command line says over [shard] of horovod-ocr.toml, as `shard` lays them."""
    from horovod_ocr.config import ShardSettings, overlay, table_of_settings
    from sharding.check import Limits
    from sharding.options import ShardOptions

    settings = overlay(ShardSettings(), table_of_settings("shard"), "horovod-ocr.toml, [shard]")
    chosen = {name: getattr(settings, name) or None for name in ("profile", "layout", "workers")}
    chosen = {**chosen, "seed": settings.seed, **given}
    limits = Limits(max_label=chosen.pop("max_label", 0))
    return ShardOptions(src=tuple(src or [Path(settings.src)]), out=Path(settings.out), limits=limits, **chosen)


def shard_command(src: list[Path] | None, given: dict) -> str:
    """The same options, packed."""
    words = [word for path in src or [] for word in ("--src", str(path))]
    words += [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return shlex.join(["horovod-ocr", "shard", *words])
