"""horovod-ocr verify"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import JsonLines, ShardsFolder, folder_of_shards
from horovod_ocr.cli.sentence import one_sentence, print_done, tell
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.reports.progress import shard_progress

output = Console(soft_wrap=True)


def verify(
    folder: Annotated[str | None, typer.Argument(metavar="FOLDER", help="Folder of the shards, as --shards.")] = None,
    shards: ShardsFolder = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged shards and a lost index.json again from the source.")
    ] = False,
    src: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER",
            help="With --repair: where the source is now; may be given several times.  [default: where it was]",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help="Processes.  [default: all cores]")] = None,
    json_lines: JsonLines = False,
) -> None:
    """Prove a shard set: read every byte and count again what its index says. Ends with 3 if it is not whole."""
    with one_sentence():
        from horovod_ocr.reports.summary import draw_proof, option_of, wrong_of
        from sharding.verify.repair import repair_set
        from sharding.verify.verify import verify_shards

        if folder and shards:
            raise ConfigError("the folder of the shards is given twice; give it once")
        if src and not repair:
            raise ConfigError("--src is for --repair, and proving a set reads no source; leave it out")
        root = folder_of_shards(folder or shards)
        with shard_progress(json_lines) as progress:
            if repair:
                report = repair_set(root, src, workers, progress, tell)
            else:
                report = verify_shards(root, workers, progress)
        if json_lines:
            print_done({"root": root, "ok": report.ok} | asdict(report))
        else:
            output.print(draw_proof(report))
        if not report.ok:
            hint = "" if repair else f"; repair it with: horovod-ocr verify --repair{option_of(root)}"
            raise ShardError(f"{root} is not whole ({wrong_of(report)}){hint}")
