"""horovod-ocr synth"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.reports.progress import progress_bar


def synth(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to fill: images and labels.tsv.")] = Path("raw"),
    words: Annotated[int, typer.Option(metavar="N", help="Images to draw.")] = 30_000,
    seed: Annotated[int, typer.Option(metavar="N", help="Same seed, same bytes.")] = 0,
    lexicon_share: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of words from the lexicon; the others are random letters.")
    ] = 0.5,
    max_letters: Annotated[int, typer.Option(metavar="LETTERS", help="Longest word.")] = 5,
    font: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Font file; may be given several times, one is taken for each word.  [default: Noto Nastaliq Urdu]",
        ),
    ] = None,
    size_px: Annotated[int, typer.Option(metavar="PX", help="Type size in pixels.")] = 40,
    degrade: Annotated[
        float, typer.Option(metavar="STRENGTH", help="Strength of the degradations; 0: clean, 1: a light scan.")
    ] = 1.0,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes; never changes a byte.  [default: all cores]")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace words that were drawn into this folder before.")
    ] = False,
) -> None:
    """Render words with their labels beside them: raw images to try the whole path with."""
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
