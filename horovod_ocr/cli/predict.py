"""horovod-ocr predict"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from horovod_ocr.cli.options import Device, RunsFolder, TrainedRun, device_given, folder_of_runs
from horovod_ocr.cli.sentence import one_sentence, say, tell
from horovod_ocr.errors import ConfigError, OcrError
from horovod_ocr.reports.progress import progress_bar

if TYPE_CHECKING:
    from horovod_ocr.recognizer.files import Read
    from horovod_ocr.recognizer.recognizer import Recognizer
    from horovod_ocr.recognizer.sources import Source
    from horovod_ocr.reports.readings import ReadingWriter

FORMS, PRECISIONS = ("text", "jsonl", "csv"), ("auto", "fp32", "int8")


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
    precision: Annotated[
        str, typer.Option(metavar="|".join(PRECISIONS), help="Which model of an export; auto: int8 if it has one.")
    ] = "auto",
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
        check_choice("--precision", precision, PRECISIONS)
        source = sources_given(images, files_from)
        export = export_given(model, folder_of_runs(runs), run, device)
        if export:
            recognizer = Recognizer.load(export, precision)
        else:
            recognizer = recognizer_of_run(folder_of_runs(runs), run, device)
            if jobs > 1:
                raise ConfigError("--jobs reads with an export; make one with: horovod-ocr export")
        if reject_below is not None:
            tell(threshold_text(recognizer.about, reject_below))
        shared = (export, precision) if export else None
        read = read_images(recognizer, source.images, letters and form == "jsonl", jobs, shared)
        write_readings(read, source.total, ReadingWriter(form, recognizer.reader, reject_below))


def check_choice(option: str, given: str, choices: tuple[str, ...]) -> None:
    if given not in choices:
        raise ConfigError(f"{option} is {', '.join(choices[:-1])} or {choices[-1]}, not {given!r}")


def sources_given(images: list[str] | None, files_from: str | None) -> "Source":
    from horovod_ocr.recognizer.sources import names_in, open_sources

    named = [*(images or ()), *(names_in(files_from) if files_from else ())]
    if not named:
        raise ConfigError("name images, folders, globs or shards to read; - for one image from standard input")
    return open_sources(named)


def export_given(model: Path | None, runs: Path, run: str | None, device: str | None) -> Path | None:
    """The export to read with; None: the run's checkpoint, with torch. A run's export is left alone if a GPU is asked
    for, or if it is not of the best checkpoint, which is said."""
    from horovod_ocr.recognizer.find import find_export
    from horovod_ocr.run.folder import EXPORT

    if model:
        if run or device:
            raise ConfigError("--model is an export, which the CPU reads with; leave --run and --device out")
        return model
    if device == "cuda":
        return None
    found = find_export(runs, run)
    if found.path is None and (found.run / EXPORT).exists():
        tell(f"reading with the checkpoint: {found.why_none}")
    return found.path


def recognizer_of_run(runs: Path, run: str | None, device: str | None) -> "Recognizer":
    """Of the best checkpoint of a run, on torch."""
    import torch

    from horovod_ocr.checkpoint.file import load_best
    from horovod_ocr.distributed.alone import AloneWorld
    from horovod_ocr.distributed.device import choose_device
    from horovod_ocr.export.torch_network import build_recognizer

    chosen = choose_device(AloneWorld(), device_given(device)).device
    torch.set_num_threads(1)  # more would spin on cores that others need: ten times the CPU time on a busy machine
    return build_recognizer(load_best(runs, run)[1], device=chosen)


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
