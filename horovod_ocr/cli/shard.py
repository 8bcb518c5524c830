"""horovod-ocr shard"""

import time
from typing import Annotated, Any

import typer
from rich.console import Console

from horovod_ocr.cli.options import JsonLines, check_folder, takes_settings
from horovod_ocr.cli.sentence import one_sentence, print_done, tell
from horovod_ocr.config.overlay import settings_of
from horovod_ocr.reports.progress import shard_progress
from sharding.options import ShardOptions

output = Console(soft_wrap=True)


@takes_settings(ShardOptions, *settings_of(ShardOptions))
def shard(
    given: dict[str, Any],
    json_lines: JsonLines = False,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Draw no contact sheet (sheet.png).")] = False,
) -> None:
    """Pack raw images and their labels into shards. Started again, it goes on where it was."""
    with one_sentence():
        from horovod_ocr.config.shard import load_shard_options
        from horovod_ocr.reports.sheet import draw_set_sheet
        from horovod_ocr.reports.summary import draw_build, next_command
        from sharding.build import build_shards
        from sharding.building.state import BuildFolder

        check_folder(str(given.get("out", "")))
        options = load_shard_options(given)
        goes_on = BuildFolder(options.out).state.exists()
        started = time.monotonic()
        with shard_progress(json_lines) as progress:
            report = build_shards(options, progress, tell)
        seconds = time.monotonic() - started
        sheet = None if no_sheet else options.out / "sheet.png"
        if sheet:
            draw_set_sheet(options.out, sheet)
        if json_lines:
            print_done(report.to_dict() | {"seconds": seconds, "sheet": sheet})
        else:
            output.print(draw_build(report, None if goes_on else seconds, sheet))
            print(f"next: {next_command(report)}")
