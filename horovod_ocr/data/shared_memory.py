"""Loader workers hand their batches to the rank in /dev/shm: how much of it that takes, and how much there is.

No torch. Containers have 64 MB of it unless told otherwise, and a worker that finds it full cannot hand over anything.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from horovod_ocr.data.forecast import batch_parts
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import EpochPlan, ShardSlice
from sharding.format.index import ShardInfo

SHARED = Path("/dev/shm")
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container's own control group: microseconds of each period, or "max"
PREFETCH = 2  # batches that each worker makes ahead of the step
HELD = 2  # by the rank: the batch it computes with, and the one before it until that is let go
# of a rank: one reads about 20,000 words/s, and takes 20 MB besides its batches
MOST_WORKERS = 8
PAGE_BYTES = 4096  # the least that a tensor takes there
LEAST_ADVISED_BYTES = 64 << 20


def largest_batch_bytes(
    shards: Sequence[ShardInfo], geometry: Geometry, lanes: int, global_batch: int, world_size: int
) -> int:
    """What the largest batch of any rank takes in shared memory: uint8 images of its width, and one number an image.

    shards: of the split, at least one sample.
    """
    plan = EpochPlan(
        [ShardSlice(shard.samples, shard.bucket) for shard in shards],
        lanes=lanes,
        global_batch=global_batch,
        shuffle=False,
    )
    largest = 0
    for each in plan.buckets:
        samples = int(batch_parts(each, world_size).max())
        images = samples * geometry.height * geometry.width_px(each.bucket)
        largest = max(largest, whole_pages(images) + whole_pages(samples * np.dtype(np.int64).itemsize))
    return largest


def count_cores() -> int:
    """That this process may use: of its host's, those that a container or a launcher leaves to it."""
    return min(len(os.sched_getaffinity(0)), quota_of_cores())


def quota_of_cores() -> int:
    """Whole cores of time that the control group gets (docker --cpus, limits of Kubernetes): they show in no affinity.
    At least 1; without a limit, all of the machine."""
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no control groups of version 2, or no limit: "max"
        return os.cpu_count() or 1


def choose_workers(
    wanted: int, on_gpu: bool, cores: int, ranks: int = 1, batch_bytes: int = 0, free_bytes: int | None = None
) -> int:
    """Loader processes of a rank. A number that was given is taken; `shortage` tells if there is no room for it.

    -1: none where the model computes on the same cores. Beside a GPU, all of the rank's cores but the one that it
    needs itself, at least 1, at most MOST_WORKERS, and no more than have room in half of /dev/shm, but at least 1.

    cores: of this rank. ranks: of its host, which share /dev/shm. batch_bytes: of the largest batch, 0 if it is not
    known. free_bytes: of /dev/shm, None where there is none.
    """
    if wanted >= 0 or not on_gpu:
        return max(0, wanted)
    half = None if free_bytes is None else free_bytes // 2  # NCCL and other jobs need some
    return max(1, min(MOST_WORKERS, cores - 1, workers_with_room(batch_bytes, ranks, half)))


def workers_with_room(batch_bytes: int, ranks: int, free_bytes: int | None) -> int:
    """The most loader workers of each of a host's ranks whose batches have room, at most MOST_WORKERS."""
    if free_bytes is None or not batch_bytes:
        return MOST_WORKERS
    batches = max(0, free_bytes) // (ranks * batch_bytes)
    return min(MOST_WORKERS, max(0, (batches - HELD) // PREFETCH))


def whole_pages(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def shared_bytes_needed(batch_bytes: int, workers: int, ranks: int) -> int:
    """Of /dev/shm, at most, by so many ranks of one host with so many loader workers each."""
    return ranks * (PREFETCH * workers + HELD) * batch_bytes if workers > 0 else 0


def free_shared_bytes() -> int | None:
    """None where there is no /dev/shm."""
    try:
        usage = os.statvfs(SHARED)
    except OSError:
        return None
    return usage.f_bavail * usage.f_frsize


def shortage(batch_bytes: int, workers: int, ranks: int, free_bytes: int | None) -> str:
    """Why workers cannot hand over their batches on a host, and what to do; "" where they can."""
    needed = shared_bytes_needed(batch_bytes, workers, ranks)
    if free_bytes is None or needed <= free_bytes:
        return ""
    advised = LEAST_ADVISED_BYTES
    while advised < 2 * needed:
        advised *= 2
    size = f"{advised >> 20}m"
    who = f"{workers} loader workers" if ranks == 1 else f"{workers} loader workers of each of {ranks} ranks"
    return (
        f"/dev/shm has {free_bytes / 1e6:,.1f} MB free, and {who} need up to {needed / 1e6:,.1f} MB of it "
        f"({ranks * (PREFETCH * workers + HELD)} batches of {batch_bytes / 1e6:,.1f} MB); give the container more "
        f"(docker run --shm-size={size}), or as root: mount -o remount,size={size} /dev/shm; or do without workers: "
        "--set workers=0"
    )
