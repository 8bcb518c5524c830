"""horovod-ocr export"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import RunsFolder, folder_of_runs
from horovod_ocr.cli.sentence import one_sentence, tell

output = Console(soft_wrap=True)


def export(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Name or folder of a run, or the file of a checkpoint.  [default: the newest run]"
        ),
    ] = None,
    runs: RunsFolder = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder to write; FOLDER.zip too.  [default: RUN/export]")
    ] = None,
    shards: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|URL", help="Shards to calibrate and prove the models on.  [default: the run's]"),
    ] = None,
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Make an int8 model beside the float32 one.")] = True,
    max_loss: Annotated[
        float, typer.Option(min=0.0, metavar="POINTS", help="Points that the int8 model may lose.")
    ] = 0.5,
) -> None:
    """Write the best checkpoint of a run as ONNX models that need no torch, proved to read the same."""
    with one_sentence():
        from horovod_ocr.export.export import export as export_run
        from horovod_ocr.export.export import request_export
        from horovod_ocr.export.write import zip_of
        from horovod_ocr.reports.export import draw_exported

        request = request_export(folder_of_runs(runs), run, out, shards, int8, max_loss)
        exported = export_run(request, tell)
        output.print(draw_exported(request.name, request.payload["step"], exported))
        print(f"written: {request.out}, {zip_of(request.out)}")
        print(f"next: horovod-ocr predict --model {request.out} word.png; horovod-ocr serve {request.out}")
