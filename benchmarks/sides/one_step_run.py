"""One rank of one side of benchmarks/step.py: the demo's training step on batches that lie in memory.

    python benchmarks/sides/one_step_run.py '{"side": "ours", "set": "shards", "out": "out", "steps": 20, ...}'

Leaves its figures in out/rank<r>.json.
"""

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from horovod_ocr.config.settings import TrainConfig, load_config
from horovod_ocr.data.batch import Batch, normalise_images
from horovod_ocr.data.image import Geometry
from horovod_ocr.data.store import open_store
from horovod_ocr.data.stream import Stream, StreamOptions
from horovod_ocr.distributed.device import autocast, choose_precision
from horovod_ocr.distributed.votes import StopSaveVote
from horovod_ocr.distributed.world import World, open_world
from horovod_ocr.evaluation.evaluate import frames_of
from horovod_ocr.models.build import build_model
from horovod_ocr.tasks.words import WordTask
from horovod_ocr.training.update import Exchange

RANKS = 2
BATCHES = 8  # taken in turn
CPU = torch.device("cpu")


class Job(NamedTuple):
    """How the ranks of a side meet. wrap: the model for its forward pass. scale: of the loss, so that all sides make
    the same update. wait: until all ranks are there."""

    rank: int = 0
    world: World = World()
    wrap: Callable[[nn.Module], nn.Module] = lambda model: model
    scale: int = 1
    wait: Callable[[], object] = bool


class Trained(NamedTuple):
    """What a step works on."""

    config: TrainConfig
    precision: str
    task: WordTask
    model: nn.Module
    forward: nn.Module
    exchange: Exchange


def main() -> None:
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    with open_job(task["side"]) as job:
        figures = measure(task, job)
        (Path(task["out"]) / f"rank{job.rank}.json").write_text(json.dumps(figures), encoding="utf-8")


@contextmanager
def open_job(side: str) -> Iterator[Job]:
    """alone: one rank's share and no other rank. apart: two ranks that exchange nothing. ddp. ours."""
    if side == "alone":
        yield Job()
    elif side == "ours":
        world = open_world()
        yield Job(world.rank, world, wait=lambda: world.gather(None))
    else:
        import torch.distributed as dist
        from torch.nn.parallel import DistributedDataParallel

        dist.init_process_group("gloo")
        job = Job(dist.get_rank(), wait=dist.barrier)
        if side == "ddp":
            # a mean over the ranks, not a sum; BatchNorm's running statistics stay each rank's own, as ours do
            job = job._replace(
                wrap=lambda model: DistributedDataParallel(model, forward_sync_buffers=False), scale=RANKS
            )
        yield job
        dist.barrier()
        dist.destroy_process_group()


def measure(task: dict, job: Job) -> dict:
    """Means over the steps: step_s; cpu_s, of this process; busy_s, of all processes of this machine. precision;
    width_px; weights: a digest of them after the last step."""
    config = load_config("demo", {"precision": task["precision"]})
    torch.manual_seed(config.seed)
    words, batches = read_batches(Path(task["set"]), config, job.rank)
    model = build_model(config.model, words.outputs, config.height, **config.model_options).train()
    exchange = Exchange(job.world, model, config.weight_decay)
    if job.world.world_size == 1:
        exchange.statistics = exchange.statistics_before = []
    trained = Trained(config, choose_precision(config.precision, CPU, World()), words, model, job.wrap(model), exchange)
    sequence = cycle(batches)
    for batch in islice(sequence, task["warm_up"]):
        take_step(trained, job, batch)
    job.wait()
    started_s, cpu_s, busy_s = time.perf_counter(), time.process_time(), busy_seconds()
    for batch in islice(sequence, task["steps"]):
        take_step(trained, job, batch)
    return {
        "step_s": (time.perf_counter() - started_s) / task["steps"],
        "cpu_s": (time.process_time() - cpu_s) / task["steps"],
        "busy_s": (busy_seconds() - busy_s) / task["steps"],
        "precision": trained.precision,
        "width_px": batches[0].images_NHW.shape[2],
        "weights": digest_of(model),
    }


def read_batches(shards: Path, config: TrainConfig, rank: int) -> tuple[WordTask, list[Batch]]:
    """This rank's shares of whole batches of the most frequent width."""
    store = open_store(str(shards))
    options = StreamOptions(split="train", global_batch=config.global_batch, rank=rank, world_size=RANKS)
    stream = Stream(store, Geometry(config.height, store.index.bucket_edges), options)
    batches = [batch for batch in stream.batches(0, stream.steps) if batch.global_samples == config.global_batch]
    ((width_px, _),) = Counter(batch.images_NHW.shape[2] for batch in batches).most_common(1)
    return WordTask.of(store.index), [batch for batch in batches if batch.images_NHW.shape[2] == width_px][:BATCHES]


def take_step(trained: Trained, job: Job, batch: Batch) -> None:
    """As training/loop.py takes it; what it keeps for an update that fails is ours alone to pay for."""
    config, model, exchange = trained.config, trained.model, trained.exchange
    wishes = StopSaveVote(job.world, "", False)
    if job.world.world_size > 1:
        exchange.begin()
    else:
        exchange.optimizer.zero_grad()
    images_N1HW = normalise_images(batch.images_NHW, CPU)
    with autocast(CPU, trained.precision):
        logits_TNC = trained.forward(images_N1HW)
    frames_N = frames_of(batch.valid_width_N, model.frame_stride_px)
    losses_N, _ = trained.task.losses(logits_TNC, frames_N, batch.labels)
    (job.scale * losses_N.sum() / batch.global_samples).backward()
    exchange.update(config.lr, config.clip_norm)
    wishes.agree()


def busy_seconds() -> float:
    """What all CPUs together have worked since the machine started."""
    user, nice, system, _, _, interrupts, soft_interrupts, steal, *_ = map(
        int, Path("/proc/stat").read_text().split(maxsplit=11)[1:11]
    )
    return (user + nice + system + interrupts + soft_interrupts + steal) / os.sysconf("SC_CLK_TCK")


def digest_of(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
