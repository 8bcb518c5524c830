"""Memory for 35 million entries: catalogue, split and whole assignment, from names without images.

    python benchmarks/catalogue.py [--names 35000000]
    python benchmarks/catalogue.py --smoke      # the whole path in seconds

The stages of a build up to the first shard, as it runs them; the source (sides/names.py) makes up its names, and as the
image of each a PNG of 65 bytes, of which only the header is read. Takes six minutes on two cores, and 340 bytes a name
on disk, in the folder for temporary files (TMPDIR).
The bar: the peak of the process and of all its workers together, in any stage, is at most 2 GB. Checks that each name
is in one shard, left out, or a reject. The last line is JSON; exits 1 if the bar does not hold.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sides.bars import Bar, end, parser_of, print_bars
from sides.memory import OwnPeaks
from sides.names import NamesSource

from sharding.arranging.arrange import PLACED_NAME
from sharding.arranging.assign import Assignment, assign
from sharding.arranging.duplicates import Duplicates, count_samples, find_duplicates
from sharding.format.script.profile import build_profile
from sharding.images.limits import Limits
from sharding.images.read import ImageRule
from sharding.reading.catalogue import Catalogue
from sharding.reading.intake import SourceRead, read_source
from sharding.reading.listing import write_catalogue
from sharding.reading.sample_reader import Rules
from sharding.reading.split import SplitRule
from sharding.system.machine import usable_cores
from sharding.system.workers import open_workers

BAR_MB = 2048


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--names", type=int, default=35_000_000)
    options = parser.parse_args()
    names = 20_000 if options.smoke else options.names
    workers = usable_cores()
    stages: dict[str, dict[str, float]] = {}

    def staged(name: str, work: Callable):
        """Call work(); its seconds and peaks go into `stages`."""
        started = time.perf_counter()
        with OwnPeaks() as watch:
            result = work()
        peaks = watch.peaks
        seconds, all_mb = time.perf_counter() - started, peaks.own_mb + workers * peaks.worker_mb
        stages[name] = {"s": seconds, "own_mb": peaks.own_mb, "worker_mb": peaks.worker_mb, "all_mb": all_mb}
        print(f"{name:<24}{seconds:>8.1f} s{peaks.own_mb:>8.0f} MB{peaks.worker_mb:>8.0f} MB", flush=True)
        return result

    print(f"{names:,} names, {workers} workers\n{'stage':<24}{'time':>10}{'itself':>11}{'a worker':>11}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = NamesSource(names)
        catalogue = staged("catalogue", lambda: write_catalogue(folder, [source], 0, lambda progress: None))
        read = staged("check and split", lambda: read_all(catalogue, source, workers))
        counts, left_out = staged("duplicates", lambda: compare(read))
        placed, members = folder / PLACED_NAME, folder / "members.bin"
        plan = staged("assignment", lambda: assign(read.spools, counts, left_out, None, placed, members))
        check_assignment(plan, names - read.samples, left_out, members, names)
        disk_bytes = sum(entry.stat().st_size for entry in os.scandir(folder))
    peak_mb = max(stage["all_mb"] for stage in stages.values())
    print(f"{len(plan.shards):,} shards; {disk_bytes / names:.0f} bytes of disk a name")
    bars = [Bar("peak MB of all processes", peak_mb, BAR_MB)]
    print_bars(bars, options)
    return end("catalogue", record(names, workers, stages, plan), bars, ("numpy",), options)


def read_all(catalogue: Catalogue, source: NamesSource, workers: int) -> SourceRead:
    """Read every entry into the spool, which is in the folder of the catalogue."""
    rules = Rules((source,), build_profile("urdu"), (), Limits(), ImageRule("header"), SplitRule("label"))
    with open_workers(workers) as pool:
        return read_source(pool, catalogue, rules, catalogue.folder, lambda progress: None, lambda: None)


def compare(read: SourceRead) -> tuple[np.ndarray, Duplicates]:
    """([splits, cells] samples that stay, duplicates), with every further copy left out."""
    counts, repeated = count_samples(read.spools, read.samples)
    found = find_duplicates(read.spools, repeated, leave_out=True)
    for pairs in (found.conflicts, found.copies):
        np.subtract.at(counts, (pairs["split"], pairs["cell"]), 1)
    return counts, found


def check_assignment(plan: Assignment, rejects: int, left_out: Duplicates, members: Path, names: int) -> None:
    """Each name is in one shard, left out, or a reject."""
    entries = np.fromfile(members, "<u4")
    entries.sort()
    once = not (entries[1:] == entries[:-1]).any()
    in_shards = sum(shard.samples for shard in plan.shards)
    if not once or not len(entries) == in_shards == plan.samples == names - rejects - len(left_out.left_out):
        sys.exit(f"{names:,} names: {in_shards:,} in shards, {len(left_out.left_out):,} left out, {rejects:,} rejects")


def record(names: int, workers: int, stages: dict, plan: Assignment) -> dict:
    return {
        "names": names,
        "workers": workers,
        "stages": {name: {key: round(value, 1) for key, value in stage.items()} for name, stage in stages.items()},
        "shards": len(plan.shards),
        "samples": plan.totals,
    }


if __name__ == "__main__":
    sys.exit(main())
