"""The commands around the shard set: from images to shards, and what is in them."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from horovod_ocr.cli.options import (
    Check,
    Dedup,
    Direction,
    Fractions,
    GroupFrom,
    Height,
    ImageForm,
    Images,
    JsonLines,
    LabelFromName,
    Layout,
    MaxLabel,
    Profile,
    Seed,
    Sources,
    Split,
    SplitLists,
    Workers,
)
from horovod_ocr.cli.sentence import one_sentence
from horovod_ocr.console import console
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.reports.progress import progress_bar, shard_progress

ShardsFolder = Annotated[str | None, typer.Option(help="Folder of the shards.  [default: shards]")]
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


def shard(
    src: Sources = None,
    out: Annotated[str | None, typer.Option(metavar="FOLDER", help="For the shards.  [default: shards]")] = None,
    profile: Profile = None,
    direction: Direction = None,
    layout: Layout = None,
    images: Images = None,
    label_from_name: LabelFromName = None,
    seed: Seed = None,
    samples_per_shard: Annotated[
        int | None, typer.Option(help="At most.  [default: 10,000, fewer for small sets]")
    ] = None,
    workers: Workers = None,
    check: Check = None,
    split: Split = None,
    group_from: GroupFrom = None,
    split_lists: SplitLists = None,
    fractions: Fractions = None,
    dedup: Dedup = None,
    max_label: MaxLabel = None,
    image: ImageForm = None,
    height: Height = None,
    scratch: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="For what is read until it is packed.  [default: in --out]")
    ] = None,
    json_lines: JsonLines = False,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Draw no contact sheet (sheet.png).")] = False,
) -> None:
    """Pack raw images and their labels into shards. Started again, it goes on where it was."""
    given = dict(locals())  # of the settings, by their names
    del given["json_lines"], given["no_sheet"]
    with one_sentence():
        from horovod_ocr.config.settings import load_shard_options, parse_fractions
        from horovod_ocr.reports.sheet import draw_set_sheet
        from horovod_ocr.reports.summary import draw_build, next_command
        from sharding.build import build_shards
        from sharding.state import BuildFolder

        check_folder(out or "")
        options = load_shard_options(given | {"fractions": parse_fractions(fractions) if fractions else None})
        goes_on = BuildFolder(options.out).state.exists()
        started = time.monotonic()
        with shard_progress(json_lines) as progress:
            report = build_shards(options, progress, tell)
        seconds = time.monotonic() - started
        sheet = None if no_sheet else report.root / "sheet.png"
        if sheet:
            draw_set_sheet(report.root, sheet)
        if json_lines:
            print_done(asdict(report) | {"seconds": seconds, "sheet": sheet})
        else:
            output.print(draw_build(report, None if goes_on else seconds, sheet))
            print(f"next: {next_command(report)}")


def verify(
    folder: Annotated[str | None, typer.Argument(help="Folder of the shards, as --shards.")] = None,
    shards: ShardsFolder = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make damaged shards and a lost index.json again from the source.")
    ] = False,
    src: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Where the source lies now, for --repair.  [default: where it lay]"),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.  [default: all cores]")] = None,
    json_lines: JsonLines = False,
) -> None:
    """Prove a shard set: read every byte, count again what its index says. Ends with 3 where it is not whole."""
    with one_sentence():
        from horovod_ocr.reports.summary import draw_proof, option_of, wrong_of
        from sharding.verify.mend import repair_set
        from sharding.verify.verify import verify_shards

        if folder and shards:
            raise ConfigError("the folder of the shards is given twice; give it once")
        if src and not repair:
            raise ConfigError("--src is for --repair, and proving a set reads no source; leave it out")
        root = folder_of_shards(folder or shards)
        with shard_progress(json_lines) as progress:
            if repair:
                report = repair_set(root, src, workers, progress, tell)
            else:
                report = verify_shards(root, workers, progress)
        if json_lines:
            print_done({"root": root, "ok": report.ok} | asdict(report))
        else:
            output.print(draw_proof(report))
        if not report.ok:
            hint = "" if repair else f"; mend it with: horovod-ocr verify --repair{option_of(root)}"
            raise ShardError(f"{root} is not whole ({wrong_of(report)}){hint}")


def tell(sentence: str) -> None:
    """A remark while a command runs."""
    console.print(sentence, markup=False, highlight=False)


def print_done(values: dict) -> None:
    """The last of the JSON lines: {"event": "done", ...}; folders as texts."""
    print(json.dumps({"event": "done", **values}, ensure_ascii=False, default=str), flush=True)


def stats(
    shards: ShardsFolder = None,
    out: Annotated[Path | None, typer.Option(help="The page to write.  [default: stats.html in the shards]")] = None,
) -> None:
    """Show what a shard set holds: lengths, letters, sizes; as tables here, and as a page with pictures."""
    with one_sentence():
        from horovod_ocr.reports.stats import count_set, stats_sections, write_page
        from horovod_ocr.reports.terminal import draw_sections
        from sharding.format.index import check_shards_present, read_index

        index = read_index(folder_of_shards(shards))
        check_shards_present(index)
        with shard_progress() as report:
            sections = stats_sections(index, count_set(index, report))
        output.print(draw_sections(sections))
        out = out or index.root / "stats.html"
        write_page(index, sections, out)
        print(f"\nwritten: {out}")


def folder_of_shards(given: str | None) -> Path:
    from horovod_ocr.config.settings import ShardSettings, table_of_settings

    folder = given or table_of_settings("shard").get("out", ShardSettings.out)
    check_folder(folder)
    return Path(folder)


def check_folder(location: str) -> None:
    """ConfigError for a URL or a command, which only those who read a set understand."""
    from horovod_ocr.data.store import Remote, is_remote

    if is_remote(location):
        raise ConfigError(f"{Remote(location).where('')} is no folder; run this where the shards lie, and name theirs")
