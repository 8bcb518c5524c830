"""horovod-ocr audit"""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from horovod_ocr.cli.options import AsJson, takes_settings
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.config.overlay import settings_of
from horovod_ocr.errors import SourceError
from horovod_ocr.reports.progress import shard_progress
from sharding.options import ShardOptions

output = Console(soft_wrap=True)
OF_PACKING = {"out", "samples_per_shard", "scratch", "image", "height"}  # what an audit has no use for


@takes_settings(ShardOptions, *(name for name in settings_of(ShardOptions) if name not in OF_PACKING))
def audit(
    given: dict[str, Any],
    sample: Annotated[
        int | None,
        typer.Option(metavar="IMAGES", help="Look at about this many only; below 100, at about 100.  [default: all]"),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path("audit.html"),
    as_json: AsJson = False,
) -> None:
    """Look at raw images before anything is packed: what would be rejected and why, letters, sizes, copies."""
    with one_sentence():
        from horovod_ocr.config.shard import load_shard_options
        from horovod_ocr.reports.audit import audit_sections, verdict, write_audit_page
        from horovod_ocr.reports.audit_values import audit_values
        from horovod_ocr.reports.terminal import draw_sections
        from sharding.audit.audit import audit_source

        options = load_shard_options(given)
        with shard_progress() as progress:
            found = audit_source(options, sample, progress)
        write_audit_page(found, out)
        if as_json:
            print(json.dumps({**audit_values(found), "page": str(out)}, ensure_ascii=False))
        else:
            output.print(draw_sections(audit_sections(found)))
            print(f"written: {out}")
        if not found.packed:
            raise SourceError(f"{verdict(found)}; {out} says why")
        if not as_json:
            print(f"next: {shard_command(given)}")


def shard_command(given: dict[str, Any]) -> str:
    """`shard` with the options that were given here."""
    words = ["horovod-ocr", "shard"]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [word for each in (value if isinstance(value, list) else [value]) for word in (option, str(each))]
    return shlex.join(words)
