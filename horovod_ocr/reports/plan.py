"""What a run will do, before it is started: tables, and hints on what is unwise."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from horovod_ocr.config.train import TrainConfig
from horovod_ocr.console import size_text
from horovod_ocr.data.forecast import EpochForecast, steps_of_run
from horovod_ocr.data.run_forecast import RunForecast
from horovod_ocr.data.store import is_remote
from horovod_ocr.reports.page import Cell, Figures, Paragraph, Section, TableOf
from horovod_ocr.reports.wording import counted, range_text
from sharding.system.machine import total_memory

MOST_RANKS = 16  # with a row each
MUCH_BYTES = 10 << 30  # worth a hint if they are copied more than once
READING = (
    "read: from the folder of the shards, each sample once. copied: instead, with --cache-dir or from a URL, whole "
    "shards to the host's own disk, by each host once for its ranks; later epochs add the shards that are not there yet"
)


def plan_values(name: str, run: RunForecast, config: TrainConfig) -> dict[str, Any]:
    """What `horovod-ocr plan --json` prints. name: of the shard set."""
    about = {"shards": name, "recipe": config.recipe, "seed": config.seed}
    return about | asdict(run) | {"hints": hints_on(run, config)}


def hints_on(run: RunForecast, config: TrainConfig) -> list[str]:
    """What is unwise in the run, a sentence each."""
    epoch = run.epoch
    return [*hints_on_steps(epoch, config), *hints_on_ranks(epoch), *hints_on_reading(epoch, config, total_memory())]


def hints_on_steps(epoch: EpochForecast, config: TrainConfig) -> Iterator[str]:
    """Hints on the length of the run, and on buckets that do not fill a batch."""
    wanted = steps_of_run(0, config.plan.epochs, 0, epoch.steps)
    if not config.plan.steps and wanted < config.plan.min_steps:
        yield (
            f"epochs ({config.plan.epochs:g}) would be only {counted(wanted, 'step')}, so the run has min_steps "
            f"({config.plan.min_steps:,}); --epochs on the command line overrides min_steps"
        )
    small = sum(each.samples < epoch.global_batch for each in epoch.buckets)
    if small:
        buckets = f"{small} of {counted(len(epoch.buckets), 'bucket')}"
        hold, gives = ("holds", "gives") if small == 1 else ("hold", "each gives")
        yield (
            f"{buckets} {hold} fewer samples than a global batch of {epoch.global_batch:,}, and {gives} one smaller "
            "step an epoch"
        )


def hints_on_ranks(epoch: EpochForecast) -> Iterator[str]:
    """Hints on ranks that wait for others."""
    ranks, world_size = epoch.ranks, epoch.world_size
    if epoch.lanes % world_size:
        fewest, most = min(rank.samples for rank in ranks), max(rank.samples for rank in ranks)
        near = max(1, round(epoch.lanes / world_size)) * world_size
        yield (
            f"{world_size} ranks do not divide {epoch.lanes} lanes: they have {fewest:,} to {most:,} samples an epoch, "
            f"and wait for those with the most; for a new run --set lanes={near}"
        )
    idle = sum(rank.samples == 0 for rank in ranks)
    fills_a_batch = any(each.samples >= epoch.global_batch for each in epoch.buckets)
    if idle:
        have_none = counted(idle, "rank has", "ranks have")
        yield f"{counted(epoch.samples, 'sample')} on {world_size} ranks: {have_none} none at all; take fewer ranks"
    elif fills_a_batch and any(rank.fewest_in_batch == 0 for rank in ranks):
        enough = epoch.lanes if epoch.lanes % world_size else world_size
        yield (
            f"a global batch of {epoch.global_batch:,} on {world_size} ranks: in some steps a rank has no sample, and "
            f"waits; give --global-batch {enough} or more"
        )


def hints_on_reading(epoch: EpochForecast, config: TrainConfig, memory: int) -> Iterator[str]:
    """Hints on the page cache and on copies. memory: bytes of this machine."""
    most_open = max(rank.open_bytes for rank in epoch.ranks)
    if most_open > memory:
        yield (
            f"a rank has up to {size_text(most_open)} of shards open at once, and this machine has {size_text(memory)} "
            "of memory: if a host of the run has no more, they are read again and again; take a smaller window "
            f"(--set window=, now {config.plan.window:,}) or fewer lanes ({epoch.lanes})"
        )
    copies = config.data.cache_dir or is_remote(config.data.shards)
    if copies and epoch.copied_bytes > 1.5 * epoch.bytes and epoch.copied_bytes - epoch.bytes > MUCH_BYTES:
        yield (
            f"each shard is copied {epoch.copied_bytes / epoch.bytes:.1f} times, because several ranks have lanes in "
            f"it; take fewer lanes ({epoch.lanes}) or smaller shards (shard --samples-per-shard), or read a folder "
            "in place"
        )


def plan_sections(name: str, run: RunForecast, config: TrainConfig) -> list[Section]:
    """The forecast as tables, and hints on it. name: of the shard set."""
    hints = hints_on(run, config)
    epoch, ranks = run.epoch, run.epoch.ranks
    figures = [
        ("ranks", f"{epoch.world_size:,}"),
        (
            "train split",
            f"{counted(epoch.samples, 'sample')} in {counted(epoch.shards, 'shard')}, {size_text(epoch.bytes)}",
        ),
        (
            "an epoch",
            f"{counted(epoch.steps, 'step')} of {epoch.global_batch:,} samples; the last of each bucket may have fewer",
        ),
        ("the run", f"{counted(run.steps, 'step')}, {run.epochs:,.2f} epochs"),
    ]
    head = ("bucket", "width px", "shards", "samples", "steps", "last batch")
    buckets = [(b.bucket, b.width_px, b.shards, b.samples, b.steps, b.last_batch) for b in epoch.buckets]
    memory = [
        ("page cache of a rank: windows that are open at once", size_text(max(rank.open_bytes for rank in ranks))),
        ("loader worker: the plan and its orders", size_text(max(rank.order_bytes for rank in ranks))),
        ("loader worker: each batch", size_text(max(rank.batch_bytes for rank in ranks))),
    ]
    sections = [
        Section(f"{name}, recipe {config.recipe or 'none'}, seed {config.seed}", [Figures(figures)]),
        Section(
            f"An epoch by bucket, images {config.network.height} px high",
            [TableOf(head, [*buckets, ("all", "", epoch.shards, epoch.samples, epoch.steps, "")])],
        ),
        Section("An epoch by rank", [ranks_table(epoch), Paragraph(READING)]),
        Section("Memory, at most", [Figures(memory)]),
    ]
    return sections + ([Section("Hints", [Paragraph(f"- {hint}") for hint in hints])] if hints else [])


def ranks_table(epoch: EpochForecast) -> TableOf:
    """A row for each rank, or if there are many, the fewest and the most of each column."""
    rows = [
        (r.lanes, r.samples, (r.fewest_in_batch, r.most_in_batch), r.shards, r.read_bytes, r.copied_bytes)
        for r in epoch.ranks
    ]
    if len(rows) <= MOST_RANKS:
        lines = [rank_cells(str(rank), *row) for rank, row in enumerate(rows)]
    else:
        columns = list(zip(*rows, strict=True))
        lines = [rank_cells("fewest", *map(min, columns)), rank_cells("most", *map(max, columns))]
    batch = (epoch.global_batch, epoch.global_batch)
    total = (epoch.lanes, epoch.samples, batch, epoch.shards, epoch.read_bytes, epoch.copied_bytes)
    head = ("rank", "lanes", "samples", "in a full batch", "shards", "read", "copied")
    return TableOf(head, [*lines, rank_cells("all", *total)])


def rank_cells(
    rank: str, lanes: int, samples: int, batch: tuple[int, int], shards: int, read_bytes: int, copied_bytes: int
) -> tuple[Cell, ...]:
    """A row of the table. batch: the fewest and the most samples of a full batch."""
    return (rank, lanes, samples, range_text(*batch), shards, size_text(read_bytes), size_text(copied_bytes))
