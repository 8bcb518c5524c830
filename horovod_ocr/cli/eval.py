"""horovod-ocr eval"""

from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import Device, Engine, RunsFolder, TrainedRun, device_given, engine_given, folder_of_runs
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.config.train import RanksConfig
from horovod_ocr.distributed.launcher import rank_of_process
from horovod_ocr.reports.progress import progress_bar
from horovod_ocr.run.folder import EVAL

output = Console(soft_wrap=True)


def evaluate(
    run: TrainedRun = None,
    runs: RunsFolder = None,
    shards: Annotated[
        str | None, typer.Option(metavar="FOLDER|URL", help="Where the shards are, as in train.  [default: the run's]")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="train|val|test", help="train, val or test.  [default: test, or val without one]"),
    ] = None,
    device: Device = None,
    engine: Engine = None,
) -> None:
    """Score the best checkpoint of a run on samples that it was not trained on: tables, and eval.json in its folder."""
    with one_sentence():
        from horovod_ocr.distributed.open import open_world
        from horovod_ocr.distributed.watchdog import Watchdog
        from horovod_ocr.evaluation.score import score_run
        from horovod_ocr.reports.score import draw_pictures, draw_report

        with Watchdog(RanksConfig.stall_timeout_s, rank_of_process() or 0) as watchdog:
            world = open_world(engine_given(engine), trains=False)
            with progress_bar("reading", shown=world.is_root) as progress, world.guard("evaluation"):

                def read(batches: int, of: int) -> None:
                    watchdog.reached(0, f"batch {batches} of {of}")
                    progress(batches, of)

                folder, report, store = score_run(
                    world, folder_of_runs(runs), run, shards, split, device_given(device), read
                )
        if world.is_root:
            output.print(draw_report(report))
            written = [folder / EVAL, *draw_pictures(report, store, folder)]
            print(f"written: {', '.join(map(str, written))}; run: {folder.resolve()}")
