"""horovod-ocr predict"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from horovod_ocr.cli.options import Device, RunsFolder, TrainedRun, device_given, folder_of_runs
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.console import SENTENCE
from horovod_ocr.errors import ConfigError, OcrError
from horovod_ocr.reports.progress import progress_bar
from sharding.wording import breaks_lines


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    run: TrainedRun = None,
    runs: RunsFolder = None,
    form: Annotated[
        str, typer.Option("--format", metavar="text|jsonl", help="text (path, tab, reading) or jsonl.")
    ] = "text",
    device: Device = None,
) -> None:
    """Read image files, and folders of them, with the best checkpoint of a run."""
    with one_sentence():
        if form not in ("text", "jsonl"):
            raise ConfigError(f"--format is text or jsonl, not {form!r}")
        from horovod_ocr.checkpoint.file import load_best
        from horovod_ocr.distributed.alone import AloneWorld
        from horovod_ocr.distributed.device import choose_device
        from horovod_ocr.recognizer.recognizer import build_recognizer, find_images, read_files

        paths = find_images(images)
        chosen = choose_device(AloneWorld(), device_given(device)).device
        recognizer = build_recognizer(load_best(folder_of_runs(runs), run)[1], device=chosen)
        failed: OcrError | None = None
        with progress_bar("reading") as progress:
            for number, (path, reading) in enumerate(read_files(recognizer, paths), start=1):
                progress(number, len(paths))
                if form == "text" and breaks_lines(str(path)):
                    reading = ConfigError(
                        f"{str(path)!r} has a tab, a line end or the like in its name; use --format jsonl"
                    )
                if isinstance(reading, OcrError):
                    failed = reading
                    print(f"{SENTENCE}{reading}", file=sys.stderr)
                elif form == "jsonl":
                    line = {"path": str(path), **recognizer.task.describe(reading)}
                    print(json.dumps(line, ensure_ascii=False))
                else:
                    print(f"{path}\t{recognizer.task.line_of(reading)}")
        if failed:
            raise typer.Exit(failed.exit_code)
