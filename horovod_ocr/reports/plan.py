"""What a run will do, before it is started: tables, and hints where something is unwise."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from horovod_ocr.config.train import TrainConfig, check_ranks
from horovod_ocr.data.forecast import EpochForecast, forecast_epoch, steps_of_run
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import EpochPlan, ShardSlice
from horovod_ocr.data.store import is_remote
from horovod_ocr.errors import ConfigError, ShardError
from horovod_ocr.reports.page import Figures, Paragraph, Section, TableOf
from horovod_ocr.reports.stats import megabytes
from sharding.format.index import ShardInfo

MOST_RANKS = 16  # that get a row each
MUCH_BYTES = 10 << 30  # to copy twice
READING = (
    "read: from the folder of the shards, each sample once. copied: instead, with --cache-dir or from a URL, whole "
    "shards to the host's own disk, by each host once for its ranks; later epochs add the shards that are not there yet"
)


@dataclass(frozen=True)
class RunForecast:
    """A run of so many steps, hence epochs; its first epoch; what is unwise in it, in sentences."""

    steps: int
    epochs: float
    epoch: EpochForecast
    hints: tuple[str, ...]


def forecast_run(
    shards: Sequence[ShardInfo], bucket_edges: tuple[float, ...], config: TrainConfig, world_size: int
) -> RunForecast:
    """shards: of the train split. ConfigError for more ranks than lanes; ShardError where there is no sample."""
    if world_size < 1:
        raise ConfigError(f"--ranks {world_size}: give at least 1")
    check_ranks(config.plan.lanes, world_size)
    if not sum(shard.samples for shard in shards):
        raise ShardError("the train split holds no sample; plan a set that has one")
    c = config
    slices = [ShardSlice(shard.samples, shard.bucket) for shard in shards]
    plan = EpochPlan(slices, c.seed, 0, c.plan.lanes, c.plan.global_batch, True, c.plan.window)
    epoch = forecast_epoch(shards, plan, Geometry(c.height, bucket_edges), world_size)
    steps = steps_of_run(c.plan.steps, c.plan.epochs, c.plan.min_steps, epoch.steps)
    hints = [*hints_of_steps(epoch, config), *hints_of_shares(epoch), *hints_of_reading(epoch, config, memory_bytes())]
    return RunForecast(steps, steps / epoch.steps, epoch, tuple(hints))


def memory_bytes() -> int:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def hints_of_steps(epoch: EpochForecast, config: TrainConfig) -> Iterator[str]:
    wanted = steps_of_run(0, config.plan.epochs, 0, epoch.steps)
    if not config.plan.steps and wanted < config.plan.min_steps:
        yield (
            f"{config.plan.epochs:g} epochs are {wanted:,} steps only, min_steps makes them {config.plan.min_steps:,}; "
            "--epochs on the command line sets it aside"
        )
    small = sum(each.samples < epoch.global_batch for each in epoch.buckets)
    if small:
        yield (
            f"{small} of {len(epoch.buckets)} buckets hold fewer samples than a global batch of "
            f"{epoch.global_batch:,}: each of these is one smaller step an epoch"
        )


def hints_of_shares(epoch: EpochForecast) -> Iterator[str]:
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
        yield f"{epoch.samples:,} samples on {world_size} ranks: {idle:,} ranks have none at all; take fewer"
    elif fills_a_batch and any(rank.fewest_in_batch == 0 for rank in ranks):
        enough = epoch.lanes if epoch.lanes % world_size else world_size
        yield (
            f"a global batch of {epoch.global_batch:,} on {world_size} ranks: in some steps a rank has no sample, and "
            f"waits; give --global-batch {enough} or more"
        )


def hints_of_reading(epoch: EpochForecast, config: TrainConfig, memory: int) -> Iterator[str]:
    """memory: bytes of this machine."""
    most_open = max(rank.open_bytes for rank in epoch.ranks)
    if most_open > memory:
        yield (
            f"a rank has up to {megabytes(most_open)} of shards open at once, and this machine has {megabytes(memory)} "
            "of memory: where a host of the run has no more, they are read again and again; take a smaller window "
            f"(--set window=, now {config.plan.window:,}) or fewer lanes ({epoch.lanes})"
        )
    copies = config.data.cache_dir or is_remote(config.data.shards)
    if copies and epoch.copied_bytes > 1.5 * epoch.bytes and epoch.copied_bytes - epoch.bytes > MUCH_BYTES:
        yield (
            f"each shard is copied {epoch.copied_bytes / epoch.bytes:.1f} times, because it lies in lanes of several "
            f"ranks; take fewer lanes ({epoch.lanes}) or smaller shards (shard --samples-per-shard), or read a folder "
            "in place"
        )


def plan_sections(name: str, run: RunForecast, config: TrainConfig) -> list[Section]:
    """name: of the shard set."""
    epoch, ranks = run.epoch, run.epoch.ranks
    figures = [
        ("ranks", f"{epoch.world_size:,}"),
        ("train split", f"{epoch.samples:,} samples in {epoch.shards:,} shards, {megabytes(epoch.bytes)}"),
        ("an epoch", f"{epoch.steps:,} steps of {epoch.global_batch:,} samples, the last of a bucket of what is left"),
        ("the run", f"{run.steps:,} steps, {run.epochs:,.2f} epochs"),
    ]
    head = ("bucket", "width px", "shards", "samples", "steps", "last batch")
    buckets = [(c.bucket, c.width_px, c.shards, c.samples, c.steps, c.last_batch) for c in epoch.buckets]
    memory = [
        ("page cache of a rank: windows that are open at once", megabytes(max(rank.open_bytes for rank in ranks))),
        ("loader worker: the plan and its orders", megabytes(max(rank.order_bytes for rank in ranks))),
        ("loader worker: each batch", megabytes(max(rank.batch_bytes for rank in ranks))),
    ]
    sections = [
        Section(f"{name}, recipe {config.recipe or 'none'}, seed {config.seed}", [Figures(figures)]),
        Section(
            f"An epoch by bucket, images {config.height} px high",
            [TableOf(head, [*buckets, ("all", "", epoch.shards, epoch.samples, epoch.steps, "")])],
        ),
        Section("An epoch by rank", [ranks_table(epoch), Paragraph(READING)]),
        Section("Memory, at most", [Figures(memory)]),
    ]
    return sections + ([Section("Hints", [Paragraph(f"- {hint}") for hint in run.hints])] if run.hints else [])


def ranks_table(epoch: EpochForecast) -> TableOf:
    """A row a rank; of many ranks only the fewest and the most of each column."""
    ranks = epoch.ranks
    named = {
        "lanes": [rank.lanes for rank in ranks],
        "samples": [rank.samples for rank in ranks],
        "in a full batch": [(rank.fewest_in_batch, rank.most_in_batch) for rank in ranks],
        "shards": [rank.shards for rank in ranks],
        "read": [rank.read_bytes for rank in ranks],
        "copied": [rank.copied_bytes for rank in ranks],
    }
    rows = list(zip(*named.values(), strict=True))
    if len(ranks) <= MOST_RANKS:
        lines = [(str(rank), *row) for rank, row in enumerate(rows)]
    else:
        lines = [(what, *map(choose, named.values())) for what, choose in (("fewest", min), ("most", max))]
    batch = (epoch.global_batch, epoch.global_batch)
    lines.append(("all", epoch.lanes, epoch.samples, batch, epoch.shards, epoch.read_bytes, epoch.copied_bytes))
    shown = [
        (rank, lanes, samples, span_of(*batch), shards, megabytes(read), megabytes(copied))
        for rank, lanes, samples, batch, shards, read, copied in lines
    ]
    return TableOf(("rank", *named), shown)


def span_of(fewest: int, most: int) -> str:
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
