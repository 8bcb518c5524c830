"""horovod-ocr page"""

from pathlib import Path
from typing import Annotated

import typer

from horovod_ocr.cli.options import PRECISIONS, ExportGiven, Precision, check_choice, export_given
from horovod_ocr.cli.sentence import one_sentence


def page(
    model: ExportGiven = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write.")] = Path("page"),
    precision: Precision = "auto",
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="FILE.tgz", help="onnxruntime-web as npm packs it.  [default: npm fetches it once]"),
    ] = None,
) -> None:
    """Write a page that reads words without a server: a folder for a stick or any web host."""
    with one_sentence():
        from horovod_ocr.recognizer.package import read_package
        from horovod_ocr.serve.standalone import find_runtime, make_page

        check_choice("--precision", precision, PRECISIONS)
        package = read_package(export_given(model), precision)
        made = make_page(package, out, find_runtime(runtime))
        print(f"{made.folder}: {made.total_bytes / 1e6:.1f} MB, of which the model {made.model_bytes / 1e6:.2f} MB")
        print(f"next: open {made.folder / 'index.html'} in a browser")
