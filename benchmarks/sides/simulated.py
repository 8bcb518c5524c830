"""The plan of 35 million samples: a simulated index, no files."""

import sys
import time

import numpy as np

from horovod_ocr.data.plan import EpochPlan, ShardSlice

SHARDS, SAMPLES_PER_SHARD, CLASSES = 3500, 10_000, 5
GLOBAL_BATCH = 768
RANK, WORLD_SIZE = 1, 3


def simulated_shards() -> list[ShardSlice]:
    """In the order of an index: a class after the other."""
    return [ShardSlice(SAMPLES_PER_SHARD, number * CLASSES // SHARDS) for number in range(SHARDS)]


def resume() -> dict:
    """From nothing to a rank's share in the middle of an epoch.

    resume_s: wall clock of a new plan and one share; files_opened: by then; samples: of the share.
    """
    slices = simulated_shards()
    np.random.default_rng(0)  # numpy's own start
    opens: list[object] = []
    sys.addaudithook(lambda event, arguments: opens.append(arguments) if event == "open" else None)
    started = time.perf_counter()
    plan = EpochPlan(slices, epoch=3, global_batch=GLOBAL_BATCH)
    share = plan.share(plan.steps // 2, RANK, WORLD_SIZE)
    return {
        "resume_s": time.perf_counter() - started,
        "files_opened": len(opens),
        "samples": len(share.rows),
        "samples_an_epoch": plan.samples,
    }


def rank_correlation() -> float:
    """Spearman's, of the place in the shard set and the place in the epoch. Both are permutations, hence ranks.

    An epoch deals its steps out, each of one class, so by chance alone it is near 1 / sqrt(steps): 0.005 here, 0.14
    for a set of 50 steps.
    """
    plan = EpochPlan(simulated_shards(), global_batch=GLOBAL_BATCH)
    mean, total, done = (plan.samples - 1) / 2, 0.0, 0
    for step in range(plan.steps):
        share = plan.share(step)
        positions = share.shards * float(SAMPLES_PER_SHARD) + share.rows
        total += float(((np.arange(done, done + len(positions)) - mean) * (positions - mean)).sum())
        done += len(positions)
    variance = (plan.samples**2 - 1) / 12
    return total / done / variance
