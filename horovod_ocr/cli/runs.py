"""The commands around runs: train one, score it, read with it."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.distributed.launcher import rank_of_process
from horovod_ocr.errors import ConfigError, OcrError
from horovod_ocr.reports.progress import progress_bar

TrainedRun = Annotated[str | None, typer.Option(help="Name of a run.  [default: the newest]")]
RunsFolder = Annotated[Path | None, typer.Option(help="Folder of the runs.  [default: runs]")]
Device = Annotated[
    str | None,
    typer.Option(metavar="auto|cpu|cuda", help="auto: a GPU for each process, or the CPU for all.  [default: auto]"),
]
output = Console(soft_wrap=True)


def train(
    shards: Annotated[
        str | None,
        typer.Option(help="Folder of the shards; or http(s)://, s3://, gs://, pipe:COMMAND.  [default: shards]"),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Packaged recipe, or a .toml file.  [default: the script's]")
    ] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run.  [default: recipe and time]")] = None,
    runs: RunsFolder = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from LAST of the run named, or of the newest.")
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps; goes before epochs.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the train split.")] = None,
    global_batch: Annotated[int | None, typer.Option(help="Samples a step over all ranks.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    device: Device = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16, fp32 or fp64.")] = None,
    workers: Annotated[int | None, typer.Option(help="Loader processes a rank; -1: choose.")] = None,
    cache_dir: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Copy shards to this host's own disk when they are first read.")
    ] = None,
    max_bad: Annotated[
        int | None, typer.Option(metavar="SAMPLES", help="Stop when more than so many are damaged.  [default: 1000]")
    ] = None,
    compression: Annotated[
        str | None, typer.Option(metavar="none|fp16", help="Of gradients on their way.  [default: none]")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(metavar="PARTS", help="Compute a rank's share in parts, for less memory.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="FIRST:LAST", help="Trace these steps, for chrome://tracing.")
    ] = None,
    sync_batchnorm: Annotated[bool, typer.Option("--sync-batchnorm", help="Batch statistics over all ranks.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: --set model_options.width=1.0")
    ] = None,
) -> None:
    """Train on this process's part of the shards; under horovodrun, one process a GPU."""
    with one_sentence():
        from horovod_ocr.config.settings import TrainConfig, with_settings
        from horovod_ocr.distributed.watchdog import Watchdog
        from horovod_ocr.distributed.world import open_world
        from horovod_ocr.training.loop import train as train_run
        from horovod_ocr.training.setup import choose_config

        given = {
            "run": run,
            "steps": steps,
            "epochs": epochs,
            "global_batch": global_batch,
            "lr": lr,
            "seed": seed,
            "precision": precision,
            "workers": workers,
            "cache_dir": cache_dir,
            "max_bad": max_bad,
            "shards": shards,
            "device": device,
            "compression": compression,
            "accumulate": accumulate,
            "profile": profile,
            "resume": resume or None,
            "sync_batchnorm": sync_batchnorm or None,
            "runs": str(runs) if runs else None,
        }
        given = {name: value for name, value in given.items() if value is not None}
        given = with_settings(given, settings or [])
        if epochs is not None and steps is None:
            given = {"steps": 0, "min_steps": 0} | given  # a recipe's would go before them
        with Watchdog(TrainConfig.stall_timeout_s, rank_of_process() or 0):  # ranks may wait for each other at once
            world = open_world()
            with world.guard("training"):
                config = world.collectively(lambda: choose_config(recipe or "", given) if world.is_root else None)
                config = world.broadcast(config)
        train_run(config, world)


def evaluate(
    run: TrainedRun = None,
    runs: RunsFolder = None,
    shards: Annotated[str | None, typer.Option(help="Where the shards are, as in train.  [default: the run's]")] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test.  [default: test, or val without one]")] = None,
    device: Device = None,
) -> None:
    """Score a checkpoint on words it was not trained on: a table, and eval.json in the run's folder."""
    with one_sentence():
        from horovod_ocr.config.settings import TrainConfig
        from horovod_ocr.distributed.watchdog import Watchdog
        from horovod_ocr.distributed.world import open_world
        from horovod_ocr.reports.score import draw_report, score_run

        with Watchdog(TrainConfig.stall_timeout_s, rank_of_process() or 0) as watchdog:
            world = open_world()
            with progress_bar("reading", shown=world.is_root) as progress, world.guard("evaluation"):

                def read(batches: int, of: int) -> None:
                    watchdog.reached(0, f"batch {batches} of {of}")
                    progress(batches, of)

                folder, report = score_run(world, folder_of_runs(runs), run, shards, split, device_given(device), read)
        if world.is_root:
            output.print(draw_report(report))
            print(f"written: {folder / 'eval.json'}; run: {folder.resolve()}")


def folder_of_runs(given: Path | None) -> Path:
    from horovod_ocr.config.settings import TrainConfig, table_of_settings

    return given or Path(table_of_settings("train").get("runs", TrainConfig.runs))


def device_given(option: str | None) -> str:
    from horovod_ocr.config.settings import TrainConfig, table_of_settings

    return table_of_settings("train").get("device", TrainConfig.device) if option is None else option


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    run: TrainedRun = None,
    runs: RunsFolder = None,
    form: Annotated[str, typer.Option("--format", help="text (path, tab, reading) or jsonl.")] = "text",
    device: Device = None,
) -> None:
    """Read image files with the best checkpoint."""
    with one_sentence():
        if form not in ("text", "jsonl"):
            raise ConfigError(f"--format is text or jsonl, not {form!r}")
        from horovod_ocr.checkpoint.file import load_best
        from horovod_ocr.distributed.device import choose_device
        from horovod_ocr.distributed.world import World
        from horovod_ocr.recognizer.recognizer import build_recognizer, find_images, read_files

        paths = find_images(images)
        chosen = choose_device(World(), device_given(device)).device
        recognizer = build_recognizer(load_best(folder_of_runs(runs), run)[1], device=chosen)
        failed: OcrError | None = None
        with progress_bar("reading") as progress:
            for number, (path, reading) in enumerate(read_files(recognizer, paths), start=1):
                progress(number, len(paths))
                if isinstance(reading, OcrError):
                    failed = reading
                    print(f"horovod-ocr: {reading}", file=sys.stderr)
                elif form == "jsonl":
                    line = {"path": str(path), "text": reading.text, "confidence": round(reading.confidence, 4)}
                    print(json.dumps(line, ensure_ascii=False))
                else:
                    print(f"{path}\t{reading.text}")
        if failed:
            raise typer.Exit(failed.exit_code)
