"""One rank of one side of benchmarks/step.py: the demo's training step on batches that are in memory.

    python benchmarks/sides/one_step_run.py '{"side": "ours", "set": "shards", "out": "out", "steps": 20, ...}'

Writes its figures to out/rank<r>.json.
"""

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from torch import nn

from horovod_ocr.config.sources import load_config
from horovod_ocr.config.train import TrainConfig
from horovod_ocr.data.batch import Batch
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.options import StreamOptions
from horovod_ocr.data.store import open_store
from horovod_ocr.data.stream import Stream
from horovod_ocr.distributed.alone import AloneWorld
from horovod_ocr.distributed.open import open_world
from horovod_ocr.distributed.world import World
from horovod_ocr.tasks.base import Task
from horovod_ocr.tasks.build import task_of

RANKS = 2
BATCHES = 8  # taken in turn


class Job(NamedTuple):
    """How the ranks of a side work together."""

    rank: int = 0
    world: World = AloneWorld()
    wait: Callable[[], object] = bool
    """Returns when all ranks have called it."""
    is_ddp: bool = False


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    with open_job(task["side"]) as job:
        figures = measure(task, job)
        (Path(task["out"]) / f"rank{job.rank}.json").write_text(json.dumps(figures), encoding="utf-8")


@contextmanager
def open_job(side: str) -> Iterator[Job]:
    """alone: one rank's share and no other rank. apart: two ranks that exchange nothing. ddp. ours. torch."""
    if side == "alone":
        yield Job()
    elif side in ("ours", "torch"):
        world = open_world()
        yield Job(world.rank, world, wait=lambda: world.gather(None))
    else:
        import torch.distributed as dist

        dist.init_process_group("gloo")
        yield Job(dist.get_rank(), wait=dist.barrier, is_ddp=side == "ddp")
        dist.barrier()
        dist.destroy_process_group()


def measure(task: dict, job: Job) -> dict:
    """Means over the steps: step_s; cpu_s, of this process; busy_s, of all processes of this machine.

    And precision; width_px; weights: a digest of them after the last step.
    """
    from sides.demo_step import DdpModel, build_step

    config = load_config("demo", {"precision": task["precision"], **task["settings"]})
    torch.manual_seed(config.seed)
    words, batches = read_batches(Path(task["set"]), config, job.rank)
    if job.is_ddp:  # it averages over the ranks, where ours adds: RANKS makes the same update
        step = build_step(config, words, wrap=DdpModel, scale=RANKS)
    else:
        step = build_step(config, words, job.world)
    sequence = cycle(batches)
    for batch in islice(sequence, task["warm_up"]):
        step.take(batch)
    job.wait()
    started_s, cpu_s, busy_s = time.perf_counter(), time.process_time(), busy_seconds()
    for batch in islice(sequence, task["steps"]):
        step.take(batch)
    return {
        "step_s": (time.perf_counter() - started_s) / task["steps"],
        "cpu_s": (time.process_time() - cpu_s) / task["steps"],
        "busy_s": (busy_seconds() - busy_s) / task["steps"],
        "precision": step.gradients.precision,
        "width_px": batches[0].images_NHWC.shape[2],
        "weights": digest_of(step.gradients.model),
    }


def read_batches(shards: Path, config: TrainConfig, rank: int) -> tuple[Task, list[Batch]]:
    """This rank's shares of whole batches of the most frequent width."""
    store = open_store(str(shards))
    global_batch = config.plan.global_batch
    options = StreamOptions(split="train", global_batch=global_batch, rank=rank, world_size=RANKS)
    stream = Stream(store, Geometry(config.network.height, store.index.bucket_edges), options)
    batches = [batch for batch in stream.batches(0, stream.steps) if batch.global_samples == global_batch]
    ((width_px, _),) = Counter(batch.images_NHWC.shape[2] for batch in batches).most_common(1)
    alike = [batch for batch in batches if batch.images_NHWC.shape[2] == width_px]
    return task_of(store.index, config), alike[:BATCHES]


def busy_seconds() -> float:
    """Time that all CPUs together have worked since the machine started."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def digest_of(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
