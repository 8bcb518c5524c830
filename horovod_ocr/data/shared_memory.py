"""Loader workers pass their batches to the rank in /dev/shm: how much of it they need, and how much there is. No torch.

A container has 64 MB of it by default. If it is full, a worker cannot pass on a batch.
"""

import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from horovod_ocr.console import size_text
from horovod_ocr.data.forecast import batch_parts
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.plan import EpochPlan, ShardSlice
from sharding.format.index import ShardInfo
from sharding.system.machine import usable_cores

SHARED = Path("/dev/shm")
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container's control group: microseconds per period, or "max"
PREFETCH = 2  # batches that each worker prepares ahead of the step
HELD = 2  # batches that the rank holds: the one it computes with, and the one before until it is released
# of one rank. A worker reads about 20,000 words/s, and takes 20 MB besides its batches
MOST_WORKERS = 8
PAGE_BYTES = 4096  # a tensor occupies whole pages
LEAST_ADVISED_BYTES = 64 << 20


def largest_batch_bytes(
    shards: Sequence[ShardInfo], geometry: Geometry, lanes: int, global_batch: int, world_size: int
) -> int:
    """Shared memory of the largest batch of any rank: uint8 images of its width, and an int64 for each image.

    shards: those of the split, with at least one sample.
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
    """Cores that this process may use: those of its host that a container or a launcher leaves to it."""
    return min(usable_cores(), quota_of_cores())


def quota_of_cores() -> int:
    """How many cores' time the control group gets (docker --cpus, limits of Kubernetes), at least 1.

    The affinity does not show such a limit. Without one: all cores of the machine.
    """
    try:
        quota, period = QUOTA.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # there are no control groups of version 2, or no limit ("max")
        return psutil.cpu_count() or 1


def choose_workers(
    wanted: int, on_gpu: bool, cores: int, ranks: int = 1, batch_bytes: int = 0, free_bytes: int | None = None
) -> int:
    """The number of loader workers of a rank.

    Args:
        wanted: a number that was given is returned, even if there is no room for it (see `shortage`). -1: 0 workers if
            the model computes on the same cores. With a GPU, all of the rank's cores except the one that the rank
            needs, at most MOST_WORKERS, and no more than half of /dev/shm has room for; but at least 1.
        on_gpu: whether the model computes on a GPU.
        cores: of this rank.
        ranks: of this host, which share its /dev/shm.
        batch_bytes: of the largest batch; 0 if it is not known.
        free_bytes: of /dev/shm; None if there is none.
    """
    if wanted >= 0 or not on_gpu:
        return max(0, wanted)
    half = None if free_bytes is None else free_bytes // 2  # NCCL and other jobs need some too
    return max(1, min(MOST_WORKERS, cores - 1, workers_with_room(batch_bytes, ranks, half)))


def workers_with_room(batch_bytes: int, ranks: int, free_bytes: int | None) -> int:
    """The most loader workers for each of a host's ranks, so that their batches have room; at most MOST_WORKERS."""
    if free_bytes is None or not batch_bytes:
        return MOST_WORKERS
    batches = max(0, free_bytes) // (ranks * batch_bytes)
    return min(MOST_WORKERS, max(0, (batches - HELD) // PREFETCH))


def whole_pages(size: int) -> int:
    """`size` bytes, rounded up to whole pages."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def shared_bytes_needed(batch_bytes: int, workers: int, ranks: int) -> int:
    """The most bytes of /dev/shm that `ranks` ranks of one host need, with `workers` loader workers each."""
    return ranks * (PREFETCH * workers + HELD) * batch_bytes if workers > 0 else 0


def free_shared_bytes() -> int | None:
    """Free bytes of /dev/shm; None if there is none."""
    try:
        return int(psutil.disk_usage(str(SHARED)).free)
    except OSError:
        return None


def shortage(batch_bytes: int, workers: int, ranks: int, free_bytes: int | None) -> str | None:
    """A sentence for users if a host has too little /dev/shm for its loader workers; None if it has enough."""
    needed = shared_bytes_needed(batch_bytes, workers, ranks)
    if free_bytes is None or needed <= free_bytes:
        return None
    advised = LEAST_ADVISED_BYTES
    while advised < 2 * needed:
        advised *= 2
    size = f"{advised >> 20}m"
    who = f"{workers} loader workers" if ranks == 1 else f"{workers} loader workers of each of {ranks} ranks"
    return (
        f"/dev/shm has {size_text(free_bytes)} free, and {who} need up to {size_text(needed)} of it "
        f"({ranks * (PREFETCH * workers + HELD)} batches of {size_text(batch_bytes)}); give the container more "
        f"(docker run --shm-size={size}), or as root: mount -o remount,size={size} /dev/shm; or do without workers: "
        "--set workers=0"
    )


def out_of_shared_memory(batch_bytes: int, reason: str) -> str:
    """A sentence for users if a batch found no room in /dev/shm. reason: as the system gives it."""
    free = size_text(free_shared_bytes() or 0)
    return (
        f"/dev/shm on {socket.gethostname()} is full ({free} free, a batch has {size_text(batch_bytes)}): "
        f"{reason}; see what else uses it, give the container more (docker run --shm-size=2g), or do without workers: "
        "--set workers=0"
    )
