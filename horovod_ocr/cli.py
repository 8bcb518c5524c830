"""Every command: parse, call, print. No logic.

Torch and what imports it are imported inside the commands, so that `--help` and `shard` do not wait for it.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from horovod_ocr import __version__
from horovod_ocr.errors import ConfigError, OcrError
from horovod_ocr.log import progress_bar, rank_of_process

app = typer.Typer(
    help="Train recognisers of word images on several machines: shard, train under horovodrun, eval, predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # it would take [default: ...] for markup
    context_settings={"help_option_names": ["-h", "--help"]},
)
TrainedRun = Annotated[str | None, typer.Option(help="Name of a run.  [default: the newest]")]
RunsFolder = Annotated[Path | None, typer.Option(help="Folder of the runs.  [default: runs]")]
output = Console(soft_wrap=True)
shows_tracebacks = False


def main() -> None:
    app(prog_name="horovod-ocr")


def print_version(wanted: bool) -> None:
    if wanted:
        print(f"horovod-ocr {__version__}")
        raise typer.Exit()


Version = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and leave.")
]


@app.callback()
def choose_debug(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Version = False,
) -> None:
    global shows_tracebacks
    shows_tracebacks = debug


@contextmanager
def one_sentence() -> Iterator[None]:
    """An error that a person can mend is one sentence and an exit code."""
    try:
        yield
    except OcrError as error:
        if shows_tracebacks:
            raise
        if error.shown_by in (None, rank_of_process() or 0):
            print(f"horovod-ocr: {error}", file=sys.stderr, flush=True)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError as error:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from error
    except OSError as error:
        if shows_tracebacks:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"horovod-ocr: {where}{error.strerror or error}", file=sys.stderr, flush=True)
        raise typer.Exit(3) from error
    except KeyboardInterrupt as error:
        print("horovod-ocr: interrupted", file=sys.stderr, flush=True)
        raise typer.Exit(130) from error


@app.command()
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


@app.command()
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
        with progress_bar("checking") as progress:
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


@app.command()
def train(
    shards: Annotated[Path | None, typer.Option(help="Folder of the shards.  [default: shards]")] = None,
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
    precision: Annotated[str | None, typer.Option(help="auto, bf16, fp32 or fp64.")] = None,
    workers: Annotated[int | None, typer.Option(help="Loader processes a rank; -1: choose.")] = None,
    sync_batchnorm: Annotated[bool, typer.Option("--sync-batchnorm", help="Batch statistics over all ranks.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: --set model_options.width=1.0")
    ] = None,
) -> None:
    """Train on this process's part of the shards; under horovodrun, one process a GPU."""
    with one_sentence():
        from horovod_ocr.config import parse_settings
        from horovod_ocr.training.begin import choose_config
        from horovod_ocr.training.loop import train as train_run
        from horovod_ocr.world import open_world

        given = {
            "run": run, "steps": steps, "epochs": epochs, "global_batch": global_batch, "lr": lr, "seed": seed,
            "precision": precision, "workers": workers, "resume": resume or None,
            "sync_batchnorm": sync_batchnorm or None,
            "shards": str(shards) if shards else None, "runs": str(runs) if runs else None,
        }  # fmt: skip
        given = {name: value for name, value in given.items() if value is not None}
        if epochs is not None and steps is None:
            given |= {"steps": 0, "min_steps": 0}  # a recipe's would go before them
        world = open_world()
        with world.guard("training"):
            config = world.together(
                lambda: choose_config(recipe or "", given | parse_settings(settings or [])) if world.is_root else None
            )
            config = world.broadcast(config)
        train_run(config, world)


@app.command(name="eval")
def evaluate(
    run: TrainedRun = None,
    runs: RunsFolder = None,
    shards: Annotated[Path | None, typer.Option(help="Folder of the shards.  [default: the run's]")] = None,
    split: Annotated[str | None, typer.Option(help="train, val or test.  [default: test, or val without one]")] = None,
) -> None:
    """Score a checkpoint on words it was not trained on: a table, and eval.json in the run's folder."""
    with one_sentence():
        from horovod_ocr.reports.score import draw_report, score_run
        from horovod_ocr.world import open_world

        world = open_world()
        with progress_bar("reading", shown=world.is_root) as progress, world.guard("evaluation"):
            folder, report = score_run(world, folder_of_runs(runs), run, shards, split, progress)
        if world.is_root:
            output.print(draw_report(report))
            print(f"written: {folder / 'eval.json'}; run: {folder.resolve()}")


def folder_of_runs(given: Path | None) -> Path:
    from horovod_ocr.config import TrainConfig, table_of_settings

    return given or Path(table_of_settings("train").get("runs", TrainConfig.runs))


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders of them.")],
    run: TrainedRun = None,
    runs: RunsFolder = None,
    form: Annotated[str, typer.Option("--format", help="text (path, tab, reading) or jsonl.")] = "text",
) -> None:
    """Read image files with the best checkpoint."""
    with one_sentence():
        if form not in ("text", "jsonl"):
            raise ConfigError(f"--format is text or jsonl, not {form!r}")
        from horovod_ocr.deploy.recognizer import build_recognizer, find_images, read_files
        from horovod_ocr.training.checkpoint import load_best

        paths = find_images(images)
        recognizer = build_recognizer(load_best(folder_of_runs(runs), run)[1])
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
