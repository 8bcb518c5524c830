"""The commands around the shard set: from images to shards, and what is in them."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.progress import progress_bar, shard_progress

ShardsFolder = Annotated[Path | None, typer.Option(help="Folder of the shards.  [default: shards]")]
output = Console(soft_wrap=True)


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
            words=words, out=out, seed=seed, lexicon_share=lexicon_share, max_letters=max_letters, size_px=size_px,
            degrade=degrade, workers=workers, overwrite=overwrite,
        )  # fmt: skip
        if font:
            options = replace(options, fonts=tuple(font))
        with progress_bar("drawing") as progress:
            report = synthesize(options, progress)
        print(f"{report.images:,} images in {out}, {report.images_per_s:,.0f} a second")
        print(f"next: horovod-ocr shard --src {out}")


def shard(
    src: Annotated[Path | None, typer.Option(help="Folder of raw images and labels.  [default: raw]")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the shards.  [default: shards]")] = None,
    profile: Annotated[
        str | None, typer.Option(help="Script: urdu, thai, latin, plain.  [default: by the labels' letters]")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="How labels are given.  [default: found by itself]")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides split and order.  [default: 0]")] = None,
    samples_per_shard: Annotated[int | None, typer.Option(help="[default: 10,000, fewer for small sets]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; never changes a byte.  [default: all cores]")] = None,
) -> None:
    """Pack raw images and their labels into shards. Started again, it goes on where it was."""
    with one_sentence():
        from horovod_ocr.config import ShardSettings, overlay, table_of_settings
        from sharding.build import ShardOptions, build_shards

        given = {
            "src": src and str(src), "out": out and str(out), "profile": profile, "layout": layout, "seed": seed,
            "samples_per_shard": samples_per_shard, "workers": workers,
        }  # fmt: skip
        settings = overlay(ShardSettings(), table_of_settings("shard"), "horovod-ocr.toml, [shard]")
        settings = overlay(settings, {k: v for k, v in given.items() if v is not None}, "the command line")
        options = ShardOptions(
            src=Path(settings.src),
            out=Path(settings.out),
            profile=settings.profile or None,
            layout=settings.layout or None,
            seed=settings.seed,
            samples_per_shard=settings.samples_per_shard or None,
            workers=settings.workers or None,
        )
        with shard_progress() as progress:
            report = build_shards(options, progress)
        print_shards(report)


def print_shards(report) -> None:
    if report.already_complete:
        print(f"{report.root} is complete already: made from this source with these options")
    table = Table("split", "samples")
    for split, count in report.samples.items():
        table.add_row(split, f"{count:,}")
    print(f"{report.root}: {report.kind}, profile {report.profile}")
    output.print(table)
    edges = ", ".join(f"{edge:.2f}" for edge in report.aspect_edges)
    print(f"{report.shards} shards, {report.bytes / 1e6:,.1f} MB; aspect classes up to width / height {edges}")
    if report.alphabet:
        print(f"{len(report.alphabet)} letters: {' '.join(report.alphabet)}")
    if report.rejects:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.rejects.items())
        print(f"rejected: {reasons}; each is named in {report.root / 'rejects.tsv'}")
    where = "" if report.root == Path("shards") else f" --shards {report.root}"
    print(f"next: horovodrun -np 3 -H hosts.txt horovod-ocr train{where}")


def stats(
    shards: ShardsFolder = None,
    out: Annotated[Path | None, typer.Option(help="The page to write.  [default: stats.html in the shards]")] = None,
) -> None:
    """Show what a shard set holds: lengths, letters, sizes; as tables here, and as a page with pictures."""
    with one_sentence():
        from horovod_ocr.reports.stats import count_set, stats_sections, write_page
        from horovod_ocr.reports.terminal import draw_sections
        from sharding.index import check_shards_present, read_index

        index = read_index(folder_of_shards(shards))
        check_shards_present(index)
        with shard_progress() as report:
            sections = stats_sections(index, count_set(index, report))
        output.print(draw_sections(sections))
        out = out or index.root / "stats.html"
        write_page(index, sections, out)
        print(f"\nwritten: {out}")


def folder_of_shards(given: Path | None) -> Path:
    from horovod_ocr.config import ShardSettings, table_of_settings

    return given or Path(table_of_settings("shard").get("out", ShardSettings.out))
