"""horovod-ocr predict"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_ocr.cli.options import (
    PRECISIONS,
    Device,
    Precision,
    RunsFolder,
    TrainedRun,
    check_choice,
    folder_of_runs,
)
from horovod_ocr.cli.recognizers import export_of_run, recognizer_of_run
from horovod_ocr.cli.sentence import one_sentence, say, tell
from horovod_ocr.errors import ConfigError, OcrError
from horovod_ocr.reports.progress import progress_bar

if TYPE_CHECKING:
    from horovod_ocr.recognizer.files import Read
    from horovod_ocr.recognizer.sources import Source
    from horovod_ocr.reports.readings import ReadingWriter

FORMS = ("text", "jsonl", "csv")


def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Image files, folders, globs, tars, shard sets; - for an image from standard input."),
    ] = None,
    files_from: Annotated[
        str | None, typer.Option(metavar="FILE", help="Names of more, a line each; - for standard input.")
    ] = None,
    run: TrainedRun = None,
    runs: RunsFolder = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FOLDER|ZIP", help="Of horovod-ocr export, in place of a run.")
    ] = None,
    precision: Precision = "auto",
    form: Annotated[
        str, typer.Option("--format", metavar="|".join(FORMS), help="text: path, tab, reading; JSON lines; or CSV.")
    ] = "text",
    letters: Annotated[bool, typer.Option("--letters", help="jsonl: each letter with its box and confidence.")] = False,
    reject_below: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, metavar="CONFIDENCE", help="Mark readings of less confidence as rejected."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that read, of an export.")] = 1,
    device: Device = None,
) -> None:
    """Read images with the best checkpoint of a run: with its export if there is one, else with torch."""
    with one_sentence():
        from horovod_ocr.recognizer.files import read_images
        from horovod_ocr.recognizer.recognizer import Recognizer
        from horovod_ocr.reports.readings import ReadingWriter, threshold_text

        check_choice("--format", form, FORMS)
        if letters and form != "jsonl":
            raise ConfigError("--letters are part of JSON lines; give --format jsonl as well")
        check_choice("--precision", precision, PRECISIONS)
        source = sources_given(images, files_from)
        export = export_of_run(model, folder_of_runs(runs), run, device)
        if export is None and (jobs > 1 or precision != "auto"):
            raise ConfigError("--jobs and --precision are of an export; make one with: horovod-ocr export")
        recognizer = (
            Recognizer.load(export, precision) if export else recognizer_of_run(folder_of_runs(runs), run, device)
        )
        if reject_below is not None:
            tell(threshold_text(recognizer.about, reject_below))
        shared = (export, precision) if export else None
        read = read_images(recognizer, source.images, letters, jobs, shared)
        write_readings(read, source.total, ReadingWriter(form, recognizer.reader, reject_below))


def sources_given(images: list[str] | None, files_from: str | None) -> "Source":
    from horovod_ocr.recognizer.sources import names_in, open_sources

    if files_from == "-" and "-" in (images or ()):
        raise ConfigError("standard input is either an image (-) or names (--files-from -), not both")
    named = [*(images or ()), *(names_in(files_from) if files_from else ())]
    if not named:
        raise ConfigError("name images, folders, globs or shards to read; - for one image from standard input")
    return open_sources(named)


def write_readings(read: "Iterable[Read]", total: int | None, writer: "ReadingWriter") -> None:
    """Print them as they come. Exits with the code of the last image that could not be read, if there is one."""
    failed: OcrError | None = None
    with progress_bar("reading") as progress:
        for number, (name, reading) in enumerate(read, start=1):
            progress(number, total)
            problem = reading if isinstance(reading, OcrError) else writer.write(name, reading)
            if problem:
                failed = problem
                say(str(problem))
    if remark := writer.remark():
        tell(remark)
    if failed:
        raise typer.Exit(failed.exit_code)
