"""horovod-ocr synth"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.reports.progress import progress_bar


def synth(
    out: Annotated[Path, typer.Option(help="Folder to fill: images and labels.tsv.")] = Path("raw"),
    words: Annotated[int, typer.Option(help="Images to draw.")] = 30_000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    lexicon_share: Annotated[float, typer.Option(help="Share from the lexicon; the rest are random letters.")] = 0.5,
    max_letters: Annotated[int, typer.Option(help="Longest word.")] = 5,
    font: Annotated[list[Path] | None, typer.Option(help="Font file; of several, one a word.")] = None,
    size_px: Annotated[int, typer.Option(help="Type size in pixels.")] = 40,
    degrade: Annotated[float, typer.Option(help="Strength of the degradations; 0: clean.")] = 1.0,
    workers: Annotated[int | None, typer.Option(help="Processes; never changes a byte.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace words drawn into this folder before.")
    ] = False,
) -> None:
    """Render words, their labels beside them: raw images to try the whole way with."""
    with one_sentence():
        from horovod_ocr.synth.generate import SynthOptions, synthesize

        options = SynthOptions(
            words=words,
            out=out,
            seed=seed,
            lexicon_share=lexicon_share,
            max_letters=max_letters,
            size_px=size_px,
            degrade=degrade,
            workers=workers,
            overwrite=overwrite,
        )
        if font:
            options = replace(options, fonts=tuple(font))
        with progress_bar("drawing") as progress:
            report = synthesize(options, progress)
        print(f"{report.images:,} images in {out}, {report.images_per_s:,.0f} a second")
        print(f"next: horovod-ocr shard --src {out}")
