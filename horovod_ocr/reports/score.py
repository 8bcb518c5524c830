"""The report of an evaluation: eval.json and a table."""

import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from horovod_ocr.checkpoint.file import load_best
from horovod_ocr.checkpoint.restore import restore
from horovod_ocr.config.overlay import overlay
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.console import console
from horovod_ocr.data.shared_memory import choose_workers
from horovod_ocr.data.splits import divide_command, unseen_split
from horovod_ocr.data.store import open_store
from horovod_ocr.data.stream import Stream, StreamOptions
from horovod_ocr.distributed.damaged_samples import DamagedSamples
from horovod_ocr.distributed.device import choose_device, choose_precision
from horovod_ocr.distributed.world import World
from horovod_ocr.errors import CheckpointError, ShardError
from horovod_ocr.evaluation.evaluate import evaluate
from horovod_ocr.tasks.words import Scores, WordTask
from horovod_ocr.text.metrics import scores_by_length, scores_of
from horovod_ocr.training.setup import give_workers
from sharding.format.index import ShardIndex
from sharding.format.script.letters import PROFILES
from sharding.system.files import write_whole

MOST_CONFUSED = 20


def score_run(
    world: World,
    runs: Path,
    name: str | None = None,
    shards: str | None = None,
    split: str | None = None,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, dict]:
    """Read a split with a run's best checkpoint; root writes eval.json. Returns the run's folder and the report.

    Defaults: the newest run, the shards it was trained with, the test split (val where there is none). Collective.
    Raises ShardError or CheckpointError with what to do.
    """
    run, payload = world.broadcast(world.collectively(lambda: load_best(runs, name) if world.is_root else None))
    config = overlay(TrainConfig(), payload["config"], f"{run}: its checkpoint")
    store = world.collectively(
        lambda: open_store(shards or config.data.shards, config.data.cache_dir, config.data.cache_bytes)
    )
    index = store.index
    chosen = choose_device(world, device)
    precision = choose_precision("auto", chosen.device, world)
    if chosen.why_cpu and world.is_root:
        console.print(f"on the CPU: {chosen.why_cpu}", markup=False)
    it = world.collectively(lambda: restore(payload, chosen.device))
    world.collectively(lambda: check_readable(it.task, index))
    split = split or world.collectively(lambda: choose_split(index))
    options = StreamOptions(
        split,
        lanes=max(StreamOptions.lanes, world.world_size),
        global_batch=128,
        shuffle=False,
        decoder=config.data.decoder,
        replaces_damaged=False,
        rank=world.rank,
        world_size=world.world_size,
        to_gpu=chosen.device.type == "cuda",
    )
    stream = world.collectively(lambda: Stream(store, it.geometry, options))
    damage = DamagedSamples(world, stream.shards, config.data.max_bad)
    if options.to_gpu:
        give_workers(stream, world.local_size, choose_workers(-1, True, chosen.cores))
    scores = evaluate(it.model, it.task, stream, world, chosen.device, precision, damage, progress)
    facts = {
        "run": run.name,
        "step": payload["step"],
        "split": split,
        "shards": str(index.root),
        "index_digest": index.digest,
        "profile": index.profile.name,
    }
    report = build_report(scores, index.subsets, facts)
    if world.is_root:
        write_report(run / "eval.json", report)
    return run, report


def choose_split(index: ShardIndex) -> str:
    """The split that no run was trained on. ShardError for a set that has none."""
    if split := unseen_split(index):
        return split
    raise ShardError(
        f"{index.root} has neither a test nor a val split, only what runs are trained on; score that with: horovod-ocr "
        f"eval --split train; for others, divide the images: {divide_command(index.kind)}"
    )


def check_readable(task: WordTask, index: ShardIndex) -> None:
    """CheckpointError where the model cannot write the labels, or they were normalised in another way."""
    mine = WordTask.of(index).charset
    task.charset.require(mine.letters, str(index.root))
    theirs = task.charset.profile
    if mine.profile.to_dict() != theirs.to_dict():
        named = theirs.name if theirs.name in PROFILES else f"FILE (of {theirs.name})"
        raise CheckpointError(
            f"{index.root} was normalised as {mine.profile.name} ({mine.profile.direction}), the checkpoint's labels "
            f"as {theirs.name} ({theirs.direction}) with its own letters and folds; shard these images with --profile "
            f"{named} --direction {theirs.direction}"
        )


def build_report(scores: Scores, subsets: tuple[str, ...], facts: dict) -> dict:
    """The content of eval.json.

    `word_accuracy`, `cer`, `one_minus_ned`, `samples` and `by_length` over the whole split; `unreadable`: damaged
    samples, which are in none of these; `subsets` holds the same for each part that the shard set knows by name
    (lexicon, random); `confusions` the most frequent, as [letter of the label, letter read, times], "" where there is
    none. `facts` (run, split, checkpoint) come first.
    """
    report = {
        **facts,
        **scores_of(scores.counts),
        "unreadable": scores.unreadable,
        "by_length": scores_by_length(scores.counts),
        "subsets": {},
    }
    for number, name in enumerate(subsets):
        counts = scores.counts[number]
        if name and counts.any():
            report["subsets"][name] = {**scores_of(counts), "by_length": scores_by_length(counts)}
    confused = sorted(scores.confusions.items(), key=lambda item: (-item[1], item[0]))
    report["confusions"] = [[wanted, read, times] for (wanted, read), times in confused[:MOST_CONFUSED]]
    report["examples"] = [{"label": label, "reading": reading} for label, reading in scores.examples]
    return report


def write_report(path: Path, report: dict) -> None:
    # a folder's name that is not UTF-8 becomes an escape of JSON
    content = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    write_whole(path, content.encode("utf-8", "backslashreplace"))


def draw_report(report: dict) -> Group:
    """The report as rich tables."""
    title = f"{report['run']}, step {report['step']}, {report['split']} split, normalised as {report['profile']}"
    if report["unreadable"]:
        title += f"; {report['unreadable']:,} damaged samples left out"
    scores = Table(title=title, title_justify="left")
    for name in ("", "samples", "word accuracy", "CER", "1-NED"):
        scores.add_column(name, justify="left" if not name else "right")
    add_scores(scores, "all", report)
    for name, part in report["subsets"].items():
        add_scores(scores, name, part)
    for name, part in report["by_length"].items():
        add_scores(scores, f"{name} letter{'' if name == '1' else 's'}", part)
    readings = Table(title="the first samples", title_justify="left")
    for name in ("label", "reading", ""):
        readings.add_column(name)
    for example in report["examples"]:
        is_right = example["label"] == example["reading"]
        # Text: rich would take [brackets] in a label for its markup
        readings.add_row(Text(example["label"]), Text(example["reading"] or "-"), "right" if is_right else "WRONG")
    parts = [scores, readings]
    if report["confusions"]:
        shown = (f"{wanted or '-'} read {read or '-'}: {times}" for wanted, read, times in report["confusions"][:10])
        parts.append(Text("most confused letters (- is none): " + ", ".join(shown)))
    return Group(*parts)


def add_scores(table: Table, name: str, scores: dict) -> None:
    shown = (f"{scores[key]:.2%}" for key in ("word_accuracy", "cer", "one_minus_ned"))
    table.add_row(name, f"{scores['samples']:,}", *shown)
